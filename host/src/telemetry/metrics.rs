//! Every figure that `/metrics` shows, named by OpenMetrics' custom with the unit at the end.
//! Labels come from closed lists and from the names of plugins, providers, pipelines and callers. Clients can choose the names of models, so
//! that only so many of those are kept. Each call here costs well under a microsecond.

mod custom;
mod family;
mod gen_ai;
mod plugins;
mod process;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::handles::{Handles, Named};
use family::{Counters, Gauges, Histograms, NAMES_MAX, histograms, plain, with_unit};
use gen_ai::GenAi;
use plugins::Plugins;
use tokens::Tokens;

pub use gen_ai::Operation;
pub use plugins::{HookCall, PluginFigures};

/// What `render` returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a cached answer to a reasoning model's minutes.
const SECONDS: [f64; 16] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Embedding a query takes about a millisecond, searching takes less.
const SEARCH_SECONDS: [f64; 10] = [2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.2, 1.0];
/// Up to the most hits that a pipeline may ask for.
const HITS: [f64; 8] = [0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];

/// The figures of this process.
pub struct Metrics {
    registry: Registry,
    /// What plugins bring. They choose names and labels, so only operators see it.
    of_plugins: Registry,
    process: Registry,
    families: Families,
    /// Routes times the statuses that they give.
    requests: Handles<(&'static str, u16), Counter, 64>,
    request_seconds: Handles<&'static str, Histogram, 32>,
    in_flight: Gauge,
    connections: Gauge,
    plugins: Plugins,
    providers: Named<Provider>,
    tokens: Tokens,
    search_seconds: Histogram,
    search_hits: Histogram,
    embed_queue: Gauge,
    gen_ai: GenAi,
}

/// The families that handles are made from.
struct Families {
    requests: Counters<2>,
    request_seconds: Histograms<1>,
    llm_attempts: Counters<2>,
    llm_seconds: Histograms<1>,
    llm_circuits: Gauges<1>,
    rag_documents: Counters<1>,
    rag_questions: Counters<1>,
    rag_sources: Counters<1>,
    rag_reranks: Counters<1>,
    spans: Counters<1>,
    cuts: Counters<1>,
    reloads: Counters<1>,
}

/// The handles of one provider.
struct Provider {
    name: String,
    attempts: Handles<&'static str, Counter, 16>,
    seconds: Histogram,
}

fn encode(registries: &[&Registry]) -> String {
    let mut out = String::new();
    let encoded = registries.iter().try_for_each(|registry| text::encode_registry(&mut out, registry));
    encoded.and_then(|()| text::encode_eof(&mut out)).expect("a String takes every write");
    out
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("cofferdam");
        let families = Families::register(&mut registry);
        let r = &mut registry;
        process::build(r);
        let mut of_plugins = Registry::with_prefix("cofferdam");
        let plugins = Plugins::register(r, &mut of_plugins);
        let tokens = Tokens::register(r);
        let in_flight = plain(r, "http_requests_in_flight", "Requests being answered", Gauge::default());
        let connections = plain(r, "http_connections", "Open client connections", Gauge::default());
        let search_seconds =
            with_unit(r, "rag_search", "Time of a search, its embedding included", Unit::Seconds, Histogram::new(SEARCH_SECONDS));
        let search_hits = plain(r, "rag_search_hits", "Chunks found by a search", Histogram::new(HITS));
        plain(r, "log_lines_dropped", "Log lines that were lost", super::log::dropped());
        let embed_queue = plain(r, "rag_embed_queue", "Documents and queries with a place in the embedder's queue", Gauge::default());
        Arc::new(Self {
            registry,
            of_plugins,
            process: process::registry(),
            families,
            requests: Handles::new(),
            request_seconds: Handles::new(),
            in_flight,
            connections,
            plugins,
            providers: Named::new(NAMES_MAX),
            tokens,
            search_seconds,
            search_hits,
            embed_queue,
            gen_ai: GenAi::new(),
        })
    }

    /// Every figure as OpenMetrics text; its type is `CONTENT_TYPE`.
    pub fn render(&self) -> String {
        encode(&[&self.registry, &self.gen_ai.registry, &self.of_plugins, &self.process])
    }

    /// The figures that tell nothing of what is in a conversation.
    pub fn render_for_everybody(&self) -> String {
        encode(&[&self.registry, &self.gen_ai.registry, &self.process])
    }

    /// One finished request. `route` is a fixed name such as `chat_completions`, never a path.
    pub fn request(&self, route: &'static str, status: u16, seconds: f64) {
        let family = || self.families.requests.get_or_create_owned(&[("route", route.into()), ("status", status.to_string())]);
        self.requests.with((route, status), family, Counter::inc);
        let family = || self.families.request_seconds.get_or_create_owned(&[("route", route.into())]);
        self.request_seconds.with(route, family, |histogram| histogram.observe(seconds));
    }

    /// `change` is 1 when a request begins and -1 when it has ended.
    pub fn in_flight(&self, change: i64) {
        self.in_flight.inc_by(change);
    }

    /// `change` is 1 when a connection opens and -1 when it has closed.
    pub fn connections(&self, change: i64) {
        self.connections.inc_by(change);
    }

    /// A connection, or one stream of it, was cut: `unread` if its client took nothing, `crowded` if its place was needed.
    pub fn cut(&self, reason: &'static str) {
        self.families.cuts.get_or_create(&[("reason", reason.into())]).inc();
    }

    /// The figures of one plugin, for whoever calls it to keep.
    pub fn plugin(&self, name: &str) -> PluginFigures {
        self.plugins.of(name)
    }

    /// A file of the plugin directory was read. `outcome` is `loaded`, `refused` and the like.
    pub fn plugin_load(&self, outcome: &'static str) {
        self.plugins.load(outcome);
    }

    /// One try at a provider. `provider` is a name from the operator's file.
    pub fn llm_attempt(&self, provider: &str, outcome: &'static str, seconds: f64) {
        let new = |name: &str| {
            let seconds = self.families.llm_seconds.get_or_create_owned(&[("provider", name.into())]);
            Provider { name: name.into(), attempts: Handles::new(), seconds }
        };
        self.providers.with(provider, new, |provider| {
            let labels = || [("provider", provider.name.clone()), ("outcome", outcome.into())];
            let family = || self.families.llm_attempts.get_or_create_owned(&labels());
            provider.attempts.with(outcome, family, Counter::inc);
            provider.seconds.observe(seconds);
        });
    }

    /// How many circuits of a provider are open now. `provider` is a name from the operator's file.
    pub fn llm_circuits(&self, provider: &str, open: usize) {
        let gauge = self.families.llm_circuits.get_or_create_owned(&[("provider", provider.into())]);
        gauge.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// One try at a model, for a stream to its first event. `error` is none if it succeeded, else a fixed word.
    pub fn operation(&self, of: Operation<'_>, error: Option<&'static str>, seconds: f64) {
        self.gen_ai.operation(of, error, seconds);
    }

    /// The first event of a stream.
    pub fn first_chunk(&self, of: Operation<'_>, seconds: f64) {
        self.gen_ai.first_chunk(of, seconds);
    }

    /// The tokens of a reply, as the provider counts them.
    pub fn operation_tokens(&self, of: Operation<'_>, input: u64, output: u64) {
        self.gen_ai.tokens(of, input, output);
    }

    /// What one reply used: prompt, completion and, of these, cached and reasoning. The names are pipeline, caller, provider and model; the
    /// caller is empty if no key was used.
    pub fn tokens(&self, names: [&str; 4], counts: [u64; 4]) {
        self.tokens.used(names, counts);
    }

    /// A request of `caller` was refused by this limit.
    pub fn rate_limited(&self, caller: &str, limit: &'static str) {
        self.tokens.rate_limited(caller, limit);
    }

    /// Spans for the collector of traces. `outcome` is `sent` or `dropped`.
    pub fn spans(&self, outcome: &'static str, count: u64) {
        if count > 0 {
            self.families.spans.get_or_create(&[("outcome", outcome.into())]).inc_by(count);
        }
    }

    /// The configuration was read again. `outcome` is `applied` or `refused`.
    pub fn config_reload(&self, outcome: &'static str) {
        self.families.reloads.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// One search of an exchange that did not fail, its embedding included.
    pub fn rag_search(&self, seconds: f64, hits: usize) {
        self.search_seconds.observe(seconds);
        self.search_hits.observe(hits as f64);
    }

    /// A model was asked to rank the hits of an exchange. `outcome` is `ok` or `failed`.
    pub fn rag_rerank(&self, outcome: &'static str) {
        self.families.rag_reranks.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// One document handed to the knowledge base. `outcome` is `stored`, `replaced`, or a word for why it was not taken.
    pub fn rag_document(&self, outcome: &'static str) {
        self.families.rag_documents.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// One look at a URL of `rag.sources`: `added`, `unchanged` or `failed`.
    pub fn rag_source(&self, outcome: &'static str) {
        self.families.rag_sources.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// Questions since the start whose vector was remembered, and those whose was computed. This is set when figures are asked for.
    pub fn rag_questions(&self, (remembered, computed): (u64, u64)) {
        for (outcome, count) in [("remembered", remembered), ("computed", computed)] {
            self.families.rag_questions.get_or_create(&[("outcome", outcome.into())]).inner().store(count, Ordering::Relaxed);
        }
    }

    /// How many texts are in the embedder's queue now. This is set when figures are asked for, because the queue counts them anyway.
    pub fn embed_queue(&self, now: usize) {
        self.embed_queue.set(i64::try_from(now).unwrap_or(i64::MAX));
    }
}

impl Families {
    fn register(r: &mut Registry) -> Self {
        let seconds = || Unit::Seconds;
        Self {
            requests: plain(r, "http_requests", "Requests answered", Family::default()),
            request_seconds: with_unit(
                r,
                "http_request",
                "Time from headers to the reply's last byte",
                seconds(),
                histograms(|| Histogram::new(SECONDS)),
            ),
            llm_attempts: plain(r, "llm_attempts", "Tries at providers", Family::default()),
            llm_seconds: with_unit(r, "llm_attempt", "Time of a try at a provider", seconds(), histograms(|| Histogram::new(SECONDS))),
            llm_circuits: plain(r, "llm_circuit_open", "Open circuits of a provider", Family::default()),
            rag_documents: plain(r, "rag_documents", "Documents handed in", Family::default()),
            rag_sources: plain(r, "rag_sources", "Looks at the URLs of sources", Family::default()),
            rag_questions: plain(r, "rag_questions", "Questions that were embedded, or whose vector was remembered", Family::default()),
            rag_reranks: plain(r, "rag_reranks", "Searches whose hits a model was asked to rank", Family::default()),
            cuts: plain(r, "http_cut", "Connections and streams that were cut, by reason", Family::default()),
            reloads: plain(r, "config_reloads", "Reloads of the configuration", Family::default()),
            spans: plain(r, "otlp_spans", "Spans for the collector of traces", Family::default()),
        }
    }
}

#[cfg(test)]
mod tests;
