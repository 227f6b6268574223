//! The functions of `cofferdam:hooks/llm`, linked for one plugin that was granted them. A guest waits on the clock of waiting; the end of its call
//! hangs up on whoever it asked.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::budget::{Charge, Spent};
use super::port::{AskFailed, AskModels};
use super::replies::Reading;
use super::shown::{message, usage};
use super::terms::LlmTerms;
use crate::chat::collect::Collector;
use crate::chat::{Delta, Fields, Name, Usage, codec};
use crate::sandbox::behalf::Behalf;
use crate::sandbox::bindings::llm::{Answer, Question};
use crate::sandbox::bindings::types::{self, Failure, Field};
use crate::sandbox::capability::outcome;
use crate::sandbox::convert::{message_back, value};
use crate::sandbox::deltas::shown;
use crate::sandbox::env::CallEnv;
use crate::sandbox::grant::Granted;
use crate::sandbox::outcome::param_problem;
use crate::sandbox::portion::Portion;
use crate::sandbox::scope::Data;
use crate::sandbox::shapes::Request;

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/llm@0.2.0";

/// Texts of which one call may want vectors.
const TEXTS_MAX: usize = 256;
/// Fields of one question beside its messages.
const PARAMS_MAX: usize = 256;

/// One plugin's way to the models.
struct Way {
    terms: Granted<LlmTerms>,
    models: Arc<dyn AskModels>,
}

/// One host call on its way.
struct Asked {
    way: Arc<Way>,
    env: Arc<CallEnv>,
}

/// Adds its functions, for a plugin that was granted them. `env` finds the call in the store's data.
pub(in crate::sandbox) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    terms: Granted<LlmTerms>,
    models: Arc<dyn AskModels>,
    env: fn(&T) -> &Arc<CallEnv>,
) -> wasmtime::Result<()> {
    let way = Arc::new(Way { terms, models });
    let asked = move |store: StoreContextMut<'_, T>| Asked { way: way.clone(), env: env(store.data()).clone() };
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap_async("complete", {
        let asked = asked.clone();
        move |store, (question,): (Question,)| {
            let it = asked(store);
            Box::new(async move { it.answer(it.complete(question)).await })
        }
    })?;
    interface.func_wrap_async("stream", {
        let asked = asked.clone();
        move |store, (question,): (Question,)| {
            let it = asked(store);
            Box::new(async move { it.answer(it.stream(question)).await })
        }
    })?;
    interface.func_wrap_async("next", {
        let asked = asked.clone();
        move |store, (reply,): (u32,)| {
            let it = asked(store);
            Box::new(async move { it.answer(it.next(reply)).await })
        }
    })?;
    interface.func_wrap_async("stop", {
        let asked = asked.clone();
        move |store, (reply,): (u32,)| {
            let it = asked(store);
            Box::new(async move {
                drop(it.env.replies.take(reply));
                Ok(())
            })
        }
    })?;
    interface.func_wrap_async("embed", move |store, (target, texts): (Option<String>, Vec<String>)| {
        let it = asked(store);
        Box::new(async move { it.answer(it.embed(target.as_deref(), texts)).await })
    })
}

impl Asked {
    /// Does the work on the call's clock of waiting.
    async fn answer<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> wasmtime::Result<(Result<T, Failure>,)> {
        let answer = self.env.clocks.waiting(work).await;
        self.env.figures.host_call("llm", outcome::word(&answer));
        Ok((answer,))
    }

    async fn complete(&self, question: Question) -> Result<Answer, Failure> {
        let mut reading = self.ask(question).await?;
        let mut name = Name { id: String::new(), model: reading.model().to_owned(), created: 0 };
        let (mut collector, mut bytes, most) = (Collector::default(), 0, self.env.limits.output);
        loop {
            let deltas = reading.next().await?;
            if deltas.is_empty() {
                break;
            }
            bytes += deltas.iter().map(Delta::bytes).sum::<usize>();
            if bytes > most {
                return Err(Failure::Exhausted(format!("the answer has more than {most} bytes (`limits.output`); read it as a stream")));
            }
            for delta in deltas {
                if let Delta::Head { model: Some(model), .. } = &delta {
                    name.model.clone_from(model);
                }
                collector.push(delta);
            }
        }
        let completion = collector.completion(name);
        let usage = completion.usage.as_deref().and_then(usage);
        let first = completion.choices.into_iter().next().ok_or_else(|| Failure::Unavailable("the model gave no answer".into()))?;
        Ok(Answer { message: message(first.message), finish_reason: first.finish_reason, model: completion.model, usage })
    }

    async fn stream(&self, question: Question) -> Result<u32, Failure> {
        self.env.replies.has_room()?;
        let reading = self.ask(question).await?;
        Ok(self.env.replies.add(reading))
    }

    async fn next(&self, number: u32) -> Result<Vec<types::Delta>, Failure> {
        let replies = &self.env.replies;
        let mut reading = replies.take(number).ok_or_else(|| Failure::Invalid("there is no reply of that number, or it is over".into()))?;
        let pieces = loop {
            let mut deltas = reading.next().await?;
            let over = deltas.is_empty();
            reading.book.take_in(&mut deltas, Portion::ALL);
            let (pieces, _) = shown(&deltas, Portion::ALL, &reading.book);
            // What a guest is shown nothing of is not the end.
            if over || !pieces.is_empty() {
                break pieces;
            }
        };
        if !pieces.is_empty() {
            replies.put_back(number, reading);
        }
        Ok(pieces)
    }

    async fn embed(&self, model: Option<&str>, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Failure> {
        let behalf = self.behalf()?;
        let model = self.way.terms.embedding(model)?;
        if texts.len() > TEXTS_MAX {
            return Err(Failure::Invalid(format!("one call gives vectors of at most {TEXTS_MAX} texts")));
        }
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let mut charge = self.charge(behalf, texts.iter().map(String::len).sum())?;
        let question = behalf.question(&self.env.plugin, Vec::new(), Fields::new());
        let (vectors, tokens) = self.way.models.embed(model, texts, &question).await.map_err(failure)?;
        if tokens > 0 {
            charge.reported(&Usage { prompt: tokens, ..Usage::default() });
        }
        Ok(vectors)
    }

    async fn ask(&self, Question { target, model, messages, params }: Question) -> Result<Reading, Failure> {
        let behalf = self.behalf()?;
        let target = self.way.terms.target(target.as_deref(), model.as_deref())?;
        let messages = messages.into_iter().map(message_back).collect::<Result<Vec<_>, _>>().map_err(Failure::Invalid)?;
        if messages.is_empty() {
            return Err(Failure::Invalid("the question has no message".into()));
        }
        let exchange = behalf.question(&self.env.plugin, messages, params_back(params)?);
        let charge = self.charge(behalf, Request::bytes(&exchange, &Data::everything()))?;
        let stream = self.way.models.ask(&target, &exchange).await.map_err(failure)?;
        Ok(Reading::new(stream, charge))
    }

    /// On whose behalf it asks.
    fn behalf(&self) -> Result<&Behalf, Failure> {
        match &self.env.behalf {
            None => Err(Failure::Unavailable("models are asked on behalf of a request that is under way, and this call has none".into())),
            Some(behalf) if behalf.is_inner() => {
                Err(Failure::Denied("a model that a plugin asks may not ask other models: the chain would have no end".into()))
            }
            Some(behalf) => Ok(behalf),
        }
    }

    fn charge(&self, behalf: &Behalf, bytes: usize) -> Result<Charge, Failure> {
        Charge::begin(behalf.used::<Spent>(&self.env.plugin), &self.way.terms, bytes)
    }
}

fn params_back(params: Vec<Field>) -> Result<Fields, Failure> {
    if params.len() > PARAMS_MAX {
        return Err(Failure::Invalid(format!("a question has at most {PARAMS_MAX} params")));
    }
    let mut fields = Fields::with_capacity(params.len() + 1);
    for Field { name, value: text } in params {
        if let Some(problem) = param_problem(&name) {
            return Err(Failure::Invalid(problem));
        }
        // Two providers would read two of them differently.
        if fields.iter().any(|(known, _)| *known == name) {
            return Err(Failure::Invalid(format!("params.{name} is there twice")));
        }
        // How the host reads the reply is its own affair.
        if name != "stream_options" {
            let json = value(text, &format!("params.{name}")).map_err(Failure::Invalid)?;
            fields.push((name, json));
        }
    }
    fields.push(("stream_options".into(), codec::raw_json(&serde_json::json!({"include_usage": true}))));
    Ok(fields)
}

fn failure(failed: AskFailed) -> Failure {
    match failed {
        AskFailed::Exhausted(why) => Failure::Exhausted(why),
        AskFailed::Timeout(why) => Failure::Timeout(why),
        AskFailed::Invalid(why) => Failure::Invalid(why),
        AskFailed::Unavailable(why) => Failure::Unavailable(why),
    }
}
