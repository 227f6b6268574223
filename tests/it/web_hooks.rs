//! Hooks in the style of the web, which export `wasi:http/incoming-handler`: what they are asked, what their answers do, and that whatever they do
//! ends in an error of its own. `seed` is the example of the contract that they keep, with its source as it was published.

mod seed;

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::server::Server;
use crate::upstream::{Script, Upstream};

/// `pre` asks the hook before the model, `post` afterwards.
fn config(upstream: &str, more: &str) -> String {
    let pipeline = |id: &str, stages: [bool; 2]| {
        format!(
            r#"
            [[pipelines]]
            id = "{id}"
            pipeline = [
                {{ stage = "pre_hook", config = {{ function_id = "web_hook" }}, enabled = {} }},
                {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }},
                {{ stage = "post_hook", config = {{ function_id = "web_hook" }}, enabled = {} }},
            ]
            "#,
            stages[0], stages[1]
        )
    };
    format!(
        r#"
        [limits.plugins]
        starve_time = "60s"
        queue_time = "60s"
        [providers.up]
        kind = "openai"
        base_url = "{upstream}"
        [plugins.web_hook]
        {more}
        {}{}
        "#,
        pipeline("pre", [true, false]),
        pipeline("post", [false, true])
    )
}

const LIMITS: &str = r#"limits = { time = "20s", output = "1MiB", fuel = 500_000_000, memory = "32MiB" }"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_web_hook_is_asked_by_post_and_its_answer_takes_effect() {
    let upstream = Upstream::start().await;
    let server = Server::with(&config(&upstream.url(), LIMITS)).plugin("web_hook").start();
    let client = Client::of(server.address);
    let listed = &client.get("/api/v1/plugins").await.ok().json()["data"][0];
    let shown = (&listed["name"], &listed["state"], &listed["hooks"], &listed["version"]);
    assert_eq!(shown, (&json!("web_hook"), &json!("live"), &json!(["pre_hook", "post_hook"]), &json!("unknown")), "{listed}");

    upstream.next(Script::says("Fine."));
    client.chat("pre", "redo How are you?", json!({})).await.ok();
    assert_eq!(upstream.requests()[0].json()["messages"], json!([{"role": "user", "content": "How are you?"}]));

    upstream.next(Script::says("Fine."));
    client.chat("pre", "tell", json!({})).await.ok();
    let told = upstream.requests()[1].json()["messages"][0]["content"].as_str().map(serde_json::from_str::<Value>);
    let expected = json!({"method": "Method::Post", "path": "/pre_hook", "type": "application/json", "length": true, "id": true});
    assert_eq!(told.expect("a text").expect("JSON"), expected);

    // A conversation that comes back as it was is sent as it came.
    let messages = json!([
        {"role": "system", "content": "Be brief.", "vendor": {"a": 1.50}},
        {"role": "user", "content": [{"type": "text", "text": "echo"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]},
    ]);
    upstream.next(Script::says("Fine."));
    client.post("/v1/chat/completions", &json!({"model": "pre", "messages": messages})).await.ok();
    assert_eq!(upstream.requests()[2].json()["messages"], messages);

    let refused = client.chat("pre", r#"say 451 {"error": {"message": "Not here.", "code": "place"}}"#, json!({})).await;
    assert_eq!((refused.header("retry-after"), refused.json()["error"]["message"].as_str()), (Some("7"), Some("Not here.")));
    assert_eq!(refused.refused(451), "place");
    assert_eq!(client.chat("pre", "say 418 I am a teapot.", json!({})).await.json()["error"]["message"], "I am a teapot.");
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_hook_after_the_model_looks_at_every_choice_and_at_streams() {
    let upstream = Upstream::start().await;
    let server = Server::with(&config(&upstream.url(), LIMITS)).plugin("web_hook").start();
    let client = Client::of(server.address);
    let choice =
        |index: usize, text: &str| json!({"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
    let reply = |texts: [&str; 2]| {
        let choices: Vec<Value> = texts.iter().enumerate().map(|(index, text)| choice(index, text)).collect();
        Script::json(200, &json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}))
    };
    upstream.next(reply(["redo One.", "as it is"]));
    let answer = client.chat("post", "Say two.", json!({"n": 2})).await.ok().json();
    let said = |at: usize| answer["choices"][at]["message"]["content"].as_str();
    assert_eq!((said(0), said(1)), (Some("One."), Some("as it is")));
    upstream.next(reply(["redo One.", r#"say 403 {"error": "not the second"}"#]));
    let refused = client.chat("post", "Say two.", json!({"n": 2})).await;
    assert_eq!(refused.json()["error"]["message"], "not the second");
    upstream.next(Script::says("redo A stream."));
    let streamed = client.chat_stream("post", "Stream.", json!({})).await.all().await.expect("a whole stream");
    assert_eq!(text_of(&streamed), "A stream.");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_web_hook_does_is_its_own_fault() {
    let upstream = Upstream::start().await;
    let server = Server::with(&config(&upstream.url(), LIMITS)).plugin("web_hook").start();
    let client = Client::of(server.address);
    for (does, code, said) in [
        ("silent", "plugin_invalid_outcome", "before it had answered"),
        ("giving-up", "plugin_invalid_outcome", "gave up"),
        ("failing", "plugin_reported_error", "out of order"),
        ("informing", "plugin_invalid_outcome", "status 103"),
        ("endless", "plugin_output_exhausted", "`plugins.NAME.limits.output`"),
        ("unfinished", "plugin_invalid_outcome", "before it had answered and ended"),
        ("aborted", "plugin_invalid_outcome", "broke off"),
        ("short", "plugin_invalid_outcome", "broke off"),
        ("trailing", "plugin_invalid_outcome", "trailers"),
        ("trapping", "plugin_trapped", "unreachable"),
        ("huge-header", "plugin_trapped", "total size of fields exceeds limit"),
        ("bodies", "plugin_trapped", "limit exceeded"),
        ("say 200", "plugin_invalid_outcome", "JSON"),
        ("say 200 {}", "plugin_invalid_outcome", "messages"),
        ("say 302", "plugin_invalid_outcome", "status 302"),
        (r#"say 500 {"error": "no database"}"#, "plugin_reported_error", "no database"),
    ] {
        let answer = client.chat("pre", does, json!({})).await;
        let message = answer.json()["error"]["message"].to_string();
        assert_eq!((answer.refused(502), message.contains(said)), (code.into(), true), "{does}: {message}");
        client.get("/healthz").await.ok();
    }
    assert!(upstream.requests().is_empty());
    upstream.next(Script::says("Fine."));
    client.chat("pre", "behave", json!({})).await.ok();
}
