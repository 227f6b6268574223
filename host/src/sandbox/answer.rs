//! An answer of a plugin that is a model: the guest runs for as long as it writes, suspended while nobody takes what it wrote, and ends when
//! the answer is dropped. A fault is the last item, and so is a refusal.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::UnboundedReceiver;
use wasmtime::Store;

use super::bindings::model::AnswerError;
use super::call::Verdict;
use super::capability::reply::{Held, Reply};
use super::outcome::{rejection_back, reported};
use super::plugin::Plugin;
use super::shapes::{Question, Request};
use super::store::State;
use super::written::Written;
use super::{Fault, FaultKind, Hook, Rejection};
use crate::chat::{CHOICES_MAX, Exchange};

pub use super::capability::reply::Said;

/// What a model says, as it says it. Dropping it ends the guest.
pub struct Answer {
    said: UnboundedReceiver<Held>,
    /// None when the guest has ended.
    running: Option<BoxFuture<'static, Result<(), Unanswered>>>,
    /// How it ended, until that was told.
    ended: Option<Unanswered>,
}

/// Why an answer is not whole.
#[derive(Clone, Debug)]
pub enum Unanswered {
    /// The plugin refused the request.
    Rejected(Rejection),
    Fault(Fault),
}

/// What a call that ended well came to.
enum Answered {
    Whole,
    Rejected(Rejection),
}

impl Verdict for Answered {
    fn word(&self) -> &'static str {
        match self {
            Self::Whole => "ok",
            Self::Rejected(_) => "rejected",
        }
    }
}

impl Plugin {
    /// Asks one of the plugin's models, which begins when the answer is polled. `model` is its id, empty for a plugin that is one model.
    pub fn answer(self: &Arc<Self>, model: &str, exchange: Exchange) -> Answer {
        let (plugin, model) = (self.clone(), Box::<str>::from(model));
        let written = Written::new(choices(&exchange), self.callee.limits.output);
        let (reply, said) = Reply::open(written, exchange.deadline.instant());
        let running = async move { plugin.run(model, exchange, reply).await };
        Answer { said, running: Some(Box::pin(running)), ended: None }
    }

    async fn run(&self, model: Box<str>, exchange: Exchange, reply: Reply) -> Result<(), Unanswered> {
        let Some(models) = &self.model else {
            let call = self.callee.call(Hook::Answer, &exchange);
            return Err(Unanswered::Fault(call.failed(FaultKind::NoHook)));
        };
        let call = models.callee.answering(Hook::Answer, &exchange, Some(reply));
        models.check(&model).map_err(|kind| Unanswered::Fault(call.failed(kind)))?;
        let guest = call.guest().await.map_err(Unanswered::Fault)?;
        let (exports, function, env) = (self.exports.clone(), models.functions.answer, call.env.clone());
        let bytes = Request::bytes(&exchange, &self.scope.reads);
        let scope = self.scope.clone();
        let work = async move {
            let ran = {
                let question = Question::of(&exchange, &model, &scope.reads);
                guest.run(async |store: &mut Store<State>| exports.call(store, function, (&question,)).await).await
            };
            let checked = ran.check(|answered: Result<(), AnswerError>, log| match answered {
                Ok(()) => {
                    env.reply.as_ref().expect("this call was made with one").end()?;
                    Ok(Answered::Whole)
                }
                Err(AnswerError::Reject(rejection)) => Ok(Answered::Rejected(rejection_back(rejection, log))),
                Err(AnswerError::Failed(error)) => Err(reported(error)),
            });
            (exchange, checked)
        };
        match call.settle(bytes, work).await.1 {
            Ok(Answered::Whole) => Ok(()),
            Ok(Answered::Rejected(rejection)) => Err(Unanswered::Rejected(rejection)),
            Err(fault) => Err(Unanswered::Fault(fault)),
        }
    }
}

impl Stream for Answer {
    type Item = Result<Said, Unanswered>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(Some(held)) = this.said.poll_recv(context) {
                return Poll::Ready(Some(Ok(held.taken())));
            }
            match &mut this.running {
                Some(running) => match running.as_mut().poll(context) {
                    Poll::Ready(ended) => (this.running, this.ended) = (None, ended.err()),
                    Poll::Pending => return Poll::Pending,
                },
                // Nothing is written any more, and all that was is taken.
                None => return Poll::Ready(this.ended.take().map(Err)),
            }
        }
    }
}

/// How many choices the client asked for.
fn choices(exchange: &Exchange) -> u32 {
    let asked = exchange.param("n").and_then(|json| serde_json::from_str::<f64>(json.get()).ok()).unwrap_or(1.0);
    // A float beyond the range becomes its end.
    (asked as u32).clamp(1, u32::try_from(CHOICES_MAX).unwrap_or(u32::MAX))
}
