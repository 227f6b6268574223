//! What a plugin that asks by the contract's `http` may not do beside what is tried through both interfaces, and what it is told.

use std::time::Duration;

use cofferdam::sandbox::{Exhausted, FaultKind, Hook, Limits};
use serde_json::json;

use super::both::{GET, granted, public};
use super::world::{PUBLIC, World, ok};
use super::{Sandbox, asker, completion, exchange, patient};

#[tokio::test]
async fn what_is_not_granted_is_denied_by_the_key_that_would_allow_it() {
    let world = public().name("evil.example.com", &[&[PUBLIC]]);
    let sandbox = asker(&world, granted()).await;
    for (request, key) in [
        ("GET https://evil.example.com/", "grants.http.hosts"),
        ("GET http://api.example.com/", "grants.http.plain"),
        ("GET https://api.example.com:8443/", "grants.http.ports"),
        ("GET https://api.example.com/\nx: {{secret:KEY}}", "grants.http.secrets"),
    ] {
        let got = sandbox.got(request).await;
        assert!(got.contains("Denied(") && got.contains(key), "{request}: {got}");
    }
    for request in [
        "GET ftp://api.example.com/",
        "CONNECT https://api.example.com/",
        "GET nothing",
        "GET https://api.example.com/\nhost: evil",
        "GET https://api.example.com/\ntimeout-ms: 0",
    ] {
        let got = sandbox.got(request).await;
        assert!(got.contains("Invalid("), "{request}: {got}");
    }
    assert_eq!(world.connections(), Vec::<String>::new());
}

#[tokio::test]
async fn one_exchange_has_one_budget_for_all_of_a_plugins_hooks_and_a_list_of_thousands_is_cut_at_it() {
    let world = public();
    let sandbox = asker(&world, json!({"hosts": ["api.example.com"], "calls": 3, "connections": 1})).await;
    let list = format!("ALL{}", "\nhttps://api.example.com/".repeat(5_000));
    let got = sandbox.got(&list).await;
    let parts: Vec<&str> = got.split("\n--\n").collect();
    assert_eq!(parts.len(), 5_000);
    assert!(
        parts[..3].iter().all(|part| part.starts_with("200")) && parts[3..].iter().all(|part| part.contains("grants.http.calls")),
        "{:?}",
        &parts[..5]
    );

    let (exchange, outcome) = sandbox.run(exchange(&format!("ALL{}", "\nhttps://api.example.com/".repeat(3)))).await;
    outcome.expect("no fault");
    let plugins = sandbox.registry.snapshot();
    let plugin = plugins.get("http-asker", Hook::Post).expect("live");
    let ((_, replied), outcome, _) = plugin.post_hook(exchange, completion(GET)).await;
    outcome.expect("no fault");
    let got = replied.choices[0].message.joined_text();
    assert!(got.contains("grants.http.calls"), "{got}");
    assert_eq!(world.connections().len(), 6);
}

#[tokio::test]
async fn replies_come_in_the_order_of_the_requests() {
    let world = World::new(|request| ok(request.lines().next().unwrap_or_default())).name("api.example.com", &[&[PUBLIC]]);
    let sandbox = asker(&world, json!({"hosts": ["api.example.com"], "connections": 4})).await;
    let list: String = (0..12).map(|n| format!("\nhttps://api.example.com/{n}")).collect();
    let got = sandbox.got(&format!("ALL{list}")).await;
    for (n, part) in got.split("\n--\n").enumerate() {
        assert!(part.ends_with(&format!("GET /{n} HTTP/1.1")), "{n}: {part}");
    }
}

#[tokio::test]
async fn asking_for_ever_ends_at_the_limits_of_the_call() {
    let world = public();
    let limits = Limits { fuel: 50_000_000, time: Duration::from_secs(60), ..Limits::default() };
    let sandbox = Sandbox::open("http_asker", &world, Some(granted()), limits).await;
    for request in ["GET https://evil.example.com/", GET] {
        let fault = sandbox.run(exchange(&format!("FOREVER\n{request}"))).await.1.expect_err("a fault");
        assert!(matches!(fault, FaultKind::Exhausted(Exhausted::Fuel(_) | Exhausted::Time(_))), "{fault}");
    }
    assert_eq!(world.connections().len(), 16, "as many as `grants.http.calls` allows by itself");
}

#[tokio::test]
async fn nobody_is_asked_while_a_plugin_says_who_it_is() {
    let world = public();
    let sandbox = Sandbox::open("http_in_describe", &world, Some(granted()), patient()).await;
    let summary = sandbox.registry.status()[0].summary.clone().expect("live");
    assert!(summary.contains("Denied") && summary.contains("`describe` may not use `http`; use it in a hook"), "{summary}");
    assert_eq!(world.connections(), Vec::<String>::new());
}
