//! The sandbox's limits at their edges: limits of one call on the sandbox itself, because there a search for the edge costs milliseconds;
//! limits of all calls through the real server as well. Hostile guests stand in `hostile`, limits of the directory in `deploy`.

pub(crate) mod compile;
mod kept;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::sandbox::{
    Compiler, Exhausted, FaultKind, Hook, Limits, PluginConfig, PreOutcome, Registry, RegistryConfig, ServerLimits, Watcher,
};
use cofferdam::storage::Stores;
use cofferdam::telemetry::Metrics;
use serde_json::json;

use crate::client::Client;
use crate::components::components;
use crate::exchange::exchange;
use crate::ports::{ports, stores};
use crate::server::{PATIENCE, Server};

/// Plugins and compiled code in a folder, for one test.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    pub(crate) setup: RegistryConfig,
    stores: Stores,
}

/// A sandbox with those guests, each in the file of its name.
pub(crate) fn sandbox(guests: &[&str]) -> Sandbox {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = RegistryConfig {
        plugin_dir: folder.path().join("plugins"),
        cache_dir: folder.path().join("compiled"),
        last_good_dir: folder.path().join("last-good"),
        plugins: BTreeMap::new(),
        limits: ServerLimits { calls: 4, ..ServerLimits::default() },
        compiler: Compiler::InProcess,
    };
    std::fs::create_dir(&setup.plugin_dir).expect("a folder");
    for guest in guests {
        std::fs::copy(components().path(guest), setup.plugin_dir.join(format!("{}.wasm", guest.replace('_', "-")))).expect("copied");
    }
    let stores = stores(folder.path());
    Sandbox { folder, setup, stores }
}

impl Sandbox {
    fn limit(mut self, plugin: &str, limits: Limits) -> Self {
        self.setup.plugins.insert(plugin.into(), PluginConfig { limits, ..PluginConfig::default() });
        self
    }

    pub(crate) async fn open(&self) -> (Arc<Registry>, Watcher) {
        assert!(self.folder.path().exists());
        let opened = Registry::open(self.setup.clone(), ports(&self.stores).await, Metrics::new()).expect("a registry");
        opened.0.loaded().await;
        opened
    }
}

pub(crate) async fn ask(registry: &Registry, plugin: &str, question: &str) -> Result<PreOutcome, FaultKind> {
    let plugins = registry.snapshot();
    let plugin = plugins.get(plugin, Hook::Pre).unwrap_or_else(|_| panic!("{:?}", registry.status()));
    plugin.pre_hook(exchange(question), "model").await.1.map_err(|fault| fault.kind)
}

/// Searches the least value of a limit that lets the guest through, and checks the fault under it. A guest that describes itself does so
/// under the same limits.
async fn edge(guest: &str, step: u64, steps: u64, set: impl Fn(&mut Limits, u64), fault: impl Fn(u64) -> Exhausted) -> u64 {
    let (mut sandbox, name) = (sandbox(&[guest]), guest.replace('_', "-"));
    let (mut fails, mut passes) = (0, steps);
    let mut call = async |value: u64| {
        let mut limits = Limits { time: PATIENCE, ..Limits::default() };
        set(&mut limits, value);
        sandbox.setup.plugins.insert(name.clone(), PluginConfig { limits, ..PluginConfig::default() });
        let (registry, _watcher) = sandbox.open().await;
        match registry.status()[0].reason.clone() {
            Some(reason) => Err(reason),
            None => ask(&registry, &name, &"hello ".repeat(200)).await.map(drop).map_err(|kind| kind.to_string()),
        }
    };
    while passes - fails > 1 {
        let middle = fails + (passes - fails) / 2;
        match call(middle * step).await {
            Ok(_) => passes = middle,
            Err(_) => fails = middle,
        }
    }
    let least = passes * step;
    call(least).await.expect("at its edge");
    for under in [least - 1, least - 1] {
        let fault_text = call(under).await.expect_err("under its edge");
        assert!(fault_text.contains(&fault(under).to_string()), "{fault_text}");
    }
    least
}

#[tokio::test(flavor = "multi_thread")]
async fn fuel_is_limited_to_the_operator() {
    let least = edge("bare", 1, 1 << 24, |limits, value| limits.fuel = value, Exhausted::Fuel).await;
    assert!(least > 100, "{least}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited_to_the_byte() {
    let page = 64 << 10;
    let bytes = |value: u64| usize::try_from(value).expect("64 bits");
    let least = edge("bare", page, 1_024, |limits, value| limits.memory = bytes(value), |value| Exhausted::Memory(bytes(value))).await;
    assert!(least >= page, "{least}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_limited_to_the_element() {
    let count = |value: u64| usize::try_from(value).expect("64 bits");
    edge("bare", 1, 4_096, |limits, value| limits.table_elements = count(value), |value| Exhausted::Table(count(value))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_limited_at_an_edge() {
    let bytes = |value: u64| usize::try_from(value).expect("64 bits");
    let least = edge("responder", 1, 1 << 16, |limits, value| limits.output = bytes(value), |value| Exhausted::Output(bytes(value))).await;
    assert!(least >= "No model was asked: ".len() as u64 + 1_200, "at least what it says counts: {least}");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_counts_what_the_guest_returns_and_not_what_it_is_handed() {
    let limits = Limits { output: 64 << 10, ..Limits::default() };
    let sandbox = sandbox(&["noop_pre", "responder"]).limit("noop-pre", limits).limit("responder", limits);
    let (registry, _watcher) = sandbox.open().await;
    let long = "x".repeat(80 << 10);
    ask(&registry, "noop-pre", &long).await.expect("it says nothing");
    assert_eq!(ask(&registry, "responder", &long).await.expect_err("it says all"), FaultKind::Exhausted(Exhausted::Output(64 << 10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_permit_waits_for_one_and_is_refused_after_queue_time() {
    let held = Limits { time: Duration::from_millis(300), ..Limits::default() };
    for (calls, queue_time, expected) in [(1, PATIENCE, None), (1, Duration::ZERO, Some(FaultKind::Busy)), (2, Duration::ZERO, None)] {
        let mut sandbox = sandbox(&["sleeper", "noop_pre"]).limit("sleeper", held);
        sandbox.setup.limits = ServerLimits { calls, queue_time, ..ServerLimits::default() };
        let (registry, _watcher) = sandbox.open().await;
        // The first is polled first and so has its permit when the second asks for one.
        let (first, second) = tokio::join!(ask(&registry, "sleeper", "hi"), ask(&registry, "noop-pre", "hi"));
        assert_eq!(first.expect_err("it sleeps too long"), FaultKind::Exhausted(Exhausted::Time(held.time)));
        assert_eq!(second.err(), expected, "{calls} calls, {queue_time:?}");
        ask(&registry, "noop-pre", "hi").await.expect("the permit is free again");
    }
}

fn stage(plugin: &str, id: &str) -> String {
    format!(
        r#"
        [[pipelines]]
        id = "{id}"
        pipeline = [
            {{ stage = "pre_hook", config = {{ function_id = "{plugin}" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }},
        ]
        "#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_sandbox_is_a_503_that_says_when_to_come_back() {
    let limits = "[limits.plugins]\ncalls = 1\nqueue_time = \"10ms\"\n[plugins.sleeper]\nlimits = { time = \"600s\" }\n";
    let config = [limits, &stage("sleeper", "slow"), &stage("noop-pre", "quick")].concat();
    let server = Server::with(&config).plugin("sleeper").plugin("noop_pre").start();
    let client = Client::of(server.address);
    let slow = client.clone();
    let holder = tokio::spawn(async move { slow.chat("slow", "hi", json!({})).await });
    let busy = async {
        loop {
            let answer = client.chat("quick", "hi", json!({})).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let busy = tokio::time::timeout(PATIENCE, busy).await.expect("the permit is taken");
    assert_eq!((busy.refused(503).as_str(), busy.header("retry-after")), ("plugin_busy", Some("1")));
    assert!(busy.text().contains("queue_time"), "{busy:?}");
    holder.abort();
    let free = async { while client.chat("quick", "hi", json!({})).await.status != 200 {} };
    tokio::time::timeout(PATIENCE, free).await.expect("the permit is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_kept_up_to_their_number_and_their_bytes() {
    for lines in [0, 1] {
        let limits = format!("limits = {{ fuel = 10_000_000_000, time = \"60s\", log_lines = {lines}, log_line_bytes = 16 }}");
        let config = ["[plugins.log-flood]\n", &limits, &stage("log-flood", "p")].concat();
        let server = Server::with(&config).plugin("log_flood").start();
        Client::of(server.address).chat("p", "hello", json!({})).await.ok();
        let dropped = server.wait_for_log("log lines over the limit were dropped");
        assert!(dropped.contains(&format!("dropped={}", 100_001 - lines)), "{dropped}");
        let log = server.log();
        let kept: Vec<&str> = log.lines().filter(|line| line.contains(": plugin: ")).collect();
        assert_eq!(kept.len(), lines, "{kept:#?}");
        assert!(kept.iter().all(|line| line.contains("long long long l… ")), "16 bytes of it: {kept:#?}");
    }
}
