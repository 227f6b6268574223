//! The walk: the stages in their fixed order, as a straight list of awaits under the exchange's deadline.
//! One snapshot of the plugins serves the exchange to the last byte of its reply.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::session::Session;
use super::{Definition, Error, Outcome, Pipeline, Toggles};
use crate::chat::held::Held;
use crate::chat::stream::streamed;
use crate::chat::{Completion, Exchange, Reply, Whole, codec};
use crate::llm::{self, Llm, Mode};
use crate::rag::Knowledge;
use crate::sandbox::{DoneQueue, Hook, Plugins, Registry};
use crate::stages::{Flow, HookStage, RagStage, after, along, before, cite, complete, done, retrieve};
use crate::telemetry::Metrics;

/// Walks exchanges through pipelines.
pub struct Runner {
    pub registry: Arc<Registry>,
    pub knowledge: Arc<Knowledge>,
    pub llm: Arc<Llm>,
    pub metrics: Arc<Metrics>,
    /// Of plugins that are told of exchanges that are over.
    pub done: Arc<DoneQueue>,
}

/// The stages that run for one exchange.
struct Plan<'a> {
    definition: &'a Definition,
    rag: Option<&'a RagStage>,
    pre_hook: Option<&'a HookStage>,
    post_hook: Option<&'a HookStage>,
}

/// Where the walk ended.
struct Walked {
    exchange: Exchange,
    reply: Reply,
    answered_by: Option<(String, String)>,
}

impl Runner {
    /// Runs one exchange to its reply. Dropping the future, or the reply's stream, ends all work behind it.
    ///
    /// # Errors
    /// Why there is no reply; nothing was sent then.
    pub async fn run(&self, pipeline: Arc<Pipeline>, toggles: Toggles, exchange: Exchange) -> Result<Outcome, Error> {
        let mut plan = plan(&pipeline.definition, toggles)?;
        let plugins = self.registry.snapshot();
        // For those that answer as models: they are asked further below, where nobody knows of plugins.
        exchange.kept.add(plugins.clone());
        if let Some(stage) = plan.post_hook {
            done::begin(stage, &plugins, &exchange, &self.done);
            // Without a hook on the reply there is nothing that the client has to wait for.
            plan.post_hook = Some(stage).filter(|stage| !done::is_all(stage, &plugins));
        }
        plan.check_plugins(&plugins, &self.metrics)?;
        let deadline = exchange.deadline.instant();
        let walk = tokio::time::timeout_at(deadline, self.walk(&plan, &plugins, exchange));
        let Walked { exchange, reply, answered_by } = walk.await.unwrap_or(Err(Error::Deadline))?;
        let (attempts, skipped) = (exchange.tries.begun(), exchange.skipped.all());
        // Outside of everything that changes the reply: what is told is what the client got.
        let reply = match reply {
            Reply::Whole(whole) => {
                match &whole {
                    Whole::Raw(body) => exchange.account.raw(body),
                    Whole::Parsed(completion) => exchange.account.whole(completion),
                }
                Reply::Whole(whole)
            }
            Reply::Stream(stream) => Reply::Stream(Session { exchange, plugins, pipeline }.hold(stream)),
        };
        Ok(Outcome { reply, answered_by, attempts, skipped })
    }

    async fn walk(&self, plan: &Plan<'_>, plugins: &Arc<Plugins>, exchange: Exchange) -> Result<Walked, Error> {
        // Boxed if a pipeline may do without: every walk's future is as large as the largest of its stages.
        let exchange = match plan.rag {
            Some(stage) => Box::pin(retrieve::run(stage, &self.knowledge, exchange, &self.metrics)).await?,
            None => exchange,
        };
        let flow = match plan.pre_hook {
            Some(stage) => Box::pin(before::run(stage, plugins, &plan.definition.llm, exchange, &self.metrics)).await?,
            None => Flow::Next(exchange),
        };
        // A hook that cannot go along with a stream must see all of the reply before the client sees any.
        let streams = plan.post_hook.is_none_or(|stage| stage.streams(plugins));
        match &flow {
            Flow::Done(exchange, _) if plan.post_hook.is_some() => exchange.kept.one::<Held>().begin(),
            Flow::Next(exchange) if !streams => exchange.kept.one::<Held>().begin(),
            Flow::Done(..) | Flow::Next(_) => {}
        }
        let mut places = None;
        let (exchange, reply, answered_by) = match flow {
            Flow::Done(exchange, completion) => (exchange, Reply::Whole(Whole::Parsed(completion)), None),
            Flow::Next(exchange) => {
                let mode = if exchange.stream && streams { Mode::Stream } else { Mode::Whole };
                if let (Some(stage), Mode::Stream) = (plan.post_hook, mode) {
                    places = Some(Box::pin(along::places(stage, plugins, &exchange, &self.metrics)).await?);
                }
                let (exchange, answer) = complete::run(&plan.definition.llm, &self.llm, mode, exchange).await?;
                // Before the hooks on the reply, which are to see all that the client gets.
                let reply = if plan.rag.is_some_and(|stage| stage.citations) { cite::run(&exchange, answer.reply) } else { answer.reply };
                (exchange, reply, Some((answer.provider, answer.model)))
            }
        };
        let (exchange, reply) = match (plan.post_hook, places, reply) {
            (Some(_), Some(places), Reply::Stream(stream)) => {
                let model = answered_by.as_ref().map_or("", |(_, model)| model);
                let (exchange, stream) = Box::pin(along::run(places, plugins, exchange, model, stream, &self.metrics, &self.done)).await?;
                (exchange, Reply::Stream(stream))
            }
            (Some(stage), _, reply) => Box::pin(self.after(stage, plugins, exchange, reply, answered_by.as_ref())).await?,
            (None, _, reply) => (exchange, reply),
        };
        let reply = match reply {
            Reply::Whole(Whole::Parsed(completion)) if exchange.stream => streamed(completion, &exchange),
            other => other,
        };
        Ok(Walked { exchange, reply, answered_by })
    }

    async fn after(
        &self,
        stage: &HookStage,
        plugins: &Plugins,
        exchange: Exchange,
        reply: Reply,
        answered_by: Option<&(String, String)>,
    ) -> Result<(Exchange, Reply), Error> {
        let (raw, completion) = opened(reply, answered_by)?;
        let (exchange, completion, changed) = after::run(stage, plugins, exchange, completion, &self.metrics).await?;
        let whole = match raw {
            // Untouched and wanted whole: the provider's own bytes are the most faithful answer.
            Some(raw) if !changed && !exchange.stream => Whole::Raw(raw),
            _ => Whole::Parsed(completion),
        };
        Ok((exchange, Reply::Whole(whole)))
    }
}

impl Plan<'_> {
    /// Before anything is asked: a reply that a missing post-hook would spoil is not paid for.
    fn check_plugins(&self, plugins: &Plugins, metrics: &Metrics) -> Result<(), Error> {
        let stages = [(self.pre_hook, Hook::Pre), (self.post_hook, Hook::Post)];
        stages.into_iter().try_for_each(|(stage, hook)| stage.map_or(Ok(()), |stage| stage.check(hook, plugins, metrics)))
    }
}

/// Applies a client's switches to a pipeline's own settings.
fn plan(definition: &Definition, toggles: Toggles) -> Result<Plan<'_>, Error> {
    let on = |enabled: bool, locked: bool, toggle: Option<bool>, stage: &'static str| match toggle {
        Some(false) if locked && enabled => Err(Error::Locked(stage)),
        Some(wanted) => Ok(wanted),
        None => Ok(enabled),
    };
    let mut plan = Plan { definition, rag: None, pre_hook: None, post_hook: None };
    if let Some(stage) = &definition.rag {
        plan.rag = on(stage.enabled, stage.locked, toggles.rag, "rag")?.then_some(stage);
    }
    if let Some(stage) = &definition.pre_hook {
        plan.pre_hook = on(stage.enabled, stage.locked, toggles.pre_hook, "pre_hook")?.then_some(stage);
    }
    if let Some(stage) = &definition.post_hook {
        plan.post_hook = on(stage.enabled, stage.locked, toggles.post_hook, "post_hook")?.then_some(stage);
    }
    Ok(plan)
}

/// The completion behind a whole reply, with its bytes if a provider sent them.
fn opened(reply: Reply, answered_by: Option<&(String, String)>) -> Result<(Option<Bytes>, Completion), Error> {
    match reply {
        Reply::Whole(Whole::Parsed(completion)) => Ok((None, completion)),
        Reply::Whole(Whole::Raw(raw)) => {
            let mut completion = codec::parse_completion(&raw).map_err(|invalid| {
                let provider = answered_by.map(|(provider, _)| provider.clone()).unwrap_or_default();
                Error::Llm(llm::Error::InvalidReply { provider, cause: invalid.message })
            })?;
            number(&mut completion);
            Ok((Some(raw), completion))
        }
        Reply::Stream(_) => unreachable!("a reply asked for whole is whole"),
    }
}

/// Gives every choice an index of its own if the provider did not: hooks name a choice by its index, and none may hide behind another.
fn number(completion: &mut Completion) {
    let indices: HashSet<u32> = completion.choices.iter().map(|choice| choice.index).collect();
    if indices.len() < completion.choices.len() {
        for (at, choice) in (0..).zip(&mut completion.choices) {
            choice.index = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(locked: bool, enabled: bool) -> Definition {
        let stage = serde_json::json!({"stage": "rag", "enabled": enabled, "locked": locked});
        let llm = serde_json::json!({"stage": "llm", "config": {"primary": {"provider": "p", "model": "m"}}});
        Definition::parse(&serde_json::json!([stage, llm])).expect("valid")
    }

    #[track_caller]
    fn runs(locked: bool, enabled: bool, toggle: Option<bool>) -> Option<bool> {
        let toggles = Toggles { rag: toggle, ..Toggles::default() };
        plan(&definition(locked, enabled), toggles).ok().map(|plan| plan.rag.is_some())
    }

    #[test]
    fn choices_without_indices_of_their_own_are_numbered() {
        let body = br#"{"choices":[{"message":{"role":"assistant"}},{"message":{"role":"assistant"}}]}"#;
        let (_, completion) = opened(Reply::Whole(Whole::Raw(Bytes::from_static(body))), None).expect("valid");
        assert_eq!(completion.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_client_switches_stages_unless_the_operator_locked_them_on() {
        assert_eq!(runs(false, true, None), Some(true));
        assert_eq!(runs(false, true, Some(false)), Some(false));
        assert_eq!(runs(false, false, Some(true)), Some(true));
        assert_eq!(runs(false, false, None), Some(false));
        assert_eq!(runs(true, true, Some(false)), None);
        assert_eq!(runs(true, true, Some(true)), Some(true));
    }
}
