//! What the stream hooks of one reply share: what is to be told of a cut or a fault, and the operator's `on_failure`.
//! The first that ends the reply is the one that is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::chat::account::{Account, Hold};
use crate::chat::{Exchange, Frames, Json, Metadata, RequestId, Skipped, StreamError};
use crate::sandbox::{DoneQueue, Fault, FaultKind, OnFailure, Plugins, Rejection};
use crate::stages::Error;
use crate::telemetry::Metrics;

/// The code with which a stream ends that a hook has cut.
pub const CUT: &str = "content_filter";

/// What the hooks of one reply share.
pub(super) struct Stage {
    plugins: Arc<Plugins>,
    metrics: Arc<Metrics>,
    request: RequestId,
    skipped: Skipped,
    account: Account,
    /// The metadata as each hook found it, and as all of them left it.
    found: Metadata,
    left: Mutex<Metadata>,
    done: Arc<DoneQueue>,
    /// What ended the reply, to be told with a status of its own if nothing was sent yet.
    end: Mutex<Option<Error>>,
}

impl Stage {
    pub(super) fn new(plugins: Arc<Plugins>, metrics: Arc<Metrics>, done: Arc<DoneQueue>, exchange: &Exchange) -> Self {
        let (request, skipped, account) = (exchange.id.clone(), exchange.skipped.clone(), exchange.account.clone());
        let (found, left) = (exchange.metadata.clone(), Mutex::new(exchange.metadata.clone()));
        Self { plugins, metrics, request, skipped, account, found, left, done, end: Mutex::default() }
    }

    /// What a hook left in the metadata when it closed, for those who are told of the exchange. Hooks end in any order, so what each one changed
    /// is taken and not what it did not touch.
    pub(super) fn left(&self, metadata: Metadata) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|name, _| !self.found.contains_key(name) || metadata.contains_key(name));
        let changed = |(name, value): &(String, Json)| self.found.get(name).is_none_or(|found| found.get() != value.get());
        left.extend(metadata.into_iter().filter(changed));
        self.account.metadata(&left);
    }

    /// Runs the last work of a hook that the client does not wait for: a drain does, and so does the account of the exchange.
    pub(super) fn behind(&self, work: impl Future<Output = ()> + Send + 'static) {
        let held: Option<Hold> = self.account.hold();
        self.done.prepare(async move {
            work.await;
            drop(held);
        });
    }

    /// What ended the reply up to now.
    pub(super) fn ended(&self) -> Option<Error> {
        self.end().take()
    }

    /// A hook has cut the reply: what its client is told.
    pub(super) fn cut(&self, plugin: &Arc<str>, rejection: Rejection) -> StreamError {
        tracing::info!(request = &*self.request, plugin = &**plugin, code = rejection.code, "a stream hook cut the reply");
        let error = StreamError { message: rejection.message.clone(), code: CUT };
        self.end().get_or_insert(Error::Rejected { plugin: plugin.clone(), rejection });
        error
    }

    /// Applies the operator's `on_failure`: an error that ends the stream, or none if it goes on without the hook.
    pub(super) fn settle(&self, fault: Fault) -> Option<StreamError> {
        match self.plugins.on_failure(&fault) {
            OnFailure::Reject => {
                tracing::warn!(request = &*self.request, plugin = &*fault.plugin, %fault, "a stream hook's fault ended the reply");
                let error = StreamError { message: told(&fault), code: code(&fault.kind) };
                self.end().get_or_insert(Error::Fault(fault));
                Some(error)
            }
            OnFailure::Skip => {
                tracing::warn!(request = &*self.request, plugin = &*fault.plugin, hook = fault.hook.word(), %fault, "plugin skipped");
                self.metrics.plugin(&fault.plugin).skipped(fault.hook.word());
                self.skipped.add(fault.plugin);
                None
            }
        }
    }

    fn end(&self) -> MutexGuard<'_, Option<Error>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(super) fn ping() -> Frames {
    Frames::raw(bytes::Bytes::from_static(b": ping\n\n"))
}

/// A reply that ended without saying so.
pub(super) fn stopped() -> StreamError {
    StreamError { message: "the reply stopped before its end".into(), code: "upstream_cut" }
}
