//! Stage post_hook: plugins in order on the whole reply, before the client sees any of it.
//! A plugin sees the completion as the one before it left it; one with a stream hook alone gets it as one push.

use super::{Error, HookStage, settle};
use crate::chat::{Completion, Exchange};
use crate::sandbox::{Hook, Plugins, PostOutcome};
use crate::telemetry::Metrics;

/// Runs the stage; says whether any plugin changed the completion, which comes back with the exchange.
///
/// # Errors
/// A plugin's rejection, or its fault if the operator wants faults to reject.
pub async fn run(
    stage: &HookStage,
    plugins: &Plugins,
    mut exchange: Exchange,
    mut completion: Completion,
    metrics: &Metrics,
) -> Result<(Exchange, Completion, bool), Error> {
    let mut changed = false;
    for name in &stage.plugins {
        let outcome;
        ((exchange, completion), outcome) = match plugins.get(name, Hook::Post) {
            // It is told when the exchange is over.
            Ok(plugin) if !plugin.sees_reply() => continue,
            Ok(plugin) if plugin.takes_whole() => plugin.post_hook(exchange, completion).await,
            Ok(plugin) => plugin.stream_hook_on_whole(exchange, completion).await,
            Err(fault) => ((exchange, completion), Err(fault)),
        };
        exchange.account.metadata(&exchange.metadata);
        match outcome {
            Ok(PostOutcome::Keep) => {}
            Ok(PostOutcome::Replaced) => changed = true,
            Ok(PostOutcome::Reject(rejection)) => return Err(Error::Rejected { plugin: name.as_str().into(), rejection }),
            Err(fault) => settle(fault, plugins, &exchange, metrics)?,
        }
    }
    Ok((exchange, completion, changed))
}
