//! Capabilities, grants and the clock of waiting, on a capability that only tests have: `pause` must be granted and makes a guest wait.
//! Its guests are a few lines of WebAssembly text.

mod advisories;
#[path = "../../../tests/support/altered.rs"]
mod altered;
mod contract;
mod guest;
mod least;
mod pause;
mod ports;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::admit::Admission;
use super::capability::{self, Capability, check_grant_of};
use super::compile::Cache;
use super::engine::engine;
use super::grant::GrantRule;
use super::guests::Guests;
use super::limiter::Budget;
use super::plugin::Plugin;
use super::refusal::Refusal;
use super::shared::{Background, Shared};
use super::ticker::Ticker;
use super::{Compiler, Exhausted, Fault, FaultKind, Grants, Limits, PluginConfig, PreOutcome, ServerLimits};
use crate::chat::{Client, Deadline, Exchange, Message};
use crate::fair::Shares;
use crate::telemetry::Metrics;

/// What a capability that needs a grant looks like in the list.
const WITH_PAUSE: &[Capability] = &[
    capability::ALL[0],
    capability::ALL[1],
    Capability {
        name: "pause",
        interface: pause::INTERFACE,
        grant: Some(GrantRule::of::<pause::Pauses>()),
        link: |to, given| Ok(pause::link(to, given.grants.of()?, |state| &state.env)?),
    },
];

const WAIT: Duration = Duration::from_secs(4);

/// A sandbox whose one plugin is `napper`, with that configuration.
struct Sandbox {
    admission: Admission,
    metrics: Arc<Metrics>,
    _folder: tempfile::TempDir,
}

impl Sandbox {
    fn new(napper: PluginConfig) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = ServerLimits { calls: 1, streams: 1, queue_time: Duration::ZERO, ..ServerLimits::default() };
        let cache = Cache::new(folder.path().join("compiled"), Compiler::InProcess, limits.clone()).expect("a folder of its own");
        let metrics = Metrics::new();
        let (engine, [permits, models, done]) = (engine(4).expect("an engine"), [1; 3].map(Shares::new));
        let pushes = Arc::new(AtomicUsize::new(0));
        let runs = {
            let (held, pushes) = ([permits.clone(), models.clone(), done.clone()], pushes.clone());
            move || held.iter().any(|permits| permits.held() > 0) || pushes.load(Ordering::Relaxed) > 0
        };
        let shared = Shared {
            guests: Arc::new(Guests::here()),
            ticker: Arc::new(Ticker::start(&engine, runs).expect("a thread")),
            engine,
            permits,
            pushes,
            streams: Shares::new(limits.streams as usize),
            streams_memory: Budget::new(limits.streams_memory),
            stream_buffer: limits.stream_buffer,
            models,
            models_memory: Budget::new(limits.model_memory),
            memory: Budget::new(limits.memory),
            done: Background { permits: done, memory: Budget::new(limits.done_memory) },
            queue_time: limits.queue_time,
            starve_time: limits.starve_time,
            metrics: metrics.clone(),
        };
        let configs = BTreeMap::from([("napper".to_owned(), napper)]);
        let limits = ServerLimits { calls_per_plugin: 1, ..limits };
        let admission = Admission::new(Arc::new(shared), cache, configs, limits, WITH_PAUSE, ports::nothing()).expect("a linker");
        Self { admission, metrics, _folder: folder }
    }

    /// Looks at the bytes, and no more.
    fn looked(&self, component: &[u8]) -> Result<(), String> {
        self.admission.look("napper", component).map(drop).map_err(reason)
    }

    /// `hash` names compiled code, so each component has one of its own.
    async fn admit(&self, component: &[u8], hash: &str) -> Result<Plugin, String> {
        let (of, time) = (&self.admission, Duration::from_secs(60));
        let admit = async {
            let looked = of.look("napper", component)?;
            let component = of.cache.compile(of.engine(), component, hash, time).await?;
            of.admit("napper", &component, &looked, hash).await
        };
        admit.await.map_err(reason)
    }
}

fn reason(refusal: Refusal) -> String {
    match refusal {
        Refusal::Invalid(reason) | Refusal::Transient(reason) => reason,
        Refusal::Slow => "slow".to_owned(),
    }
}

/// `limits.wait` is `WAIT`; `limits.time` is far less.
fn config(grants: &[(&str, Value)]) -> PluginConfig {
    let limits = Limits { time: Duration::from_millis(500), wait: WAIT, ..Limits::default() };
    let mut config = PluginConfig { limits, ..PluginConfig::default() };
    grants.iter().for_each(|(name, value)| config.grants.insert((*name).to_owned(), value.clone()));
    config
}

fn granted() -> PluginConfig {
    config(&[("pause", json!({"ms": 60_000}))])
}

pub(super) fn exchange() -> Exchange {
    Exchange {
        messages: vec![Message::text("user", "hello")],
        ..Exchange::new("request-1".into(), Client::Host, "p".into(), Deadline::after(Duration::from_secs(600)))
    }
}

async fn ask(plugin: &Plugin) -> Result<PreOutcome, Fault> {
    plugin.pre_hook(exchange(), "model").await.1
}

#[tokio::test]
async fn a_plugin_without_the_grant_it_needs_is_refused_with_the_line_that_would_allow_it() {
    for grants in [&[][..], &[("other", json!(true))]] {
        let reason = Sandbox::new(config(grants)).admit(&guest::naps(&[1]), "a").await.err().expect("a refusal");
        assert_eq!(
            reason,
            "it imports test:capability/pause@0.1.0: `pause` must be granted; if the plugin may have it, \
             add `grants.pause = { ms = 1000 }` to `[plugins.napper]`"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_granted_capability_is_linked_and_bound_by_its_grant() {
    let sandbox = Sandbox::new(config(&[("pause", json!({"ms": 20}))]));
    let within = sandbox.admit(&guest::naps(&[20]), "a").await.expect("granted");
    assert!(matches!(ask(&within).await, Ok(PreOutcome::Proceed)));
    let beyond = sandbox.admit(&guest::naps(&[21]), "b").await.expect("granted");
    let fault = ask(&beyond).await.expect_err("more than was granted");
    assert_eq!(fault.kind, FaultKind::Trapped("a pause of 21 ms is more than `grants.pause.ms` allows (20)".into()));
}

#[tokio::test(start_paused = true)]
async fn waiting_in_host_calls_has_a_limit_of_its_own_to_the_millisecond() {
    let sandbox = Sandbox::new(granted());
    let at_the_edge = sandbox.admit(&guest::naps(&[1_500, 2_500]), "a").await.expect("granted");
    assert!(matches!(ask(&at_the_edge).await, Ok(PreOutcome::Proceed)), "four seconds of waiting take none of the half second of `time`");
    let over_it = sandbox.admit(&guest::naps(&[1_500, 2_501]), "b").await.expect("granted");
    assert_eq!(ask(&over_it).await.expect_err("a millisecond too long").kind, FaultKind::Exhausted(Exhausted::Wait(WAIT)));
    let figures = sandbox.metrics.render();
    for line in [
        r#"cofferdam_plugin_calls_total{plugin="napper",hook="pre_hook",outcome="wait"} 1"#,
        r#"cofferdam_plugin_call_wait_seconds_sum{plugin="napper",hook="pre_hook"} 8.0"#,
        r#"cofferdam_plugin_call_wait_seconds_count{plugin="napper",hook="pre_hook"} 2"#,
    ] {
        assert!(figures.lines().any(|l| l == line), "no line `{line}` in\n{figures}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_while_it_waits_leaves_its_permit_and_its_place() {
    let sandbox = Sandbox::new(granted());
    let plugin = sandbox.admit(&guest::naps(&[1_000]), "a").await.expect("granted");
    for _ in 0..3 {
        // As the pipeline does at the exchange's deadline, and the server for a client that left.
        tokio::time::timeout(Duration::from_millis(999), ask(&plugin)).await.expect_err("it waits longer");
    }
    assert!(matches!(ask(&plugin).await, Ok(PreOutcome::Proceed)), "the one permit and the one place of the pool are free");
}

#[test]
fn an_import_that_the_host_does_not_have_is_refused_by_name_with_what_to_do_before_anything_is_compiled() {
    for interface in ["cofferdam:hooks/unknown@0.2.0", "wasi:sockets/raw@0.2.0", "wasi:http/outgoing-handler@0.2.0", "wasi:io/poll@0.3.0"] {
        let reason = Sandbox::new(granted()).looked(&guest::importing(interface)).expect_err("a refusal");
        assert_eq!(
            reason,
            format!(
                "it imports {interface}, which this host does not offer; plugins get log, config, pause of cofferdam:hooks@0.2.0 and an empty \
                 WASI 0.2; rebuild it without what needs them, in JavaScript with `jco componentize --disable all`, in Python with \
                 `componentize-py componentize --stub-wasi`"
            )
        );
    }
}

#[test]
fn a_grant_is_checked_by_its_capability() {
    let check = |name: &str, value: Value| check_grant_of(WITH_PAUSE, name, &value);
    assert_eq!(check("pause", json!({"ms": 5})), Ok(()));
    assert_eq!(check("pause", json!(true)), Err("expected a table such as { ms = 1000 }".into()));
    assert_eq!(check("log", json!(true)), Err("needs no grant, every plugin has it; what can be granted: pause".into()));
    assert_eq!(check("paus", json!(true)), Err("is no capability of this host; what can be granted: pause".into()));
    let mut grants = Grants::default();
    grants.insert("pause".into(), json!("unreadable"));
    assert!(grants.of::<pause::Pauses>().is_err(), "what cannot be read grants nothing");
}

#[tokio::test(start_paused = true)]
async fn other_settings_link_the_compiled_component_anew_and_a_grant_that_is_taken_back_keeps_it_out() {
    let sandbox = Sandbox::new(config(&[("pause", json!({"ms": 20}))]));
    let plugin = sandbox.admit(&guest::naps(&[20]), "a").await.expect("granted");
    let with = |own: PluginConfig| {
        let limits = ServerLimits { calls: 1, streams: 1, queue_time: Duration::ZERO, calls_per_plugin: 1, ..ServerLimits::default() };
        sandbox.admission.renewed([("napper".to_owned(), own)].into(), limits).relinked(&plugin)
    };
    assert!(matches!(with(config(&[("pause", json!({"ms": 20}))])), Ok(None)), "the same settings change nothing");
    let (less, _) = with(config(&[("pause", json!({"ms": 19}))])).ok().flatten().expect("linked anew");
    let fault = ask(&less).await.expect_err("more than is granted now");
    assert_eq!(fault.kind, FaultKind::Trapped("a pause of 20 ms is more than `grants.pause.ms` allows (19)".into()));
    assert!(matches!(ask(&plugin).await, Ok(PreOutcome::Proceed)), "who began with the old settings goes on with them");
    let Err(Refusal::Invalid(reason)) = with(config(&[])) else { panic!("it must not serve without the grant") };
    assert!(reason.contains("`pause` must be granted"), "{reason}");
    // One permit of its own, whichever settings a call has.
    let waits = plugin.pre_hook(exchange(), "model");
    let mut waits = Box::pin(waits);
    assert!(futures_util::FutureExt::now_or_never(&mut waits).is_none(), "it is in its pause");
    assert_eq!(ask(&less).await.expect_err("the permit is taken").kind, FaultKind::Busy);
}

#[tokio::test(start_paused = true)]
async fn other_limits_of_all_plugins_reach_those_that_are_live() {
    let sandbox = Sandbox::new(granted());
    let plugin = sandbox.admit(&guest::naps(&[1_000]), "a").await.expect("granted");
    let limits = ServerLimits { calls: 1, queue_time: Duration::from_secs(2), calls_per_plugin: 1, ..ServerLimits::default() };
    let renewed = sandbox.admission.renewed([("napper".to_owned(), granted())].into(), limits);
    let (patient, _) = renewed.relinked(&plugin).ok().flatten().expect("linked anew");
    let (first, second, third) = tokio::join!(ask(&patient), ask(&patient), ask(&plugin));
    assert!(first.is_ok() && second.is_ok(), "the second waits for its turn");
    assert_eq!(third.expect_err("the old settings wait for nothing").kind, FaultKind::Busy);
}
