//! The same guard for hooks that ask by `wasi:http/outgoing-handler`, as `fetch` and other languages' clients do.

use std::time::Duration;

use cofferdam::sandbox::{Exhausted, FaultKind, Limits, PreOutcome};
use serde_json::{Value, json};

use super::world::{CANARY, PUBLIC, World, ok, redirect};
use super::{Sandbox, exchange, patient};

const GET: &str = "GET https://api.example.com/";

fn granted() -> Value {
    json!({"hosts": ["api.example.com"]})
}

fn public() -> World {
    World::new(|_| ok("hello")).name("api.example.com", &[&[PUBLIC]])
}

async fn asker(world: &World, grant: Value) -> Sandbox {
    Sandbox::open("web_asker", world, Some(grant), patient()).await
}

impl Sandbox {
    /// What the hook put into the message that said what to send.
    async fn fetched(&self, request: &str) -> String {
        let (exchange, outcome) = self.run(exchange(request)).await;
        assert!(matches!(outcome, Ok(PreOutcome::Proceed)), "{outcome:?}");
        exchange.messages[0].joined_text()
    }
}

#[tokio::test]
async fn without_the_grant_it_is_refused_at_load_with_the_lines_that_would_allow_it() {
    let sandbox = Sandbox::open("web_asker", &public(), None, patient()).await;
    let reason = sandbox.registry.status()[0].reason.clone().expect("a refusal");
    assert!(reason.starts_with("it imports wasi:http/outgoing-handler@0.2.0: `http` must be granted"), "{reason}");
    assert!(reason.ends_with("add `grants.http = { hosts = [\"api.example.com\"] }` to `[plugins.web-asker]`"), "{reason}");
}

#[tokio::test]
async fn what_is_granted_is_sent_whole_and_answered_whole() {
    let world =
        World::new(|_| Some("HTTP/1.1 404 x\r\nX-One: 1\r\ncontent-length: 5\r\n\r\nwhole".into())).name("api.example.com", &[&[PUBLIC]]);
    let sandbox = asker(&world, granted()).await;
    assert_eq!(sandbox.fetched("POST https://api.example.com/a?b=c\nx-two: 2\ncontent-length: 4\n\nbody").await, "404\nx-one: 1\n\nwhole");
    let request = &world.requests()[0];
    assert!(request.starts_with("POST /a?b=c HTTP/1.1\r\nhost: api.example.com\r\n"), "{request}");
    assert!(request.contains("x-two: 2\r\n") && request.ends_with("\r\n\r\nbody"), "{request}");
    assert_eq!(request.matches("content-length").count(), 1, "{request}");
    assert_eq!(world.connections(), [format!("{PUBLIC}:443")]);
    // A body in many pieces.
    let body = "x".repeat(900_000);
    sandbox.fetched(&format!("POST https://api.example.com/\n\n{body}")).await;
    assert!(world.requests()[1].ends_with(&body));
}

#[tokio::test]
async fn nothing_inside_is_reached_and_nothing_that_is_not_granted() {
    let inside = ["127.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "[::1]", "10.0.0.7", "inside.example.com"];
    let world = public().name("inside.example.com", &[&["10.1.2.3"]]).name("evil.example.com", &[&[PUBLIC]]);
    let hosts: Vec<&str> = inside.into_iter().chain(["api.example.com"]).collect();
    let sandbox = asker(&world, json!({"hosts": hosts, "plain": true})).await;
    for host in inside {
        for scheme in ["http", "https"] {
            assert_eq!(sandbox.fetched(&format!("GET {scheme}://{host}/")).await, "ErrorCode::HttpRequestDenied", "{host}");
        }
    }
    let sandbox = asker(&world, granted()).await;
    for request in [
        "GET https://evil.example.com/",
        "GET http://api.example.com/",
        "GET https://api.example.com:8443/",
        "GET https://api.example.com/\nx: {{secret:KEY}}",
    ] {
        assert_eq!(sandbox.fetched(request).await, "ErrorCode::HttpRequestDenied", "{request}");
    }
    for request in [
        "GET ftp://api.example.com/",
        "CONNECT https://api.example.com/",
        "BREW https://api.example.com/",
        "GET https://user:password@api.example.com/",
        "GET https://api.example.com/\nhost: evil",
        "GET https://api.example.com/\ntransfer-encoding: chunked",
        "GET https://api.example.com/\nte: trailers",
        "GET https://api.example.com/{{secret:KEY}}",
    ] {
        let got = sandbox.fetched(request).await;
        assert!(got.starts_with("ErrorCode::"), "{request}: {got}");
    }
    assert_eq!(world.connections(), Vec::<String>::new());
}

#[tokio::test]
async fn a_redirect_inside_and_a_name_that_changes_its_address_lead_nowhere() {
    for to in ["https://127.0.0.1/", "https://169.254.169.254/latest/", "https://inside.example.com/", "http://api.example.com/"] {
        let world = World::new(move |_| redirect(to)).name("api.example.com", &[&[PUBLIC]]).name("inside.example.com", &[&["10.0.0.1"]]);
        let hosts = json!({"hosts": ["api.example.com", "127.0.0.1", "169.254.169.254", "inside.example.com"], "plain": true});
        assert_eq!(asker(&world, hosts).await.fetched(GET).await, "ErrorCode::HttpRequestDenied", "{to}");
        assert_eq!(world.connections(), [format!("{PUBLIC}:443")], "{to}");
    }
    let world = World::new(|_| ok("hello")).name("api.example.com", &[&[PUBLIC], &["127.0.0.1"]]);
    let sandbox = asker(&world, granted()).await;
    assert!(sandbox.fetched(GET).await.starts_with("200"));
    assert_eq!(sandbox.fetched(GET).await, "ErrorCode::HttpRequestDenied");
}

#[tokio::test]
async fn a_secret_is_filled_in_for_its_host_and_never_comes_back() {
    let echo = |request: &str| Some(format!("HTTP/1.1 200 x\r\nx-echo: {CANARY}\r\ncontent-length: {}\r\n\r\n{request}", request.len()));
    let world = World::new(echo).name("api.example.com", &[&[PUBLIC]]).name("evil.example.com", &[&[PUBLIC]]);
    let grant = json!({"hosts": ["api.example.com", "evil.example.com"], "secrets": {"KEY": ["api.example.com"]}});
    let sandbox = asker(&world, grant).await;
    let text = "POST https://api.example.com/\nauthorization: Bearer {{secret:KEY}}\n\nthe key is {{secret:KEY}}";
    let got = sandbox.fetched(text).await;
    assert_eq!(world.requests()[0].matches(CANARY).count(), 2, "the host got it in the header and in the body");
    assert!(!got.contains(CANARY) && got.contains("x-echo: [hidden]") && got.contains("the key is [hidden]"), "{got}");
    for request in ["POST https://evil.example.com/\nx: {{secret:KEY}}", "POST https://evil.example.com/\n\n{{secret:KEY}}"] {
        assert_eq!(sandbox.fetched(request).await, "ErrorCode::HttpRequestDenied");
    }
    assert_eq!(world.connections().len(), 1);
}

#[tokio::test]
async fn requests_and_bytes_are_those_of_the_grant() {
    let world = public();
    let sandbox = asker(&world, json!({"hosts": ["api.example.com"], "calls": 3, "connections": 2})).await;
    let got = sandbox.fetched(&format!("MANY\n{GET}")).await;
    let parts: Vec<&str> = got.split("\n--\n").collect();
    assert_eq!((parts.len(), parts.iter().filter(|part| part.starts_with("200")).count()), (200, 3));
    assert_eq!(parts.iter().filter(|part| part.contains("grants.http.calls")).count(), 197, "{:?}", &parts[..5]);
    assert_eq!(world.connections().len(), 3);

    let sandbox = asker(&public(), json!({"hosts": ["api.example.com"], "request_bytes": 70_000})).await;
    assert!(sandbox.fetched(&format!("POST https://api.example.com/\n\n{}", "x".repeat(70_000))).await.starts_with("200"));
    let got = sandbox.fetched(&format!("POST https://api.example.com/\n\n{}", "x".repeat(70_001))).await;
    assert!(got.contains("grants.http.request_bytes"), "{got}");
    let sandbox = asker(&public(), json!({"hosts": ["api.example.com"], "response_bytes": 4})).await;
    let got = sandbox.fetched(GET).await;
    assert!(got.contains("grants.http.response_bytes"), "{got}");
}

#[tokio::test]
async fn what_a_guest_waits_for_is_on_the_clock_of_waiting_and_ends_with_its_call() {
    let silent = || World::new(|_| None).name("api.example.com", &[&[PUBLIC]]);
    for (grant, request) in [
        (json!({"hosts": ["api.example.com"], "time": "20ms"}), GET.to_owned()),
        (granted(), format!("{GET}\ntimeout-ms: 20")),
        // It never ends its body.
        (json!({"hosts": ["api.example.com"], "time": "20ms"}), format!("UNENDED\n{GET}")),
    ] {
        assert_eq!(asker(&silent(), grant).await.fetched(&request).await, "ErrorCode::HttpResponseTimeout", "{request}");
    }
    let (world, wait) = (silent(), Duration::from_millis(50));
    let sandbox = Sandbox::open("web_asker", &world, Some(granted()), Limits { wait, ..patient() }).await;
    assert_eq!(sandbox.run(exchange(GET)).await.1.expect_err("a fault"), FaultKind::Exhausted(Exhausted::Wait(wait)));
    world.hung_up().await;

    let world = silent();
    let sandbox = asker(&world, granted()).await;
    tokio::select! {
        _ = sandbox.run(exchange(GET)) => panic!("nobody answers"),
        () = world.received() => {}
    }
    world.hung_up().await;
}

#[tokio::test]
async fn a_request_that_its_guest_gives_up_is_given_up() {
    let answer = |request: &str| if request.starts_with("GET /silent") { None } else { ok("hello") };
    let world = World::new(answer).name("api.example.com", &[&[PUBLIC]]);
    let sandbox = asker(&world, json!({"hosts": ["api.example.com"], "connections": 1, "time": "60s"})).await;
    assert_eq!(sandbox.fetched(&format!("DROP\n{GET}silent")).await, "dropped");
    assert!(sandbox.fetched(GET).await.starts_with("200"), "none of them holds the one place any more");
}
