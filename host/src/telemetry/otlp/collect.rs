//! A layer of the process's subscriber that keeps the fields of spans and puts each span into the queue when it ends. It never waits, and of
//! each text it keeps no more than the beginning.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::Sender;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Span, Subscriber};
use tracing_subscriber::layer::Context as Here;
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::context::Context;

/// Characters of a value; models and plugins have shorter names.
const TEXT_CHARS_MAX: usize = 256;

/// The layer: puts spans into the queue as they end.
pub struct Collecting {
    queue: Sender<Finished>,
    lost: Arc<AtomicU64>,
}

/// What an attribute may be.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::telemetry) enum Value {
    Text(String),
    Texts(Vec<String>),
    Whole(i64),
    Number(f64),
    Flag(bool),
}

/// A span that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) span: Open,
    pub(super) time: Duration,
}

/// A span under way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) context: Context,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: String,
    /// OTLP's number: 1 internal, 2 server, 3 client.
    pub(super) kind: u8,
    pub(super) failed: bool,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) began: SystemTime,
    since: Instant,
}

impl Collecting {
    pub(super) fn new(queue: Sender<Finished>, lost: Arc<AtomicU64>) -> Self {
        Self { queue, lost }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Collecting {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, here: Here<'_, S>) {
        let Some(span) = here.span(id) else { return };
        let parent = span.parent().and_then(|parent| parent.extensions().get::<Open>().map(|open| open.context));
        let mut open = Open {
            context: Context::below(parent.as_ref()),
            parent: parent.map(|parent| parent.span),
            name: span.name().to_owned(),
            kind: 1,
            failed: false,
            attributes: Vec::new(),
            began: SystemTime::now(),
            since: Instant::now(),
        };
        attributes.record(&mut open);
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, here: Here<'_, S>) {
        if let Some(span) = here.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(open);
        }
    }

    fn on_close(&self, id: Id, here: Here<'_, S>) {
        let Some(span) = here.span(&id).and_then(|span| span.extensions_mut().remove::<Open>()) else { return };
        let time = span.since.elapsed();
        if span.context.sampled && self.queue.try_send(Finished { span, time }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Makes a span that has no children yet part of a client's trace, if `traceparent` is valid and traces are on.
pub(in crate::telemetry) fn adopt(span: &Span, traceparent: &str) {
    open(span, |open| {
        if let Some(client) = Context::parse(traceparent) {
            open.parent = Some(client.span);
            open.context = Context { span: open.context.span, ..client };
        }
    });
}

/// Adds what only traces show because it would be noise in log lines; `otel.*` works as in a span's fields.
pub(in crate::telemetry) fn attributes<const N: usize>(span: &Span, more: impl FnOnce() -> [(&'static str, Value); N]) {
    open(span, |open| more().into_iter().for_each(|(key, value)| open.set(key, value)));
}

fn open(span: &Span, act: impl FnOnce(&mut Open)) {
    span.with_subscriber(|(id, subscriber)| {
        if let Some(span) = subscriber.downcast_ref::<Registry>().and_then(|registry| registry.span(id))
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            act(open);
        }
    });
}

impl Open {
    fn set(&mut self, key: &'static str, value: Value) {
        match (key, value) {
            ("otel.name", Value::Text(name)) => self.name = name,
            ("otel.kind", Value::Text(kind)) => {
                self.kind = [("server", 2), ("client", 3)].into_iter().find_map(|(k, n)| (k == kind).then_some(n)).unwrap_or(1)
            }
            ("otel.status_code", Value::Text(code)) => self.failed = code == "ERROR",
            // A span's field cannot hold a list.
            ("gen_ai.response.finish_reasons", Value::Text(reasons)) => {
                self.attributes.push((key, Value::Texts(reasons.split(',').map(str::to_owned).collect())));
            }
            (key, value) => match self.attributes.iter_mut().find(|(known, _)| *known == key) {
                Some((_, held)) => *held = value,
                None => self.attributes.push((key, value)),
            },
        }
    }

    fn text(&mut self, field: &Field, text: &str) {
        self.set(field.name(), Value::Text(text.chars().take(TEXT_CHARS_MAX).collect()));
    }
}

impl Visit for Open {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), Value::Whole(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), Value::Whole(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), Value::Number(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), Value::Flag(value));
    }
}
