//! Stage post_hook on a streamed reply: the stream hooks in their order, each on what the one before it lets out. Nothing is sent before the first
//! piece of the reply has passed them all, so that a refusal up to then has a status of its own; what ends the reply after that is an error event.
//! No hook is asked for more than has arrived, and nothing is read that the client does not take.

mod last;
mod observe;
mod stage;
mod transform;

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::seen::Seen;
use super::{Error, HookStage, settle};
use crate::chat::held::Held;
use crate::chat::{Exchange, FrameStream, ReplyStream};
use crate::sandbox::{DoneQueue, Hook, Plugin, Plugins, StreamMode, StreamPlace};
use crate::telemetry::Metrics;
use stage::Stage;

pub use stage::CUT;

/// The stage's stream hooks, each with its place.
pub struct Places(Vec<(Arc<Plugin>, StreamPlace)>);

/// Waits for the places of all of the stage's hooks. The pipeline does so before it asks the model: a host that is too busy to look at a reply
/// says so before that is paid.
///
/// # Errors
/// That there is no place, or no such plugin or hook, if the operator wants that to reject.
pub async fn places(stage: &HookStage, plugins: &Plugins, exchange: &Exchange, metrics: &Metrics) -> Result<Places, Error> {
    let mut places = Vec::with_capacity(stage.plugins.len());
    for name in &stage.plugins {
        if plugins.get(name, Hook::Post).is_ok_and(|plugin| !plugin.sees_reply()) {
            continue;
        }
        let place = match plugins.get(name, Hook::Stream) {
            Ok(plugin) => plugin.stream_place(exchange).await.map(|place| (plugin.clone(), place)),
            Err(fault) => Err(fault),
        };
        match place {
            Ok(place) => places.push(place),
            Err(fault) => settle(fault, plugins, exchange, metrics)?,
        }
    }
    Ok(Places(places))
}

/// Opens the hooks and puts the reply through them; `model` gives it. Waits for the first frame that says something.
///
/// # Errors
/// A plugin's rejection, or its fault if the operator wants faults to reject, before anything was sent.
pub async fn run(
    places: Places,
    plugins: &Arc<Plugins>,
    exchange: Exchange,
    model: &str,
    mut reply: ReplyStream,
    metrics: &Arc<Metrics>,
    done: &Arc<DoneQueue>,
) -> Result<(Exchange, ReplyStream), Error> {
    let along = Arc::new(Stage::new(plugins.clone(), metrics.clone(), done.clone(), &exchange));
    let mut hooks = false;
    for (plugin, place) in places.0 {
        let seen = Seen::new(&exchange, &plugin.name().into(), Hook::Stream, metrics);
        let hook = match plugin.open_stream(place, &exchange, model).await {
            Ok(hook) => hook,
            Err(fault) => {
                settle(fault, plugins, &exchange, metrics)?;
                None
            }
        };
        hooks |= hook.is_some();
        if hook.as_ref().is_some_and(|hook| hook.mode() == StreamMode::Transform) {
            exchange.kept.one::<Held>().begin();
        }
        reply = reply.through(|frames| match hook {
            Some(hook) if hook.mode() == StreamMode::Observe => observe::stream(frames, hook, along.clone(), seen),
            Some(hook) => transform::stream(frames, hook, along.clone(), seen),
            None => observe::unseen(frames, seen),
        });
    }
    let mut reply = reply.through(|frames| last::stream(frames, exchange.coverage.clone()));
    if !hooks {
        return Ok((exchange, reply));
    }
    let mut first = None;
    while let Some(item) = reply.next().await {
        // A provider that shows that it is there has not answered.
        if !matches!(&item, Ok(frames) if !frames.end && frames.is_silent()) {
            first = Some(item);
            break;
        }
    }
    if let (Some(Err(_)) | None, Some(error)) = (&first, along.ended()) {
        return Err(error);
    }
    let reply = reply.through(|rest| -> FrameStream { Box::pin(stream::iter(first).chain(rest)) });
    Ok((exchange, reply))
}
