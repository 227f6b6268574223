//! What an operator sees of requests: the one line that the log has of each, however it ends, and the figures of the process.
//! A line is held against all that it may hold, so that none of a request's content, and no field without a promise, comes into it.

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::{Builder, PATIENCE, Server};
use crate::upstream::{Script, Signal, Upstream, delta, finish};

/// What a client asks and what a model says; neither may be in a log.
const QUESTION: &str = "is 4111-1111 my card?";
const ANSWER: &str = "it is";
/// The module that writes a request's own line.
const WRITTEN_BY: &str = "\"target\":\"cofferdam::http::request_log\"";
const KEY: &str = "sk-of-a-0123456789";

/// A server whose model `p` asks `a`, then `b`, and `hedged` both if `a` is slow.
struct House {
    a: Upstream,
    b: Upstream,
    server: Server,
    client: Client,
}

async fn house(extra: &str, build: impl FnOnce(Builder) -> Builder) -> House {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let chain = r#"primary = { provider = "a", model = "model-a", secret_key_name = "KEY_A" }, fallbacks = [ { provider = "b", model = "model-b" } ]"#;
    let config = format!(
        r#"
        {extra}
        [limits.providers]
        retries = 0
        circuit_failures = 0
        [providers.a]
        kind = "openai"
        base_url = "{}"
        [providers.b]
        kind = "openai"
        base_url = "{}"
        [[embeddings]]
        id = "small"
        provider = "a"
        model = "text-embedding-3-small"
        [[embeddings]]
        id = "minilm"
        provider = "builtin"
        model = "minilm"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ {chain} }} }} ]
        [[pipelines]]
        id = "hedged"
        pipeline = [ {{ stage = "llm", config = {{ {chain}, hedge_after = "1ms" }} }} ]
        "#,
        a.url(),
        b.url()
    );
    let server = build(Server::with(&config).env("COFFERDAM_LOG", "info").env("KEY_A", KEY)).start();
    let client = Client::of(server.address);
    House { a, b, server, client }
}

/// Lines that can be taken apart.
fn json_lines(server: Builder) -> Builder {
    server.args(&["--log", "json"])
}

async fn plain_house() -> House {
    house("", json_lines).await
}

impl House {
    /// The line of that request, without what is different each time, which is checked here.
    fn line(&self, id: &str) -> Value {
        let line = self.server.wait_for_line(|line| line.contains(&format!("\"{id}\"")) && line.contains(WRITTEN_BY));
        for secret in [QUESTION, ANSWER, KEY] {
            assert!(!line.contains(secret), "{line}");
        }
        let mut line: Value = serde_json::from_str(&line).expect("a line is JSON");
        let fields = line.as_object_mut().expect("an object");
        assert_eq!((&fields["level"], &fields["spans"][0]["request.id"]), (&json!("INFO"), &json!(id)));
        let whole = fields["duration_us"].as_u64().expect("microseconds");
        if let Some(first) = fields.get("first_byte_us") {
            assert!(first.as_u64().expect("microseconds") <= whole, "{fields:?}");
        }
        assert_eq!(fields.contains_key("first_byte_us"), fields["status"] != 499, "whoever was answered got a first byte: {fields:?}");
        for varying in ["timestamp", "level", "target", "spans", "message", "duration_us", "first_byte_us"] {
            fields.remove(varying);
        }
        line
    }

    fn line_of(&self, answer: &Answer) -> Value {
        self.line(answer.header("x-request-id").expect("every answer has one"))
    }
}

/// The fields of a chat's line, with more or others.
fn chat(status: u16, outcome: &str, more: Value) -> Value {
    let mut line = json!({"method": "POST", "route": "chat_completions", "status": status, "pipeline": "p", "outcome": outcome});
    for (name, value) in more.as_object().expect("an object") {
        line[name] = value.clone();
    }
    line
}

/// The line without the counts of a short reply that was cut: they are estimated from the bytes of what was sent and came.
fn without_estimates(mut line: Value) -> Value {
    let mut count = |name: &str| line.as_object_mut().expect("an object").remove(name).and_then(|count| count.as_u64()).expect("a count");
    let (prompt, completion) = (count("prompt_tokens"), count("completion_tokens"));
    assert!((5..100).contains(&prompt) && (1..5).contains(&completion), "{prompt} and {completion}");
    line
}

fn usage() -> Value {
    json!({"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "prompt_tokens_details": {"cached_tokens": 15}})
}

fn whole() -> Script {
    let message = json!({"role": "assistant", "content": ANSWER});
    let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    Script::json(200, &json!({"id": "c", "object": "chat.completion", "created": 7, "model": "m", "choices": choices, "usage": usage()}))
}

fn streamed() -> Script {
    let last =
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "fake", "choices": [], "usage": usage()});
    Script::stream().event(&delta(ANSWER)).event(&finish()).event(&last.to_string()).event("[DONE]").end()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_an_answer_names_who_gave_it_and_what_it_used() {
    let house = plain_house().await;
    house.a.next(whole()).next(streamed());
    let used =
        json!({"provider": "a", "model": "model-a", "attempts": 1, "prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 15});
    let answer = house.client.chat("p", QUESTION, json!({})).await.ok();
    assert_eq!(house.line_of(&answer), chat(200, "done", used.clone()));
    let stream = house.client.chat_stream("p", QUESTION, json!({})).await;
    let id = stream.headers["x-request-id"].to_str().expect("text").to_owned();
    stream.all().await.expect("a whole stream");
    assert_eq!(house.line(&id), chat(200, "done", used));
    // A count that nobody can have used is cut, as the ledger cuts it.
    let choices = json!([{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}]);
    let counts = json!({"prompt_tokens": 1e30, "completion_tokens": -5, "total_tokens": 1});
    house.a.next(Script::json(
        200,
        &json!({"id": "c", "object": "chat.completion", "created": 7, "model": "m", "choices": choices, "usage": counts}),
    ));
    let answer = house.client.chat("p", QUESTION, json!({})).await.ok();
    let used = json!({"provider": "a", "model": "model-a", "attempts": 1, "prompt_tokens": 1_000_000_000, "completion_tokens": 0});
    assert_eq!(house.line_of(&answer), chat(200, "done", used));
    // A provider that reports nothing of a cache has no field for it.
    house.a.next(Script::says(ANSWER));
    let answer = house.client.chat("p", QUESTION, json!({})).await.ok();
    let used = json!({"provider": "a", "model": "model-a", "attempts": 1, "prompt_tokens": 1, "completion_tokens": 2});
    assert_eq!(house.line_of(&answer), chat(200, "done", used));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_s_line_is_as_a_chat_s() {
    let house = plain_house().await;
    house.a.next(whole()).next(streamed());
    for stream in [false, true] {
        let answer = house.client.post("/v1/responses", &json!({"model": "p", "input": QUESTION, "stream": stream})).await.ok();
        let used = json!({"route": "responses", "provider": "a", "model": "model-a", "attempts": 1,
            "prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 15});
        assert_eq!(house.line_of(&answer), chat(200, "done", used));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_have_a_provider_also_where_that_is_this_program() {
    let house = plain_house().await;
    let data = json!([{"object": "embedding", "index": 0, "embedding": [1.0, 0.5]}]);
    house
        .a
        .next(Script::json(200, &json!({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5}})));
    let answer = house.client.post("/v1/embeddings", &json!({"model": "small", "input": QUESTION})).await.ok();
    let used = json!({"route": "embeddings", "pipeline": "small", "provider": "a", "model": "text-embedding-3-small", "attempts": 1,
        "prompt_tokens": 5, "completion_tokens": 0});
    assert_eq!(house.line_of(&answer), chat(200, "done", used));
    let answer = house.client.post("/v1/embeddings", &json!({"model": "minilm", "input": QUESTION})).await.ok();
    let inside = json!({"route": "embeddings", "pipeline": "minilm", "provider": "builtin", "model": "minilm"});
    assert_eq!(house.line_of(&answer), chat(200, "done", inside));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_s_answer_has_its_name_and_a_failure_that_of_the_last_one_asked() {
    let house = plain_house().await;
    house.a.always(Script::json(503, &json!({"error": {"message": ANSWER}})));
    house.b.next(whole()).next(Script::json(500, &json!({"error": {"message": ANSWER}})));
    let answer = house.client.chat("p", QUESTION, json!({})).await.ok();
    let used =
        json!({"provider": "b", "model": "model-b", "attempts": 2, "prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 15});
    assert_eq!(house.line_of(&answer), chat(200, "done", used));
    let answer = house.client.chat("p", QUESTION, json!({})).await;
    assert_eq!(answer.refused(502), "provider_failed");
    let failed = json!({"provider": "b", "model": "model-b", "attempts": 2, "error": "provider_failed"});
    assert_eq!(house.line_of(&answer), chat(502, "done", failed));
    // A provider's own code is told if it is a word, and not if it quotes what the client sent.
    for (code, logged) in [("too_long", "too_long"), (QUESTION, "invalid_request_error")] {
        house.a.forget_responders();
        house.a.next(Script::json(400, &json!({"error": {"message": QUESTION, "code": code, "type": "invalid_request_error"}})));
        let answer = house.client.chat("p", QUESTION, json!({})).await;
        let refused = json!({"provider": "a", "model": "model-a", "attempts": 1, "error": logged});
        assert_eq!(house.line_of(&answer), chat(400, "done", refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hedge_the_one_that_answered_is_named() {
    let house = plain_house().await;
    house.a.next(Script::default().hang());
    house.b.next(whole());
    let answer = house.client.chat("hedged", QUESTION, json!({})).await.ok();
    let used = json!({"pipeline": "hedged", "provider": "b", "model": "model-b", "attempts": 2,
        "prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 15});
    assert_eq!(house.line_of(&answer), chat(200, "done", used));
    house.a.hung_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_has_a_line_with_what_was_done_for_it() {
    let house = plain_house().await;
    house.a.next(Script::default().hang()).next(Script::stream().event(&delta(ANSWER)).hang());
    let named = |id: &str| Client::of(house.server.address).header("x-request-id", id);
    let before = named("left-before");
    tokio::select! {
        _ = before.chat("p", QUESTION, json!({})) => panic!("nobody answered"),
        () = house.a.received() => {}
    }
    let asked = json!({"provider": "a", "model": "model-a", "attempts": 1});
    assert_eq!(house.line("left-before"), chat(499, "client_gone", asked));
    let mut stream = named("left-amid").chat_stream("p", QUESTION, json!({})).await;
    assert_eq!(stream.next().await, Ok(Some(delta(ANSWER))));
    drop(stream);
    let used = json!({"provider": "a", "model": "model-a", "attempts": 1, "estimated": true});
    assert_eq!(without_estimates(house.line("left-amid")), chat(200, "client_gone", used));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_has_its_code() {
    let house = plain_house().await;
    let signal = Signal::default();
    house.a.next(Script::stream().event(&delta(ANSWER)).wait(&signal).cut());
    let mut stream = house.client.chat_stream("p", QUESTION, json!({})).await;
    let id = stream.headers["x-request-id"].to_str().expect("text").to_owned();
    stream.next().await.expect("an event");
    signal.fire();
    while let Ok(Some(_)) = stream.next().await {}
    let broke = json!({"provider": "a", "model": "model-a", "attempts": 1, "estimated": true, "error": "upstream_cut"});
    assert_eq!(without_estimates(house.line(&id)), chat(200, "upstream_cut", broke));
}

/// Pipelines with these plugins before the model.
fn with_plugins(pipelines: &[(&str, &[&str])]) -> String {
    let mut config = "[plugins.trap]\non_failure = \"skip\"\n".to_owned();
    for (id, plugins) in pipelines {
        let hooks: String =
            plugins.iter().map(|plugin| format!("{{ stage = \"pre_hook\", config = {{ function_id = \"{plugin}\" }} }},")).collect();
        config += &format!(
            "[[pipelines]]\nid = \"{id}\"\npipeline = [ {hooks} {{ stage = \"llm\", config = {{ primary = {{ provider = \"a\", model = \"model-a\" }} }} }} ]\n"
        );
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_names_the_plugin_that_rejected_or_failed_the_request_and_those_that_were_skipped() {
    let pipelines: [(&str, &[&str]); 3] = [("rejected", &["rejecter"]), ("skipped", &["trap"]), ("failed", &["panic"])];
    let plugins = |server: Builder| ["rejecter", "trap", "panic"].into_iter().fold(json_lines(server), Builder::plugin);
    let house = house(&with_plugins(&pipelines), plugins).await;
    house.a.next(whole());
    let answer = house.client.chat("rejected", QUESTION, json!({})).await;
    assert_eq!(answer.refused(451), "rejected_by_test");
    let rejected = json!({"pipeline": "rejected", "plugin": "rejecter", "error": "rejected_by_test"});
    assert_eq!(house.line_of(&answer), chat(451, "done", rejected));
    let answer = house.client.chat("failed", QUESTION, json!({})).await;
    let failed = json!({"pipeline": "failed", "plugin": "panic", "error": answer.refused(502)});
    assert_eq!(house.line_of(&answer), chat(502, "done", failed));
    let answer = house.client.chat("skipped", QUESTION, json!({})).await.ok();
    let used = json!({"pipeline": "skipped", "provider": "a", "model": "model-a", "attempts": 1,
        "prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 15, "skipped": "trap"});
    assert_eq!(house.line_of(&answer), chat(200, "done", used));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_was_skipped_is_named_also_if_the_request_then_fails() {
    let stages: [(&str, &[&str]); 1] = [("p2", &["trap"])];
    let house = house(&with_plugins(&stages), |server| json_lines(server).plugin("trap")).await;
    house.a.next(Script::reply(500, &[], "no"));
    let answer = house.client.chat("p2", QUESTION, json!({})).await;
    let failed =
        json!({"pipeline": "p2", "skipped": "trap", "provider": "a", "model": "model-a", "attempts": 1, "error": "provider_failed"});
    assert_eq!(house.line_of(&answer), chat(502, "done", failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_has_its_code_and_its_caller_but_no_provider() {
    use sha2::Digest;
    let hash: String = sha2::Sha256::digest("team-key").iter().map(|byte| format!("{byte:02x}")).collect();
    let keys = format!("[keys]\nclient = [{{ name = \"team\", sha256 = \"{hash}\", limits = {{ requests_per_minute = 1 }} }}]\n");
    let house = house(&keys, json_lines).await;
    house.a.next(whole());
    let team = Client::of(house.server.address).header("authorization", "Bearer team-key");
    let answer = team.chat("p", QUESTION, json!({})).await.ok();
    assert_eq!(house.line_of(&answer)["caller"], "team");
    let answer = team.chat("p", QUESTION, json!({})).await;
    assert_eq!(answer.refused(429), "rate_limit_exceeded");
    // What the body says is not read any more.
    let refused = json!({"method": "POST", "route": "chat_completions", "status": 429, "caller": "team",
        "error": "rate_limit_exceeded", "outcome": "done"});
    assert_eq!(house.line_of(&answer), refused);
    let answer = house.client.chat("p", QUESTION, json!({})).await;
    assert_eq!(answer.refused(401), "invalid_api_key");
    let refused = json!({"method": "POST", "route": "chat_completions", "status": 401, "error": "invalid_api_key", "outcome": "done"});
    assert_eq!(house.line_of(&answer), refused);
    let answer = house.client.get("/healthz").await.ok();
    assert_eq!(house.line_of(&answer), json!({"method": "GET", "route": "healthz", "status": 200, "outcome": "done"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_in_text_has_the_same_fields() {
    let house = house("", |server| server).await;
    house.a.next(whole());
    house.client.chat("p", QUESTION, json!({})).await.ok();
    let line = house.server.wait_for_log("POST chat_completions answered 200");
    let told = r#"provider="a" model="model-a" attempts=1 prompt_tokens=20 completion_tokens=9 cached_tokens=15 outcome="done""#;
    assert!(line.contains(told), "{line}");
    assert!(!line.contains("error") && !line.contains("plugin") && !line.contains("skipped"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_tell_of_the_build_and_of_the_process() {
    let house = plain_house().await;
    let text = house.client.get("/metrics").await.ok().text();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
    };
    assert!(text.contains(concat!("cofferdam_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",")), "{text}");
    if cfg!(target_os = "linux") {
        let pid = house.server.id();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("our own child's").count() as f64;
        assert!((value("process_open_fds") - open).abs() < 20.0, "{open} and {}", value("process_open_fds"));
        assert!(value("process_resident_memory_bytes") < value("process_virtual_memory_bytes"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..2.0 * PATIENCE.as_secs_f64()).contains(&age), "it is {age} s old");
    }
    assert!(value("process_cpu_seconds_total") > 0.0 && value("process_max_fds") >= value("process_open_fds"));
}
