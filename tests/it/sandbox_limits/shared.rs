//! What plugins share, at its edge: permits for one plugin, memory of all calls, machine code that is kept.

use std::time::Duration;

use cofferdam::sandbox::{Exhausted, FaultKind, Limits, ServerLimits};

use super::{ask, sandbox};
use crate::client::Client;
use crate::components::components;
use crate::server::{PATIENCE, Server, deploy};

/// Long enough for another call to be tried meanwhile.
fn held() -> Limits {
    Limits { time: Duration::from_millis(200), ..Limits::default() }
}

#[tokio::test]
async fn one_plugin_leaves_permits_to_the_others() {
    for (calls_per_plugin, second) in [(1, FaultKind::Busy), (2, FaultKind::Exhausted(Exhausted::Time(held().time)))] {
        let mut sandbox = sandbox(&["sleeper", "noop_pre"]).limit("sleeper", held());
        sandbox.setup.limits = ServerLimits { calls: 3, calls_per_plugin, queue_time: Duration::ZERO, ..ServerLimits::default() };
        let (registry, _watcher) = sandbox.open().await;
        let sleep = || ask(&registry, "sleeper", "hi");
        let (slow, refused, other) = tokio::join!(sleep(), sleep(), ask(&registry, "noop-pre", "hi"));
        assert_eq!(slow.expect_err("it sleeps too long"), FaultKind::Exhausted(Exhausted::Time(held().time)));
        assert_eq!(refused.expect_err("busy, or it sleeps too long"), second);
        other.expect("another plugin has a permit");
    }
}

#[tokio::test]
async fn all_calls_share_one_budget_of_memory() {
    // A Rust guest has 17 pages; what it allocates for so little input fits into them.
    let one = 17 * (64 << 10);
    for (memory, expected) in [(2 * one, None), (2 * one - 1, Some(FaultKind::Busy))] {
        let mut sandbox = sandbox(&["sleeper", "noop_pre"]).limit("sleeper", held());
        // One thread, so that the sleeper has its memory when the other asks for some.
        sandbox.setup.limits = ServerLimits { memory, threads: 1, ..ServerLimits::default() };
        let (registry, _watcher) = sandbox.open().await;
        let (_, second) = tokio::join!(ask(&registry, "sleeper", "hi"), ask(&registry, "noop-pre", "hi"));
        assert_eq!(second.err(), expected, "{memory} bytes for two calls");
        ask(&registry, "noop-pre", "hi").await.expect("the memory is given back");
    }
}

#[tokio::test]
async fn one_hostcall_takes_no_more_than_its_bytes() {
    // Its first line has a million bytes.
    for (hostcall_bytes, fits) in [(1_000_000, true), (999_999, false)] {
        let limits = Limits { hostcall_bytes, fuel: 10_000_000_000, time: PATIENCE, ..Limits::default() };
        let (registry, _watcher) = sandbox(&["log_flood"]).limit("log-flood", limits).open().await;
        let expected = if fits { None } else { Some(FaultKind::Exhausted(Exhausted::Output(limits.output))) };
        assert_eq!(ask(&registry, "log-flood", "hi").await.err(), expected, "{hostcall_bytes}");
    }
}

#[tokio::test]
async fn machine_code_is_kept_up_to_its_number_and_the_live_plugins_stay() {
    for (compiled, files) in [(1, 1), (2, 2)] {
        let server = Server::with(&format!("[limits.plugins]\ndebounce = \"20ms\"\npoll = \"1s\"\ncompiled = {compiled}"))
            .plugin_as("stamp_1", "stamp")
            .start();
        let client = Client::of(server.address);
        deploy(&components().path("stamp_2"), &server.plugin_dir(), "stamp");
        let folder = server.folder.path().join("data/compiled");
        let settled = async {
            loop {
                let live = client.get("/api/v1/plugins").await.json()["data"][0]["version"] == "2";
                let code: Vec<_> =
                    std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
                if live && code.len() == files && !code.iter().any(|name| name.to_string_lossy().starts_with('.')) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("the code that nobody needs goes");
    }
}
