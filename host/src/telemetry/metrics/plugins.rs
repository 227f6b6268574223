//! Figures of plugins: calls by outcome, time, waiting, fuel and memory of each, and what was skipped or dropped.
//! Whoever calls a plugin keeps its `PluginFigures`, so that a call looks up no name and builds no label.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::custom::{self, Custom};
use super::family::{Counters, Gauges, Histograms, NAMES_MAX, histograms, plain, with_unit};
use crate::telemetry::handles::{Handles, Named};

/// A hook in Rust takes tens of microseconds, one in Python milliseconds; the default limit is half a second.
const CALL_SECONDS: [f64; 14] = [5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2, 1e-1, 5e-1, 2.0];
/// Most calls wait for nothing; those that do wait for a disk or for another service. The default limit is five seconds. The same for the time
/// without a thread, whose limit is one second.
const WAIT_SECONDS: [f64; 10] = [0.0, 1e-4, 1e-3, 5e-3, 2e-2, 1e-1, 5e-1, 1.0, 2.0, 5.0];
/// Up to the default limit of two thousand million operators.
const CALL_FUEL: [f64; 12] = [1e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 1e9];
/// Around the default limit of 64 MiB.
const CALL_BYTES: [f64; 9] =
    [131_072.0, 1_048_576.0, 2_097_152.0, 4_194_304.0, 8_388_608.0, 16_777_216.0, 33_554_432.0, 67_108_864.0, 268_435_456.0];

/// One finished hook call; one that never ran has zeros.
#[derive(Clone, Copy, Debug, Default)]
pub struct HookCall {
    /// `pre_hook` and the like.
    pub hook: &'static str,
    /// `ok`, `rejected`, or a word for the fault.
    pub outcome: &'static str,
    /// Wall clock around the call, waiting included.
    pub seconds: f64,
    /// Of these, what the plugin waited in host calls.
    pub waited: f64,
    /// Of these, what it could run and nobody ran it.
    pub starved: f64,
    /// Where it ran: `inline`, `handed_over` or `apart`; empty if it did not.
    pub place: &'static str,
    /// WebAssembly operators.
    pub fuel: u64,
    /// Bytes of linear memory at most.
    pub peak_memory: usize,
}

/// The figures of one plugin.
#[derive(Clone)]
pub struct PluginFigures(Arc<Plugin>);

/// The figures of all plugins.
pub(super) struct Plugins {
    families: Arc<Families>,
    by_name: Named<PluginFigures>,
    loads: Counters<1>,
}

struct Families {
    calls: Counters<3>,
    seconds: Histograms<2>,
    waited: Histograms<2>,
    starved: Histograms<2>,
    places: Counters<2>,
    fuel: Histograms<2>,
    bytes: Histograms<2>,
    skips: Counters<2>,
    log_lines_dropped: Counters<1>,
    shown: Counters<3>,
    unseen: Counters<3>,
    host_calls: Counters<3>,
    custom: Arc<custom::Families>,
    done_waiting: Gauges<1>,
    done_dropped: Counters<2>,
}

struct Plugin {
    name: String,
    families: Arc<Families>,
    /// Hooks times outcomes.
    calls: Handles<(&'static str, &'static str), Counter, 16>,
    hooks: Handles<&'static str, Hook, 4>,
    places: Handles<&'static str, Counter, 4>,
    /// Capabilities times outcomes.
    host_calls: Handles<(&'static str, &'static str), Counter, 32>,
    custom: Custom,
}

struct Hook {
    seconds: Histogram,
    waited: Histogram,
    starved: Histogram,
    fuel: Histogram,
    bytes: Histogram,
}

impl Plugins {
    /// `own` is where the figures of plugins' own go.
    pub(super) fn register(r: &mut Registry, own: &mut Registry) -> Self {
        let seconds = || Unit::Seconds;
        let families = Families {
            calls: plain(r, "plugin_calls", "Hook calls", Family::default()),
            seconds: with_unit(r, "plugin_call", "Wall clock of a hook call", seconds(), histograms(|| Histogram::new(CALL_SECONDS))),
            waited: with_unit(
                r,
                "plugin_call_wait",
                "Time of a hook call in which the plugin waited in host calls",
                seconds(),
                histograms(|| Histogram::new(WAIT_SECONDS)),
            ),
            starved: with_unit(
                r,
                "plugin_call_starved",
                "Time of a hook call in which it could run and had no thread",
                seconds(),
                histograms(|| Histogram::new(WAIT_SECONDS)),
            ),
            places: plain(r, "plugin_call_places", "Hook calls by where they ran", Family::default()),
            fuel: plain(r, "plugin_call_fuel", "WebAssembly operators of a hook call", histograms(|| Histogram::new(CALL_FUEL))),
            bytes: with_unit(r, "plugin_call_memory", "Peak memory of a hook call", Unit::Bytes, histograms(|| Histogram::new(CALL_BYTES))),
            skips: plain(r, "plugin_skips", "Faults passed over under on_failure = skip", Family::default()),
            done_waiting: plain(r, "plugin_done_waiting", "Calls of done-hooks that wait or run", Family::default()),
            done_dropped: plain(r, "plugin_done_dropped", "Calls of done-hooks that were dropped", Family::default()),
            log_lines_dropped: plain(r, "plugin_log_lines_dropped", "Log lines of plugins over their limit", Family::default()),
            shown: plain(r, "plugin_shown_bytes", "Bytes of replies that a hook was shown, by channel", Family::default()),
            unseen: plain(r, "plugin_unseen_bytes", "Bytes of replies that went past a hook, by channel", Family::default()),
            host_calls: plain(r, "plugin_host_calls", "Host calls of plugins by capability and outcome", Family::default()),
            custom: Arc::new(custom::Families::register(r, own)),
        };
        let loads = plain(r, "plugin_loads", "Files of the plugin directory read", Family::default());
        Self { families: Arc::new(families), by_name: Named::new(NAMES_MAX), loads }
    }

    pub(super) fn of(&self, plugin: &str) -> PluginFigures {
        let new = |name: &str| PluginFigures(Arc::new(Plugin::new(name, self.families.clone())));
        self.by_name.with(plugin, new, PluginFigures::clone)
    }

    pub(super) fn load(&self, outcome: &'static str) {
        self.loads.get_or_create(&[("outcome", outcome.into())]).inc();
    }
}

impl PluginFigures {
    /// One hook call.
    pub fn call(&self, call: &HookCall) {
        let plugin = &self.0;
        plugin.calls.with((call.hook, call.outcome), || plugin.families.call(&plugin.name, call.hook, call.outcome), Counter::inc);
        if !call.place.is_empty() {
            plugin.places.with(call.place, || plugin.families.place(&plugin.name, call.place), Counter::inc);
        }
        plugin.hooks.with(
            call.hook,
            || plugin.families.hook(&plugin.name, call.hook),
            |figures| {
                figures.seconds.observe(call.seconds);
                figures.waited.observe(call.waited);
                figures.starved.observe(call.starved);
                figures.fuel.observe(call.fuel as f64);
                figures.bytes.observe(call.peak_memory as f64);
            },
        );
    }

    /// A fault that was passed over under `on_failure = "skip"`.
    pub fn skipped(&self, hook: &'static str) {
        self.0.families.skips.get_or_create(&[("plugin", self.0.name.clone()), ("hook", hook.to_owned())]).inc();
    }

    /// What of one reply a hook was shown, and what went past it: bytes by the channel's word.
    pub fn saw(
        &self,
        hook: &'static str,
        shown: impl Iterator<Item = (&'static str, u64)>,
        unseen: impl Iterator<Item = (&'static str, u64)>,
    ) {
        let Families { shown: seen, unseen: past, .. } = &*self.0.families;
        let labels = |channel: &str| [("plugin", self.0.name.clone()), ("hook", hook.to_owned()), ("channel", channel.to_owned())];
        for (channel, bytes) in shown {
            seen.get_or_create(&labels(channel)).inc_by(bytes);
        }
        for (channel, bytes) in unseen {
            past.get_or_create(&labels(channel)).inc_by(bytes);
        }
    }

    /// One call of a capability's function. `outcome` is `ok` or a word for the failure.
    pub fn host_call(&self, capability: &'static str, outcome: &'static str) {
        let plugin = &self.0;
        plugin.host_calls.with((capability, outcome), || plugin.families.host_call(&plugin.name, capability, outcome), Counter::inc);
    }

    /// Adds to a counter of the plugin's own.
    pub fn count(&self, name: &str, by: f64, labels: Vec<(String, String)>) {
        self.0.custom.count(name, by, labels);
    }

    /// Adds a value to a histogram of the plugin's own.
    pub fn observe(&self, name: &str, value: f64, labels: Vec<(String, String)>) {
        self.0.custom.observe(name, value, labels);
    }

    /// A call of its done-hook came (1), or is over (-1).
    pub fn done_waiting(&self, change: i64) {
        self.0.families.done_waiting.get_or_create(&[("plugin", self.0.name.clone())]).inc_by(change);
    }

    /// A call of its done-hook was dropped. `reason` is a fixed word: `queue` or `bytes`.
    pub fn done_dropped(&self, reason: &'static str) {
        self.0.families.done_dropped.get_or_create(&[("plugin", self.0.name.clone()), ("reason", reason.to_owned())]).inc();
    }

    /// Log lines of one call over its limit.
    pub fn log_dropped(&self, lines: u64) {
        self.0.families.log_lines_dropped.get_or_create(&[("plugin", self.0.name.clone())]).inc_by(lines);
    }
}

impl Families {
    fn call(&self, plugin: &str, hook: &str, outcome: &str) -> Counter {
        self.calls.get_or_create_owned(&[("plugin", plugin.into()), ("hook", hook.into()), ("outcome", outcome.into())])
    }

    fn host_call(&self, plugin: &str, capability: &str, outcome: &str) -> Counter {
        self.host_calls.get_or_create_owned(&[("plugin", plugin.into()), ("capability", capability.into()), ("outcome", outcome.into())])
    }

    fn place(&self, plugin: &str, place: &str) -> Counter {
        self.places.get_or_create_owned(&[("plugin", plugin.into()), ("place", place.into())])
    }

    fn hook(&self, plugin: &str, hook: &str) -> Hook {
        let labels = [("plugin", plugin.to_owned()), ("hook", hook.to_owned())];
        Hook {
            seconds: self.seconds.get_or_create_owned(&labels),
            waited: self.waited.get_or_create_owned(&labels),
            starved: self.starved.get_or_create_owned(&labels),
            fuel: self.fuel.get_or_create_owned(&labels),
            bytes: self.bytes.get_or_create_owned(&labels),
        }
    }
}

impl Plugin {
    fn new(name: &str, families: Arc<Families>) -> Self {
        let custom = Custom::new(name, families.custom.clone());
        let (calls, hooks, places, host_calls) = (Handles::new(), Handles::new(), Handles::new(), Handles::new());
        Self { name: name.to_owned(), families, calls, hooks, places, host_calls, custom }
    }
}
