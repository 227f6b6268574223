//! Stage pre_hook: plugins in order, each on what the one before it left.
//! A hook that answers in place of the model ends the stage.

use super::{Error, Flow, HookStage, LlmStage, settle};
use crate::chat::Exchange;
use crate::llm::completion_of;
use crate::sandbox::{Hook, Plugins, PreOutcome, Targets};
use crate::telemetry::Metrics;

/// Runs the stage. `llm` is whom the pipeline would ask, among which a hook may choose.
///
/// # Errors
/// A plugin's rejection, or its fault under `on_failure = "reject"`.
pub async fn run(stage: &HookStage, plugins: &Plugins, llm: &LlmStage, mut exchange: Exchange, metrics: &Metrics) -> Result<Flow, Error> {
    let targets = Targets::of(llm.targets.iter().map(|target| (&*target.provider, &*target.model)));
    for name in &stage.plugins {
        let outcome;
        (exchange, outcome) = match plugins.get(name, Hook::Pre) {
            Ok(plugin) => plugin.pre_hook(exchange, targets.clone()).await,
            Err(fault) => (exchange, Err(fault)),
        };
        exchange.account.metadata(&exchange.metadata);
        match outcome {
            Ok(PreOutcome::Proceed) => {}
            Ok(PreOutcome::Respond(message)) => {
                let completion = completion_of(message, &exchange.pipeline);
                return Ok(Flow::Done(exchange, completion));
            }
            Ok(PreOutcome::Reject(rejection)) => return Err(Error::Rejected { plugin: name.as_str().into(), rejection }),
            Err(fault) => settle(fault, plugins, &exchange, metrics)?,
        }
    }
    Ok(Flow::Next(exchange))
}
