//! A primary and its fallback behind the real server: what the client sees when a provider fails, and what a provider is sent.
//! The decisions are tested in the room `llm`; these tests show what only the whole gateway can: headers, envelopes, framing, hang-ups.

mod attempts;
mod cancel;
mod request;
mod stream;

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::server::{Builder, Server};
use crate::upstream::{Script, Upstream};

const KEY_A: &str = "sk-of-a-0123456789";
const KEY_B: &str = "sk-of-b-0123456789";

/// A server whose model `p` asks `a`, then `b`; whose model `alone` asks `a` only.
struct Gateway {
    a: Upstream,
    b: Upstream,
    server: Server,
    client: Client,
}

async fn gateway(extra: &str) -> Gateway {
    gateway_with(extra, |server| server.env("KEY_A", KEY_A).env("KEY_B", KEY_B)).await
}

async fn gateway_with(extra: &str, build: impl FnOnce(Builder) -> Builder) -> Gateway {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let extra = once(extra);
    let config = format!(
        r#"
        {extra}
        [providers.a]
        kind = "openai"
        base_url = "{}"
        [providers.b]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{
            primary = {{ provider = "a", model = "model-a", secret_key_name = "KEY_A" }},
            fallbacks = [ {{ provider = "b", model = "model-b", secret_key_name = "KEY_B" }} ],
        }} }} ]
        [[pipelines]]
        id = "alone"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "a", model = "model-a", secret_key_name = "KEY_A" }} }} }} ]
        "#,
        a.url(),
        b.url()
    );
    let server = build(Server::with(&config)).start();
    let client = Client::of(server.address);
    Gateway { a, b, server, client }
}

/// One attempt at each provider and no circuits, unless the test says otherwise, as those of `attempts` do.
fn once(extra: &str) -> String {
    const TABLE: &str = "[limits.providers]";
    let one_try = format!("{TABLE}\nretries = 0\ncircuit_failures = 0\n");
    match extra {
        extra if extra.contains("retries") => extra.to_owned(),
        extra if extra.contains(TABLE) => extra.replace(TABLE, &one_try),
        extra => format!("{extra}\n{one_try}"),
    }
}

fn refusal(message: &str) -> Value {
    json!({"error": {"message": message, "type": "their_type", "code": "their_code", "param": "temperature"}})
}

#[tokio::test]
async fn an_error_says_how_many_tries_came_to_nothing() {
    let Gateway { a, b, client, server: _server } = gateway("").await;
    a.always(Script::reply(503, &[], "oops"));
    b.always(Script::reply(500, &[], "oops"));
    for stream in [false, true] {
        let answer = client.chat("p", "hi", json!({"stream": stream})).await;
        let headers = ["x-cofferdam-attempts", "x-cofferdam-provider"].map(|name| answer.header(name));
        assert_eq!((answer.refused(502), headers), ("provider_failed".to_owned(), [Some("2"), None]));
    }
    let nobody = client.chat("nobody", "hi", json!({})).await;
    assert_eq!((nobody.refused(404), nobody.header("x-cofferdam-attempts")), ("model_not_found".to_owned(), None));
}

#[tokio::test]
async fn after_a_429_the_fallback_answers_in_one_clean_reply() {
    let Gateway { a, b, client, server: _server } = gateway("").await;
    a.always(Script::reply(429, &[("retry-after", "7")], refusal("slow down").to_string()));
    b.next(Script::says("from b")).next(Script::streams(&["from", " b"]));
    let answer = client.chat("p", "hi", json!({})).await.ok();
    assert_eq!(answer.content(), "from b");
    let named = ["x-cofferdam-provider", "x-cofferdam-model", "x-cofferdam-attempts", "retry-after"].map(|name| answer.header(name));
    assert_eq!(named, [Some("b"), Some("model-b"), Some("2"), None]);
    let stream = client.chat_stream("p", "hi", json!({})).await;
    assert_eq!((stream.status.as_u16(), &stream.headers["content-type"]), (200, &"text/event-stream".parse().expect("a value")));
    assert_eq!(
        (&stream.headers["x-cofferdam-provider"], &stream.headers["x-cofferdam-attempts"]),
        (&"b".parse().expect("a value"), &"2".parse().expect("a value"))
    );
    assert_eq!(text_of(&stream.all().await.expect("a whole stream")), "from b");
    let asked = b.requests();
    assert!(
        asked
            .iter()
            .all(|request| request.json()["model"] == "model-b" && request.header("authorization") == Some(&format!("Bearer {KEY_B}")))
    );
    let metrics = client.get("/metrics").await.ok().text();
    assert!(
        metrics.lines().any(|line| line.contains("llm") && line.contains("provider=\"a\"") && line.contains("outcome=\"status\"")),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_429_that_nobody_takes_over_arrives_with_its_retry_after() {
    let Gateway { a, client, server: _server, .. } = gateway("").await;
    a.always(Script::reply(429, &[("retry-after", "7")], refusal("slow down").to_string()));
    for answer in [client.chat("alone", "hi", json!({})).await, client.chat_stream("alone", "hi", json!({})).await.answer().await] {
        assert_eq!((answer.refused(429).as_str(), answer.header("retry-after")), ("their_code", Some("7")));
        assert_eq!(answer.json(), refusal("slow down"));
    }
}

#[tokio::test]
async fn a_400_is_not_retried_and_arrives_in_the_providers_words() {
    let Gateway { a, b, client, server: _server } = gateway("").await;
    a.always(Script::json(400, &refusal("temperature is over 2")));
    for answer in [client.chat("p", "hi", json!({})).await, client.chat_stream("p", "hi", json!({})).await.answer().await] {
        assert_eq!((answer.status.as_u16(), answer.json()), (400, refusal("temperature is over 2")));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert_eq!((a.requests().len(), b.requests().len()), (2, 0));
}

#[tokio::test]
async fn a_providers_401_is_not_the_clients_and_never_shows_the_key() {
    let Gateway { a, client, server, .. } = gateway("").await;
    a.always(Script::json(401, &refusal(&format!("Incorrect API key provided: {KEY_A}"))));
    for answer in [client.chat("alone", "hi", json!({})).await, client.chat_stream("alone", "hi", json!({})).await.answer().await] {
        assert_eq!((answer.refused(502).as_str(), answer.header("x-should-retry")), ("provider_auth", Some("false")));
        assert!(!answer.text().contains("sk-of"), "{answer:?}");
    }
    assert!(!server.log().contains("sk-of"), "nor does the log");
}

#[tokio::test]
async fn a_401_falls_back_to_another_provider() {
    let Gateway { a, b, client, server } = gateway("").await;
    a.always(Script::json(401, &refusal(&format!("Incorrect API key provided: {KEY_A}"))));
    b.next(Script::says("from b"));
    assert_eq!(client.chat("p", "hi", json!({})).await.ok().content(), "from b");
    assert!(!server.log().contains("sk-of"));
}

#[tokio::test]
async fn a_missing_secret_names_its_variable_or_lets_the_fallback_run() {
    let Gateway { a, b, client, server: _server } = gateway_with("", |server| server.env("KEY_A", "  ").env("KEY_B", KEY_B)).await;
    b.next(Script::says("from b"));
    let answer = client.chat("p", "hi", json!({})).await.ok();
    assert_eq!((answer.content().as_str(), answer.header("x-cofferdam-attempts")), ("from b", Some("2")));
    let alone = client.chat("alone", "hi", json!({})).await;
    assert_eq!((alone.refused(500).as_str(), alone.header("x-should-retry")), ("provider_secret_missing", Some("false")));
    assert!(alone.text().contains("`KEY_A`"), "{alone:?}");
    assert!(a.requests().is_empty(), "nobody is asked without the key");
}

#[tokio::test]
async fn when_all_fail_the_last_one_is_told() {
    let Gateway { a, b, client, server: _server } = gateway("").await;
    a.always(Script::reply(500, &[], "oops"));
    b.always(Script::reply(503, &[], "overloaded"));
    let answer = client.chat("p", "hi", json!({})).await;
    assert_eq!(answer.refused(503), "provider_failed");
    assert!(answer.text().contains("provider `b` answered 503"), "{answer:?}");
}

#[tokio::test]
async fn a_silent_primary_leaves_time_for_its_fallback_also_where_the_whole_reply_is_awaited() {
    let Gateway { a, b, client, server: _server } = gateway("[limits.http]\nrequest_time = \"2s\"").await;
    a.always(Script::default().hang());
    b.next(Script::says("from b"));
    assert_eq!(client.chat("p", "hi", json!({})).await.ok().content(), "from b");
}

#[tokio::test]
async fn an_error_status_counts_even_if_its_words_never_come() {
    let Gateway { a, b, client, server: _server } = gateway("").await;
    a.always(Script::chunked(400, &[("content-type", "application/json")]).hang());
    let (whole, stream) = tokio::join!(client.chat("p", "hi", json!({})), client.chat_stream("p", "hi", json!({})));
    assert_eq!((whole.status.as_u16(), stream.answer().await.status.as_u16(), b.requests().len()), (400, 400, 0));
}
