//! Every figure that `/metrics` shows, in one place: names by OpenMetrics' custom, units at their end.
//! Labels come from closed lists and from the names of plugins, providers, pipelines and callers; of what a client can choose, models' names,
//! only so many are kept. Each call costs well under a microsecond. Must not know who measures.

mod gen_ai;
mod tokens;

use std::sync::Arc;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::handles::{Handles, Named};
use gen_ai::GenAi;
pub use gen_ai::Operation;
use tokens::Tokens;

/// What `render` returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a cached answer to a reasoning model's minutes.
const SECONDS: [f64; 16] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// A hook in Rust takes tens of microseconds, one in Python milliseconds; the default limit is half a second.
const CALL_SECONDS: [f64; 14] = [5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2, 1e-1, 5e-1, 2.0];
/// Around the default limit of 200 million operators.
const CALL_FUEL: [f64; 11] = [1e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8];
/// Around the default limit of 64 MiB.
const CALL_BYTES: [f64; 9] =
    [131_072.0, 1_048_576.0, 2_097_152.0, 4_194_304.0, 8_388_608.0, 16_777_216.0, 33_554_432.0, 67_108_864.0, 268_435_456.0];
/// Embedding a query takes a millisecond or so, searching less.
const SEARCH_SECONDS: [f64; 10] = [2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.2, 1.0];
/// Up to the most hits that a pipeline may ask for.
const HITS: [f64; 8] = [0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];

/// Names kept apart. They come from files and from plugins themselves, and every name is a dozen lines of `/metrics` for ever.
const NAMES_MAX: usize = 512;

type Labels<const N: usize> = [(&'static str, String); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// The figures of this process.
pub struct Metrics {
    registry: Registry,
    families: Families,
    /// Routes times the statuses that they give.
    requests: Handles<(&'static str, u16), Counter, 64>,
    request_seconds: Handles<&'static str, Histogram, 32>,
    in_flight: Gauge,
    connections: Gauge,
    plugins: Named<Plugin>,
    providers: Named<Provider>,
    tokens: Tokens,
    search_seconds: Histogram,
    search_hits: Histogram,
    embed_queue: Gauge,
    gen_ai: GenAi,
}

/// Where handles come from.
struct Families {
    requests: Counters<2>,
    request_seconds: Histograms<1>,
    plugin_calls: Counters<3>,
    plugin_seconds: Histograms<2>,
    plugin_fuel: Histograms<2>,
    plugin_bytes: Histograms<2>,
    plugin_skips: Counters<2>,
    plugin_log_lines_dropped: Counters<1>,
    plugin_loads: Counters<1>,
    llm_attempts: Counters<2>,
    llm_seconds: Histograms<1>,
    llm_circuits: Gauges<1>,
    rag_documents: Counters<1>,
    spans: Counters<1>,
}

/// The handles of one plugin.
struct Plugin {
    name: String,
    /// Hooks times outcomes.
    calls: Handles<(&'static str, &'static str), Counter, 16>,
    hooks: Handles<&'static str, Hook, 4>,
}

struct Hook {
    seconds: Histogram,
    fuel: Histogram,
    bytes: Histogram,
}

/// The handles of one provider.
struct Provider {
    name: String,
    attempts: Handles<&'static str, Counter, 16>,
    seconds: Histogram,
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("cofferdam");
        let families = Families::register(&mut registry);
        let r = &mut registry;
        let tokens = Tokens::register(r);
        let in_flight = plain(r, "http_requests_in_flight", "Requests being answered", Gauge::default());
        let connections = plain(r, "http_connections", "Open client connections", Gauge::default());
        let search_seconds =
            with_unit(r, "rag_search", "Time of a search, its embedding included", Unit::Seconds, Histogram::new(SEARCH_SECONDS));
        let search_hits = plain(r, "rag_search_hits", "Chunks found by a search", Histogram::new(HITS));
        let embed_queue = plain(r, "rag_embed_queue", "Documents and queries with a place in the embedder's queue", Gauge::default());
        Arc::new(Self {
            registry,
            families,
            requests: Handles::new(),
            request_seconds: Handles::new(),
            in_flight,
            connections,
            plugins: Named::new(NAMES_MAX),
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
        let mut out = String::new();
        let encoded = text::encode_registry(&mut out, &self.registry).and_then(|()| text::encode_registry(&mut out, &self.gen_ai.registry));
        encoded.and_then(|()| text::encode_eof(&mut out)).expect("a String takes every write");
        out
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

    /// One hook call. `outcome` is `ok`, `rejected`, or a word for the fault.
    pub fn plugin_call(&self, plugin: &str, hook: &'static str, outcome: &'static str, seconds: f64, fuel: u64, peak_memory: usize) {
        self.plugins.with(plugin, Plugin::new, |plugin| {
            plugin.calls.with((hook, outcome), || self.families.plugin_call(&plugin.name, hook, outcome), Counter::inc);
            plugin.hooks.with(
                hook,
                || self.families.hook(&plugin.name, hook),
                |figures| {
                    figures.seconds.observe(seconds);
                    figures.fuel.observe(fuel as f64);
                    figures.bytes.observe(peak_memory as f64);
                },
            );
        });
    }

    /// A fault that was passed over under `on_failure = "skip"`.
    pub fn plugin_skipped(&self, plugin: &str, hook: &'static str) {
        let labels = |plugin: &Plugin| [("plugin", plugin.name.clone()), ("hook", hook.to_owned())];
        self.plugins.with(plugin, Plugin::new, |plugin| self.families.plugin_skips.get_or_create(&labels(plugin)).inc());
    }

    /// Log lines of one call over its limit.
    pub fn plugin_log_dropped(&self, plugin: &str, lines: u64) {
        let labels = |plugin: &Plugin| [("plugin", plugin.name.clone())];
        let family = &self.families.plugin_log_lines_dropped;
        self.plugins.with(plugin, Plugin::new, |plugin| family.get_or_create(&labels(plugin)).inc_by(lines));
    }

    /// A file of the plugin directory was read. `outcome` is `loaded`, `refused` and the like.
    pub fn plugin_load(&self, outcome: &'static str) {
        self.families.plugin_loads.get_or_create(&[("outcome", outcome.into())]).inc();
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

    /// One try at a model, for a stream to its first event. `error` is none where it went well, else a fixed word.
    pub fn operation(&self, of: Operation<'_>, error: Option<&'static str>, seconds: f64) {
        self.gen_ai.operation(of, error, seconds);
    }

    /// The first event of a stream.
    pub fn first_chunk(&self, of: Operation<'_>, seconds: f64) {
        self.gen_ai.first_chunk(of, seconds);
    }

    /// What a reply took, as the provider counts.
    pub fn operation_tokens(&self, of: Operation<'_>, input: u64, output: u64) {
        self.gen_ai.tokens(of, input, output);
    }

    /// Spans for the collector of traces. `outcome` is `sent` or `dropped`.
    pub fn spans(&self, outcome: &'static str, count: u64) {
        if count > 0 {
            self.families.spans.get_or_create(&[("outcome", outcome.into())]).inc_by(count);
        }
    }

    /// One search of an exchange that did not fail, its embedding included.
    pub fn rag_search(&self, seconds: f64, hits: usize) {
        self.search_seconds.observe(seconds);
        self.search_hits.observe(hits as f64);
    }

    /// One document handed to the knowledge base. `outcome` is `stored`, `replaced`, or a word for why it was not taken.
    pub fn rag_document(&self, outcome: &'static str) {
        self.families.rag_documents.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// How many hold a place in the embedder's queue now. Asked for when figures are, because who holds the places counts them anyway.
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
            plugin_calls: plain(r, "plugin_calls", "Hook calls", Family::default()),
            plugin_seconds: with_unit(
                r,
                "plugin_call",
                "Wall clock of a hook call",
                seconds(),
                histograms(|| Histogram::new(CALL_SECONDS)),
            ),
            plugin_fuel: plain(r, "plugin_call_fuel", "WebAssembly operators of a hook call", histograms(|| Histogram::new(CALL_FUEL))),
            plugin_bytes: with_unit(
                r,
                "plugin_call_memory",
                "Peak memory of a hook call",
                Unit::Bytes,
                histograms(|| Histogram::new(CALL_BYTES)),
            ),
            plugin_skips: plain(r, "plugin_skips", "Faults passed over under on_failure = skip", Family::default()),
            plugin_log_lines_dropped: plain(r, "plugin_log_lines_dropped", "Log lines of plugins over their limit", Family::default()),
            plugin_loads: plain(r, "plugin_loads", "Files of the plugin directory read", Family::default()),
            llm_attempts: plain(r, "llm_attempts", "Tries at providers", Family::default()),
            llm_seconds: with_unit(r, "llm_attempt", "Time of a try at a provider", seconds(), histograms(|| Histogram::new(SECONDS))),
            llm_circuits: plain(r, "llm_circuit_open", "Keys of a provider that are left in peace", Family::default()),
            rag_documents: plain(r, "rag_documents", "Documents handed in", Family::default()),
            spans: plain(r, "otlp_spans", "Spans for the collector of traces", Family::default()),
        }
    }

    fn plugin_call(&self, plugin: &str, hook: &str, outcome: &str) -> Counter {
        self.plugin_calls.get_or_create_owned(&[("plugin", plugin.into()), ("hook", hook.into()), ("outcome", outcome.into())])
    }

    fn hook(&self, plugin: &str, hook: &str) -> Hook {
        let labels = [("plugin", plugin.to_owned()), ("hook", hook.to_owned())];
        Hook {
            seconds: self.plugin_seconds.get_or_create_owned(&labels),
            fuel: self.plugin_fuel.get_or_create_owned(&labels),
            bytes: self.plugin_bytes.get_or_create_owned(&labels),
        }
    }
}

impl Plugin {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), calls: Handles::new(), hooks: Handles::new() }
    }
}

fn histograms<const N: usize>(new: fn() -> Histogram) -> Histograms<N> {
    Family::new_with_constructor(new)
}

fn plain<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// The unit becomes the end of the name.
fn with_unit<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, unit: Unit, metric: M) -> M {
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

#[cfg(test)]
mod tests;
