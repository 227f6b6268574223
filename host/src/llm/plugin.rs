//! Plugins that are models, asked as providers are: with a share of the time, a place in the ledger, and nothing of a stream handed on before it
//! says something. The port `Plugins` is what such a plugin is to this room; whoever implements it ends an answer that is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::poll_fn;
use tokio::time::{Instant, timeout_at};

use super::attempt::{Failure, Observer};
use super::budget::{self, Ask};
use super::error::{BudgetRemedy, Error, Phase, PluginTrouble};
use super::limits::Limits;
use super::meter::{self, Meter, Who};
use super::received::{Received, ReplyMemory};
use super::relay::{Clock, Late};
use super::target::Mode;
use super::vendor::VendorInfo;
use crate::chat::account::Account;
use crate::chat::collect::Collector;
use crate::chat::status::{self, ShowsStatus};
use crate::chat::stream::wants_usage;
use crate::chat::{Deadline, Delta, Exchange, Fields, Frame, Frames, Name, Piece, Reply, ReplyStream, StreamError, Usage, Whole, codec};

/// The name for OpenTelemetry is ours; its conventions have none.
pub(super) const INFO: VendorInfo =
    VendorInfo { name: "plugin", system: "cofferdam.plugin", default_url: None, url_hint: "no base_url: it runs inside this program" };

/// What asks the plugins of this server.
pub trait Plugins: Send + Sync {
    /// Asks the model `NAME` or `NAME/SUB`. What it says comes as it is said; an error is the last item.
    fn answer(&self, model: &str, exchange: Exchange) -> PluginAnswer;

    /// Asks the model `NAME` or `NAME/SUB` for one vector for each text, in order. They come as they are computed; an error is the last item.
    fn embed(&self, model: &str, texts: Vec<String>, exchange: Exchange) -> PluginVectors;

    /// Whether the plugin behind `NAME` or `NAME/SUB` computes vectors.
    fn embeds(&self, model: &str) -> bool;

    /// The models that there are now, each as `NAME` or `NAME/SUB`.
    fn models(&self) -> Vec<OfferedModel>;
}

/// A model that clients may be told of.
#[derive(Clone, Debug, Default)]
pub struct OfferedModel {
    pub name: String,
    /// What people call it.
    pub title: Option<String>,
    /// What else its plugin says of it.
    pub extra: Fields,
}

/// An answer on its way.
pub type PluginAnswer = Pin<Box<dyn Stream<Item = Result<PluginSaid, Error>> + Send>>;

/// Vectors on their way, all of one length and of finite numbers.
pub type PluginVectors = Pin<Box<dyn Stream<Item = Result<Vec<Vec<f32>>, Error>> + Send>>;

/// A piece of an answer.
#[derive(Debug)]
pub enum PluginSaid {
    Deltas(Vec<Delta>),
    /// A line to show while the client waits.
    Status {
        text: String,
        done: bool,
    },
}

/// A server without plugins.
pub(super) struct NoPlugins;

impl Plugins for NoPlugins {
    fn answer(&self, model: &str, _: Exchange) -> PluginAnswer {
        let error = Error::UnknownProvider { provider: format!("plugin/{model}") };
        Box::pin(futures_util::stream::iter([Err(error)]))
    }

    fn embed(&self, model: &str, _: Vec<String>, _: Exchange) -> PluginVectors {
        let error = Error::UnknownProvider { provider: format!("plugin/{model}") };
        Box::pin(futures_util::stream::iter([Err(error)]))
    }

    fn embeds(&self, _: &str) -> bool {
        false
    }

    fn models(&self) -> Vec<OfferedModel> {
        Vec::new()
    }
}

/// One entry of kind `plugin`.
pub(super) struct PluginVendor {
    pub(super) name: Arc<str>,
    pub(super) plugins: Arc<dyn Plugins>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) memory: ReplyMemory,
    pub(super) limits: Limits,
}

/// One try.
pub(super) struct Asked<'a> {
    pub(super) model: &'a str,
    pub(super) exchange: &'a Exchange,
    pub(super) mode: Mode,
    pub(super) operation: &'static str,
    pub(super) deadline: Deadline,
    /// How many targets come after this one.
    pub(super) others: u32,
    pub(super) name: Name,
}

impl PluginVendor {
    /// The plugin of a target's model: each has circuits of its own.
    pub(super) fn plugin_of(model: &str) -> &str {
        model.split_once('/').map_or(model, |(plugin, _)| plugin)
    }

    /// Within the total limit and what is left of the exchange's time.
    ///
    /// # Errors
    /// The plugin's failure or refusal, or which time was over.
    pub(super) async fn reply(&self, asked: Asked<'_>) -> Result<Reply, Failure> {
        let Asked { model, exchange, mode, operation, deadline, others, name } = asked;
        let left = deadline.remaining();
        let share = if mode == Mode::Whole { left / (others + 1) } else { left };
        let (time, phase) = match share.min(self.limits.total) {
            time if time == left => (time, Phase::Deadline),
            time => (time, Phase::Total),
        };
        // What it would be if it were sent.
        let prompt = meter::tokens(codec::request_json(model, &exchange.messages, &exchange.params, false).len() as u64);
        let (caller, end_user) = (exchange.caller.as_deref(), exchange.end_user.as_ref());
        let (completion, choices) = budget::wanted(exchange);
        let ask = Ask { caller, end_user, provider: &self.name, model, prompt, completion, choices };
        let hold = self.observer.reserve(&ask).await?;
        let who =
            Who { pipeline: &exchange.pipeline, caller, provider: &self.name, operation, system: INFO.system, tries: &exchange.tries };
        let mut meter = Meter::new(Arc::clone(&self.observer), &who, model, prompt, hold);
        meter.sent = true;
        // Dropping the answer ends it here: nothing goes on that would have to be paid.
        meter.fail();
        let end = Instant::now() + time;
        let idle = if mode == Mode::Whole { time } else { self.limits.idle };
        let answer = self.plugins.answer(model, asked_of(exchange, mode));
        let telling = Telling {
            provider: Arc::clone(&self.name),
            answer: Some(answer),
            meter: Some(meter),
            clock: Clock::new(idle, end),
            phase,
            time,
            idle,
        };
        match mode {
            Mode::Whole => Ok(Reply::Whole(Whole::Parsed(self.whole(telling, exchange).await?.completion(name)))),
            Mode::Stream => {
                let first = Instant::now() + self.limits.first_byte;
                let shows = others == 0 && exchange.kept.find::<ShowsStatus>().is_some();
                let timeout = |phase, limit| Error::Timeout { provider: self.name.to_string(), phase, limit };
                let late = |_| if first < end { timeout(Phase::FirstByte, self.limits.first_byte) } else { timeout(phase, time) };
                let told = timeout_at(first.min(end), Told::begun(telling, shows)).await.map_err(late)??;
                Ok(Reply::Stream(ReplyStream::new(told, name, wants_usage(exchange))))
            }
        }
    }

    async fn whole(&self, mut telling: Telling, exchange: &Exchange) -> Result<Collector, Error> {
        let mut received: Received = self.memory.reply(&exchange.client);
        let (mut collector, mut bytes) = (Collector::default(), 0);
        while let Some(said) = telling.next().await? {
            // A whole reply has no place for a status.
            let PluginSaid::Deltas(deltas) = said else { continue };
            bytes += deltas.iter().map(Delta::bytes).sum::<usize>();
            if bytes > self.limits.reply_bytes {
                let cause = format!("more than {} bytes (`limits.providers.reply_bytes`)", self.limits.reply_bytes);
                return Err(Error::InvalidReply { provider: self.name.to_string(), cause });
            }
            if !received.hold(bytes) {
                return Err(Error::Overloaded { provider: self.name.to_string() });
            }
            deltas.into_iter().for_each(|delta| collector.push(delta));
        }
        if let Some(share) = received.into_share() {
            exchange.kept.add(share);
        }
        Ok(collector)
    }
}

/// What a plugin is told of an exchange, which goes on without it: another target may be asked beside it.
fn asked_of(exchange: &Exchange, mode: Mode) -> Exchange {
    Exchange {
        id: exchange.id.clone(),
        caller: exchange.caller.clone(),
        client: exchange.client.clone(),
        end_user: exchange.end_user.clone(),
        pipeline: exchange.pipeline.clone(),
        deadline: exchange.deadline,
        stream: mode == Mode::Stream,
        target: None,
        model: None,
        messages: exchange.messages.clone(),
        params: exchange.params.clone(),
        metadata: exchange.metadata.clone(),
        hits: Vec::new(),
        fence: None,
        skipped: exchange.skipped.clone(),
        coverage: exchange.coverage.clone(),
        tries: exchange.tries.clone(),
        kept: exchange.kept.clone(),
        account: Account::default(),
    }
}

/// An answer that is counted and watched as it comes.
struct Telling {
    provider: Arc<str>,
    /// None when it is over.
    answer: Option<PluginAnswer>,
    /// None once the use was reported: before the last item leaves, for the client's next request may come at once.
    meter: Option<Meter>,
    clock: Clock,
    phase: Phase,
    time: Duration,
    idle: Duration,
}

impl Telling {
    async fn next(&mut self) -> Result<Option<PluginSaid>, Error> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<PluginSaid>, Error>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Ok(None)) };
        let told = match answer.as_mut().poll_next(context) {
            Poll::Ready(Some(Ok(said))) if !self.clock.read() => {
                self.count(&said);
                return Poll::Ready(Ok(Some(said)));
            }
            Poll::Ready(Some(Ok(_))) => Err(self.late(Late::Deadline)),
            Poll::Ready(Some(Err(error))) => Err(error),
            Poll::Ready(None) => {
                if let Some(meter) = &mut self.meter {
                    meter.tally.complete();
                    meter.begun = true;
                }
                Ok(None)
            }
            Poll::Pending => Err({
                let late = ready!(self.clock.poll(context));
                self.late(late)
            }),
        };
        (self.answer, self.meter) = (None, None);
        Poll::Ready(told)
    }

    fn late(&self, late: Late) -> Error {
        let (phase, limit) = if late == Late::Idle { (Phase::Idle, self.idle) } else { (self.phase, self.time) };
        Error::Timeout { provider: self.provider.to_string(), phase, limit }
    }

    fn count(&mut self, said: &PluginSaid) {
        let (Some(meter), PluginSaid::Deltas(deltas)) = (&mut self.meter, said) else { return };
        for delta in deltas {
            meter.begun |= delta.says_something();
            match delta {
                Delta::UsageJson(json) => Usage::read(json).into_iter().for_each(|usage| meter.tally.reported(usage)),
                Delta::Piece { piece: Piece::Finish(reason), .. } => meter.tally.finished(reason),
                Delta::Piece { .. } => meter.tally.generated(delta.bytes() - size_of::<Delta>()),
                Delta::Head { .. } | Delta::Usage(_) | Delta::Fields(_) => {}
            }
        }
    }
}

/// The frames of an answer whose first words are there.
struct Told {
    telling: Telling,
    /// What came up to the first words.
    first: Frames,
    over: bool,
}

impl Told {
    /// Waits for the first words, so that until then another target can take over unseen.
    async fn begun(mut telling: Telling, shows: bool) -> Result<Self, Error> {
        let mut first = Frames::default();
        loop {
            let said = telling.next().await?;
            let says = match &said {
                None => true,
                Some(PluginSaid::Deltas(deltas)) => deltas.iter().any(Delta::says_something),
                // Whoever shows it need not wait for words, if nobody else could say them.
                Some(PluginSaid::Status { .. }) => shows,
            };
            push(said, &mut first);
            if says {
                let over = first.end;
                return Ok(Self { telling, first, over });
            }
        }
    }

    fn poll_frames(&mut self, context: &mut Context<'_>) -> Poll<Result<Frames, Error>> {
        let said = ready!(self.telling.poll(context))?;
        if self.telling.meter.as_mut().is_some_and(|meter| !meter.extend()) {
            let message = "was stopped, because the budget of the key or of its end user is used up".to_owned();
            return Poll::Ready(Err(Error::OverBudget { message, remedy: BudgetRemedy::Later, retry_after: Duration::ZERO }));
        }
        let mut frames = Frames::default();
        push(said, &mut frames);
        Poll::Ready(Ok(frames))
    }
}

impl Stream for Told {
    type Item = Result<Frames, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut this.first))));
        }
        if this.over {
            return Poll::Ready(None);
        }
        let frames = ready!(this.poll_frames(context));
        this.over = frames.as_ref().map_or(true, |frames| frames.end);
        Poll::Ready(Some(frames.map_err(|error| {
            (this.telling.answer, this.telling.meter) = (None, None);
            broken(&this.telling.provider, &error)
        })))
    }
}

fn push(said: Option<PluginSaid>, frames: &mut Frames) {
    match said {
        None => frames.end = true,
        Some(PluginSaid::Deltas(deltas)) => frames.push(Frame::of(deltas)),
        // It holds no control characters.
        Some(PluginSaid::Status { text, done }) => frames.push(Frame::raw(status::event(&text, done))),
    }
}

/// How a stream breaks for its client.
fn broken(provider: &str, error: &Error) -> StreamError {
    let (code, what) = match error {
        Error::Timeout { phase: Phase::Idle, .. } => ("upstream_idle", "stopped sending in the middle of the stream".to_owned()),
        Error::Timeout { .. } => ("deadline", "did not finish in time".to_owned()),
        Error::OverBudget { message, .. } => ("insufficient_quota", message.clone()),
        Error::Plugin { trouble: PluginTrouble::Host, .. } => ("upstream_error", "failed in the middle of the stream".to_owned()),
        other => ("upstream_error", format!("failed in the middle of the stream: {other}")),
    };
    tracing::warn!(llm.provider = provider, code, "provider `{provider}` broke off: {error}");
    StreamError { message: format!("provider `{provider}` {what}"), code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_is_asked_has_what_the_exchange_has_one_of() {
        #[derive(Default)]
        struct Budget;
        let exchange = crate::llm::budget::tests::exchange(&[]);
        exchange.kept.add(Arc::<str>::from("those that the exchange began with"));
        let (one, other) = (asked_of(&exchange, Mode::Whole), asked_of(&exchange, Mode::Stream));
        let budget = exchange.kept.one::<Budget>();
        assert!(Arc::ptr_eq(&budget, &one.kept.one::<Budget>()) && Arc::ptr_eq(&budget, &other.kept.one::<Budget>()));
        assert_eq!(one.kept.find::<Arc<str>>().as_deref(), Some("those that the exchange began with"));
        assert_eq!(one.kept.find::<String>(), None);
    }
}
