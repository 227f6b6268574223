//! Least data and the choice of a target, through the real server: what a hook is handed, what it may change, who is asked.

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::reload;
use crate::server::Server;
use crate::upstream::{Script, Upstream};

/// A pipeline `p` with that plugin as that hook, and an entry of the operator's about the plugin.
fn config(plugin: &str, stage: &str, entry: &str, url: &str) -> String {
    format!(
        r#"
        [providers.up]
        kind = "openai"
        base_url = "{url}"
        [[pipelines]]
        id = "p"
        pipeline = [
            {{ stage = "{stage}", config = {{ function_id = "{plugin}" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }},
        ]
        [plugins.{plugin}]
        {entry}
        "#
    )
}

fn question() -> Value {
    json!({
        "model": "p", "temperature": 0.5, "user": "u-1", "messages": [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": [{"type": "text", "text": "first"}], "name": "ann"},
            {"role": "assistant", "content": null, "refusal": "no",
                "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "content": "found", "tool_call_id": "t"},
            {"role": "user", "content": [{"type": "text", "text": "newest"}, {"type": "image_url", "image_url": {"url": "data:,x"}}], "name": "ann"},
        ],
    })
}

async fn ask(server: &Server, body: &Value) -> Answer {
    Client::of(server.address).post("/v1/chat/completions", body).await
}

/// Why the plugin's outcome was refused.
#[track_caller]
fn why(answer: &Answer) -> String {
    assert_eq!(answer.refused(502), "plugin_invalid_outcome");
    answer.json()["error"]["message"].as_str().expect("a message").to_owned()
}

/// The listing of the one plugin.
async fn listed(server: &Server) -> Value {
    Client::of(server.address).get("/api/v1/plugins").await.json()["data"][0].clone()
}

#[tokio::test]
async fn a_pre_hook_is_handed_what_it_reads_and_nothing_else_also_after_a_reload() {
    let file = |entry: &str| config("looker", "pre_hook", entry, "http://127.0.0.1:9");
    let server = Server::with(&file("")).plugin("looker").start();
    let everything = "system rules | user first <name ann> | assistant <call> <refusal> | tool found | user newest <part> <name ann>; params temperature,user; metadata ";
    let seen = ask(&server, &question()).await.ok().content();
    assert_eq!(seen, everything);
    assert_eq!((&listed(&server).await["reads"], &listed(&server).await["writes"]), (&Value::Null, &Value::Null));
    for (reads, sees) in [
        (r#"["last-user-message"]"#, "user newest <part> <name ann>; params ; metadata "),
        (r#"["last-user-message.text", "params.user"]"#, "user newest; params user; metadata "),
        (r#"["messages.text"]"#, "system rules | user first | assistant | tool found | user newest; params ; metadata "),
        (
            r#"["messages.refusal", "last-user-message.text"]"#,
            "system | user | assistant <refusal> | tool | user newest; params ; metadata ",
        ),
        (r#"["params"]"#, "; params temperature,user; metadata "),
        ("[]", "; params ; metadata "),
    ] {
        server.reconfigure(&file(&format!("reads = {reads}")));
        reload::ask(&server).await.ok();
        assert_eq!(ask(&server, &question()).await.ok().content(), sees, "{reads}");
        assert_eq!(listed(&server).await["reads"], serde_json::from_str::<Value>(reads).expect("JSON"));
    }
    server.reconfigure(&file("writes = [\"reject\"]"));
    reload::ask(&server).await.ok();
    let why = why(&ask(&server, &question()).await);
    let refusal =
        "it answers in place of the model, which the operator's `plugins.NAME.writes` leaves out: `respond` would have to stand there";
    assert!(why.ends_with(refusal), "{why}");
    server.reconfigure(&file(""));
    reload::ask(&server).await.ok();
    assert_eq!(ask(&server, &question()).await.ok().content(), everything);
}

#[tokio::test]
async fn a_post_hook_is_handed_what_it_reads_and_the_rest_of_a_message_stays() {
    let upstream = Upstream::start().await;
    let reply = json!({"id": "r", "object": "chat.completion", "created": 5, "model": "m", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "said", "refusal": "no", "audio": {"id": "a"}}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}});
    for (entry, text, refusal, audio) in [
        ("", "assistant said <refusal> <audio> with usage", Value::Null, Value::Null),
        ("reads = [\"reply.text\", \"usage\"]", "assistant said with usage", json!("no"), json!({"id": "a"})),
        ("reads = [\"reply.text\"]\nwrites = [\"reply.text\"]", "assistant said with no usage", json!("no"), json!({"id": "a"})),
    ] {
        upstream.next(Script::json(200, &reply));
        let server = Server::with(&config("looker", "post_hook", entry, &upstream.url())).plugin("looker").start();
        let message = ask(&server, &question()).await.ok().json()["choices"][0]["message"].clone();
        assert_eq!(message["content"], text);
        assert_eq!((&message["refusal"], &message["audio"]), (&refusal, &audio), "{entry}");
    }
    for (entry, word) in [
        ("writes = [\"reply.refusal\"]", "`reply.text` would have to stand there"),
        ("writes = [\"messages\"]", "`reply` would have to stand there"),
    ] {
        upstream.next(Script::json(200, &reply));
        let server = Server::with(&config("looker", "post_hook", entry, &upstream.url())).plugin("looker").start();
        let said = why(&ask(&server, &question()).await);
        assert!(said.ends_with(word), "{said}");
    }
}

/// What the model was sent after the plugin `edits`, which counts in what it was handed, did what the newest message says.
async fn edited(entry: &str, edit: &str) -> Result<Vec<String>, String> {
    let upstream = Upstream::start().await;
    upstream.next(Script::says("fine"));
    let server = Server::with(&config("edits", "pre_hook", entry, &upstream.url())).plugin("edits").start();
    let mut body = question();
    body["messages"][4]["content"][0]["text"] = edit.into();
    let answer = ask(&server, &body).await;
    let Some(sent) = upstream.requests().first().map(|request| request.json()) else {
        return Err(why(&answer));
    };
    let text = |content: &Value| match content {
        Value::Array(parts) => parts.iter().map(|part| part["text"].as_str().unwrap_or("<part>")).collect::<Vec<_>>().join(" "),
        content => content.as_str().unwrap_or_default().to_owned(),
    };
    Ok(sent["messages"].as_array().expect("messages").iter().map(|message| text(&message["content"])).collect())
}

#[tokio::test]
async fn an_index_counts_in_the_messages_that_were_handed_over() {
    let newest = r#"reads = ["last-user-message.text"]"#;
    let sent = |edit: &'static str| async move { edited(newest, edit).await.expect("it is sent") };
    assert_eq!(sent("image").await, ["rules", "first", "", "found", "looked at <part>"], "what was left out stays");
    assert_eq!(sent("insert").await, ["rules", "first", "", "found", "inserted", "insert <part>"]);
    assert_eq!(sent("append").await, ["rules", "first", "", "found", "append <part>", "appended"]);
    assert_eq!(sent("chain").await, ["rules", "first", "", "found", "second <part>"]);
    let why = edited(newest, "replace beyond").await.expect_err("there is one message");
    assert!(why.contains("an edit names message 1 of 1"), "{why}");
    let all = r#"reads = ["last-user-message"]"#;
    assert_eq!(edited(all, "all").await.expect("it is sent"), ["rules", "first", "", "found", "all", "new"]);
    assert_eq!(edited(all, "remove").await.expect("it is sent"), ["rules", "first", "", "found"]);
}

#[tokio::test]
async fn a_hook_changes_no_more_than_it_may() {
    let newest = r#"writes = ["last-user-message"]"#;
    assert_eq!(edited(newest, "replace").await.expect("allowed"), ["rules", "first", "", "found", "replaced"]);
    for (edit, word) in [
        ("remove", "messages"),
        ("insert", "messages"),
        ("all", "messages"),
        ("model", "model"),
        ("metadata", "metadata.seen"),
        ("params", "params.temperature"),
        ("target up", "target"),
        ("answer", "respond"),
    ] {
        let why = edited(newest, edit).await.expect_err(edit);
        assert!(why.contains(&format!("`{word}` would have to stand there")), "{edit}: {why}");
    }
    let why = edited(r#"writes = ["messages.text"]"#, "replace").await.expect_err("the image would be lost");
    assert!(why.contains("changes `other` of a message"), "{why}");
}

#[tokio::test]
async fn what_a_plugin_declares_is_shown_and_the_operator_may_take_away_and_not_add() {
    let file = |entry: &str| config("detect-language", "pre_hook", entry, "http://127.0.0.1:9");
    let server = Server::with(&file("")).plugin("detect-language").start();
    let shown = listed(&server).await;
    assert_eq!(shown["reads"], json!(["last-user-message.text"]));
    assert_eq!(shown["writes"], json!(["metadata.language", "metadata.language_confidence", "reject"]));
    let server =
        Server::with(&file("writes = [\"metadata.language\", \"metadata.language_confidence\"]")).plugin("detect-language").start();
    assert_eq!(listed(&server).await["writes"], json!(["metadata.language", "metadata.language_confidence"]));
    server.reconfigure(&file("reads = [\"messages.text\"]"));
    reload::ask(&server).await.ok();
    let reason = listed(&server).await["reason"].as_str().expect("a reason").to_owned();
    assert_eq!(
        reason,
        "`reads` of `[plugins.detect-language]` have `messages.text`, which the plugin does not declare to read; leave it out there (it declares \
         `last-user-message.text`)"
    );
    let server = Server::with(&file("reads = [\"messages\"]")).plugin("detect-language").start();
    assert_eq!(listed(&server).await["state"], "refused");
}

#[tokio::test]
async fn a_pre_hook_chooses_among_the_targets_of_the_pipeline_and_the_fallbacks_follow() {
    let [a, b, c] = [Upstream::start().await, Upstream::start().await, Upstream::start().await];
    let provider = |name: &str, up: &Upstream| format!("[providers.{name}]\nkind = \"openai\"\nbase_url = \"{}\"\n", up.url());
    let providers = [("a", &a), ("b", &b), ("c", &c)].map(|(name, up)| provider(name, up)).concat();
    let config = format!(
        r#"
        {providers}
        [limits.providers]
        retries = 0
        circuit_failures = 0
        [[pipelines]]
        id = "p"
        pipeline = [
            {{ stage = "pre_hook", config = {{ function_id = "edits" }} }},
            {{ stage = "llm", config = {{
                primary = {{ provider = "a", model = "of-a" }},
                fallbacks = [ {{ provider = "b", model = "of-b", on_status = [429] }}, {{ provider = "c", model = "of-c" }} ],
            }} }},
        ]
        "#
    );
    let server = Server::with(&config).plugin("edits").start();
    let client = Client::of(server.address);
    b.next(Script::says("b says"));
    let answer = client.chat("p", "target b", json!({})).await.ok();
    assert_eq!((answer.content().as_str(), answer.header("x-cofferdam-provider")), ("b says", Some("b")));
    assert_eq!(b.requests()[0].json()["model"], "of-b");
    server.wait_for_line(|line| line.contains("\"provider\":\"b\"") || line.contains("provider=\"b\"") || line.contains("provider=b"));
    b.next(Script::reply(503, &[], "oops"));
    c.next(Script::says("c says"));
    let answer = client.chat("p", "target b", json!({})).await.ok();
    assert_eq!((answer.content().as_str(), answer.header("x-cofferdam-provider")), ("c says", Some("c")));
    assert!(a.requests().is_empty(), "the primary was not chosen");
    let why = why(&client.chat("p", "target d", json!({})).await);
    assert!(why.ends_with("target: the pipeline has the providers `a`, `b`, `c` and not `d`"), "{why}");
}
