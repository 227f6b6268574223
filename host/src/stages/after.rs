//! Stage post_hook: plugins in order on the whole reply, before the client sees any of it.
//! A plugin sees the completion as the one before it left it; one with a stream hook alone gets it as one push.

use super::seen::Seen;
use super::{Error, HookStage, settle};
use crate::chat::{Completion, Exchange, Said};
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
        let plugin = match plugins.get(name, Hook::Post) {
            // It is told when the exchange is over.
            Ok(plugin) if !plugin.sees_reply() => continue,
            Ok(plugin) => plugin,
            Err(fault) => {
                settle(fault, plugins, &exchange, metrics)?;
                continue;
            }
        };
        let hook = if plugin.takes_whole() { Hook::Post } else { Hook::Stream };
        let mut seen = Seen::new(&exchange, &name.as_str().into(), hook, metrics);
        seen.came_whole(said(&completion));
        let (outcome, shown);
        ((exchange, completion), outcome, shown) = match hook {
            Hook::Post => plugin.post_hook(exchange, completion).await,
            _ => plugin.stream_hook_on_whole(exchange, completion).await,
        };
        seen.shown(shown);
        exchange.account.metadata(&exchange.metadata);
        match outcome {
            Ok(PostOutcome::Keep) => {}
            Ok(PostOutcome::Replaced) => changed = true,
            Ok(PostOutcome::Reject(rejection)) => return Err(Error::Rejected { plugin: name.as_str().into(), rejection }),
            Err(fault) => settle(fault, plugins, &exchange, metrics)?,
        }
    }
    exchange.coverage.sent(said(&completion));
    Ok((exchange, completion, changed))
}

fn said(completion: &Completion) -> Said {
    let mut said = Said::default();
    said.completion(completion);
    said
}
