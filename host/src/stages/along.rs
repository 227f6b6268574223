//! Stage post_hook on a streamed reply: the stream hooks in their order, each on what the one before it lets out. Nothing is sent before the first
//! piece of the reply has passed them all, so that a refusal up to then has a status of its own; what ends the reply after that is an error event.
//! No hook is asked for more than has arrived, and nothing is read that the client does not take.

mod last;
mod observe;
mod transform;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};

use super::{Error, HookStage, settle};
use crate::chat::{Exchange, FrameStream, Frames, ReplyStream, RequestId, StreamError};
use crate::sandbox::{Fault, FaultKind, Hook, OnFailure, Plugins, Rejection, StreamMode};
use crate::telemetry::Metrics;

/// The code with which a stream ends that a hook has cut.
pub const CUT: &str = "content_filter";

/// What the hooks of one reply share.
struct Stage {
    plugins: Arc<Plugins>,
    metrics: Arc<Metrics>,
    request: RequestId,
    begun: Mutex<Begun>,
}

/// What is to be told before the first byte.
#[derive(Default)]
struct Begun {
    end: Option<Error>,
    skipped: Vec<Arc<str>>,
}

/// Opens the stage's hooks and puts the reply through them; `model` gives it. Waits for the first frame that says something.
///
/// # Errors
/// A plugin's rejection, or its fault if the operator wants faults to reject, before anything was sent.
pub async fn run(
    stage: &HookStage,
    plugins: &Arc<Plugins>,
    mut exchange: Exchange,
    model: &str,
    mut reply: ReplyStream,
    metrics: &Arc<Metrics>,
) -> Result<(Exchange, ReplyStream), Error> {
    let along = Stage { plugins: plugins.clone(), metrics: metrics.clone(), request: exchange.id.clone(), begun: Mutex::default() };
    let along = Arc::new(along);
    let mut hooks = false;
    for name in &stage.plugins {
        let opened = match plugins.get(name, Hook::Stream) {
            Ok(plugin) => plugin.open_stream(&exchange, model).await,
            Err(fault) => Err(fault),
        };
        match opened {
            Ok(None) => {}
            Ok(Some(hook)) => {
                hooks = true;
                reply = reply.through(|frames| match hook.mode() {
                    StreamMode::Observe => observe::stream(frames, hook, along.clone()),
                    StreamMode::Transform => transform::stream(frames, hook, along.clone()),
                });
            }
            Err(fault) => settle(fault, plugins, &mut exchange, metrics)?,
        }
    }
    if !hooks {
        return Ok((exchange, reply));
    }
    let mut first = None;
    let mut reply = reply.through(last::stream);
    while let Some(item) = reply.next().await {
        // A provider that shows that it is there has not answered.
        if !matches!(&item, Ok(frames) if !frames.end && frames.is_silent()) {
            first = Some(item);
            break;
        }
    }
    let begun = std::mem::take(&mut *along.begun.lock().unwrap_or_else(PoisonError::into_inner));
    if let (Some(Err(_)) | None, Some(error)) = (&first, begun.end) {
        return Err(error);
    }
    exchange.skipped.extend(begun.skipped);
    let reply = reply.through(|rest| -> FrameStream { Box::pin(stream::iter(first).chain(rest)) });
    Ok((exchange, reply))
}

impl Stage {
    /// A hook has cut the reply: what its client is told.
    fn cut(&self, plugin: &Arc<str>, rejection: Rejection) -> StreamError {
        tracing::info!(request = &*self.request, plugin = &**plugin, code = rejection.code, "a stream hook cut the reply");
        let error = StreamError { message: rejection.message.clone(), code: CUT };
        self.begun().end.get_or_insert(Error::Rejected { plugin: plugin.clone(), rejection });
        error
    }

    /// Applies the operator's `on_failure`: an error that ends the stream, or none if it goes on without the hook.
    fn settle(&self, fault: Fault) -> Option<StreamError> {
        match self.plugins.on_failure(&fault) {
            OnFailure::Reject => {
                tracing::warn!(request = &*self.request, plugin = &*fault.plugin, %fault, "a stream hook's fault ended the reply");
                let error = StreamError { message: told(&fault), code: code(&fault.kind) };
                self.begun().end.get_or_insert(Error::Fault(fault));
                Some(error)
            }
            OnFailure::Skip => {
                tracing::warn!(request = &*self.request, plugin = &*fault.plugin, hook = fault.hook.word(), %fault, "plugin skipped");
                self.metrics.plugin(&fault.plugin).skipped(fault.hook.word());
                self.begun().skipped.push(fault.plugin);
                None
            }
        }
    }

    fn begun(&self) -> std::sync::MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(fault: &Fault) -> String {
    match fault.kind {
        FaultKind::Host(_) => format!("the host failed while it ran plugin `{}`; its log says why, under this request's id", fault.plugin),
        _ => fault.to_string(),
    }
}

fn code(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Busy => "plugin_busy",
        FaultKind::Host(_) => "plugin_host_error",
        _ => "plugin_failed",
    }
}

/// Frames that hold nothing but that the provider is there.
fn ping() -> Frames {
    Frames::raw(bytes::Bytes::from_static(b": ping\n\n"))
}

/// A reply that ended without saying so.
fn stopped() -> StreamError {
    StreamError { message: "the reply stopped before its end".into(), code: "upstream_cut" }
}
