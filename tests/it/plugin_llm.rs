//! Plugins that ask models, through the real server: those of their grant and no others, on their caller's account, within a budget for each
//! request, and one level deep.

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::reload::{File, with_key};
use crate::server::{Builder, Server};
use crate::upstream::{Script, Upstream, delta};

const UP: &str = r#"llm = { targets = ["up/m"] }"#;
const MODELS: [&str; 9] = ["echo", "through", "whole", "itself", "forbidden", "hoard", "first-word", "embed", "twice"];

/// A server with the plugin `asker`: its models have pipelines of their names, and its pre-hook has the pipeline `topics`.
fn asker(url: &str, grants: &str, more: &str) -> Builder {
    asker_within("wait = \"60s\", time = \"20s\"", url, grants, more)
}

fn asker_within(limits: &str, url: &str, grants: &str, more: &str) -> Builder {
    let target = |id: &str| format!("{{ provider = \"plugin\", model = \"asker/{id}\" }}");
    let pipeline = |id: &str, stages: &str| format!("[[pipelines]]\nid = \"{id}\"\npipeline = [ {stages} ]\n");
    let llm = |config: &str| format!("{{ stage = \"llm\", config = {{ primary = {config} }} }}");
    let hook = r#"{ stage = "pre_hook", config = { function_id = "asker" } }"#;
    let up = r#"{ provider = "up", model = "m" }"#;
    let config = [
        format!(
            "[providers.up]\nkind = \"openai\"\nbase_url = \"{url}\"\n[providers.down]\nkind = \"openai\"\nbase_url = \"{url}/down\"\n"
        ),
        format!("[limits.providers]\nretries = 0\n[limits.plugins]\nstarve_time = \"60s\"\n[plugins.asker]\nlimits = {{ {limits} }}\n"),
        format!("grants = {{ {grants} }}\n{more}\n"),
        MODELS.map(|id| pipeline(id, &llm(&target(id)))).concat(),
        pipeline("topics", &format!("{hook}, {}", llm(up))),
        pipeline("away", &llm(&format!("{{ provider = \"down\", model = \"m\" }}, fallbacks = [ {} ]", target("through")))),
    ];
    Server::with(&config.concat()).plugin("asker")
}

async fn said(client: &Client, model: &str, question: &str) -> String {
    client.chat(model, question, json!({})).await.ok().content()
}

fn counted(text: &str, prompt: u64, completion: u64) -> Script {
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion});
    let last = json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "fake", "choices": [], "usage": usage});
    Script::stream().event(&delta(text)).event(&crate::upstream::finish()).event(&last.to_string()).event("[DONE]").end()
}

#[tokio::test]
async fn a_plugin_asks_a_model_streamed_and_whole_on_its_callers_account() {
    let upstream = Upstream::start().await;
    upstream.always(counted("Good morning", 30, 4));
    let keys = File { clients: &["app"], url: "http://127.0.0.1:1", more: "" }.text();
    let server = asker(&upstream.url(), UP, &keys).start();
    let client = with_key(&server, "app");
    assert_eq!(said(&client, "through", "hello").await, "Good morning");
    let events = client.chat_stream("through", "hello", json!({})).await.all().await.expect("a stream");
    assert_eq!(text_of(&events), "Good morning");
    assert_eq!(said(&client, "whole", "hello").await, "fake said: Good morning");
    let asked: Vec<Value> = upstream.requests().iter().map(|request| request.json()).collect();
    assert_eq!(asked.len(), 3);
    for request in &asked {
        assert_eq!((&request["model"], &request["stream"]), (&json!("m"), &json!(true)));
        assert_eq!(request["messages"], json!([{"role": "user", "content": "hello"}]));
    }
    assert_eq!((&asked[2]["temperature"], &asked[0]["temperature"]), (&json!(0), &Value::Null));
    // The questions are in the report beside the answers of the plugin itself, all of them under the caller's name.
    let report = with_key(&server, "boss").get("/api/v1/usage").await.ok().json();
    let rows = report["data"].as_array().expect("rows").iter();
    let of_up: Vec<&Value> = rows.clone().filter(|row| row["provider"] == "up").collect();
    for (pipeline, replies) in [("through", 2), ("whole", 1)] {
        let row = of_up.iter().find(|row| row["pipeline"] == pipeline).unwrap_or_else(|| panic!("no row of {pipeline}: {report}"));
        assert_eq!((&row["caller"], &row["model"], &row["replies"]), (&json!("app"), &json!("m"), &json!(replies)));
        assert_eq!((&row["prompt_tokens"], &row["completion_tokens"]), (&json!(30 * replies), &json!(4 * replies)));
    }
    assert!(rows.clone().any(|row| row["provider"] == "plugin" && row["model"] == "asker/through" && row["caller"] == "app"), "{report}");
    let metrics = with_key(&server, "boss").get("/metrics").await.text();
    let line = r#"cofferdam_plugin_host_calls_total{plugin="asker",capability="llm",outcome="ok"}"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_plugin_that_asks_stands_in_for_a_provider_that_is_away() {
    let upstream = Upstream::start().await;
    upstream.when(|request| request.path.contains("/down/"), Script::reply(503, &[], "away"));
    upstream.always(Script::streams(&["Good ", "morning"]));
    let server = asker(&upstream.url(), UP, "").start();
    let client = Client::of(server.address);
    assert_eq!(said(&client, "away", "hello").await, "Good morning");
    let events = client.chat_stream("away", "hello", json!({})).await.all().await.expect("a stream");
    assert_eq!(text_of(&events), "Good morning");
}

#[tokio::test]
async fn a_pre_hook_has_a_model_choose_and_no_hook_runs_on_its_question() {
    let upstream = Upstream::start().await;
    upstream.when(|request| request.json()["messages"][0]["role"] == "system", Script::streams(&["cook", "ing"]));
    upstream.always(Script::says("With salt."));
    let server = asker(&upstream.url(), UP, "").start();
    let client = Client::of(server.address);
    assert_eq!(said(&client, "topics", "How are eggs boiled?").await, "With salt.");
    let asked: Vec<Value> = upstream.requests().iter().map(|request| request.json()).collect();
    let models: Vec<&Value> = asked.iter().map(|request| &request["model"]).collect();
    assert_eq!(models, ["m", "for-cooking"], "the question of the hook, then the request itself");
    assert_eq!(
        asked[1]["messages"],
        json!([{"role": "user", "content": "How are eggs boiled?"}]),
        "the question leaves the request as it is"
    );
}

#[tokio::test]
async fn what_is_not_granted_is_denied_with_the_key_that_would_allow_it() {
    let upstream = Upstream::start().await;
    let server = asker(&upstream.url(), UP, "").start();
    let client = Client::of(server.address);
    for (model, why) in [
        ("forbidden", "denied: `grants.llm.targets` does not name this provider"),
        ("itself", "denied: `grants.llm.targets` does not name this provider"),
        ("embed", "denied: `grants.llm.embeddings` does not name this model, or none at all"),
    ] {
        assert_eq!(said(&client, model, "hello").await, why, "{model}");
    }
    for (question, why) in [
        ("faulty question", "invalid: params.model cannot be set by a plugin"),
        ("double question", "invalid: params.seed is there twice"),
        ("unasked question", "invalid: the question has no message"),
    ] {
        assert_eq!(said(&client, "topics", question).await, why, "{question}");
    }
    assert!(upstream.requests().is_empty());
    let refused = Server::with("").plugin("asker").start();
    let plugins = Client::of(refused.address).get("/api/v1/plugins").await.ok().json();
    let reason = plugins["data"][0]["reason"].as_str().expect("a reason");
    let example = "it imports cofferdam:hooks/llm@0.2.0: `llm` must be granted; if the plugin may have it, add \
        `grants.llm = { targets = [\"openai/gpt-4o-mini\"], tokens = 20000 }` to `[plugins.asker]`";
    assert!(reason.contains(example), "{reason}");
}

#[tokio::test]
async fn a_model_that_a_plugin_asks_asks_none_itself() {
    let upstream = Upstream::start().await;
    upstream.always(Script::streams(&["too deep"]));
    let server = asker(&upstream.url(), r#"llm = { targets = ["up/m", "plugin/asker/through"] }"#, "").start();
    let client = Client::of(server.address);
    let denied = "denied: a model that a plugin asks may not ask other models: the chain would have no end";
    assert_eq!(said(&client, "itself", "hello").await, denied);
    assert!(upstream.requests().is_empty());
    // What the model says to a hook is the hook's answer.
    upstream.forget_responders();
    upstream.always(Script::says("never asked by the inner model"));
    assert_eq!(said(&client, "topics", "plugin hello").await, "never asked by the inner model");
    let asked = upstream.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].json()["model"], json!(format!("for-{denied}")));
}

#[tokio::test]
async fn questions_and_tokens_of_a_request_are_budgeted_and_replies_at_once_bounded() {
    let upstream = Upstream::start().await;
    upstream.always(Script::streams(&["hm"]));
    let terms = |terms: &str| format!(r#"llm = {{ targets = ["up/m"], {terms} }}"#);
    let one = asker(&upstream.url(), &terms("calls = 1"), "").start();
    let client = Client::of(one.address);
    let over = "exhausted: 1 questions were asked for this request, and `grants.llm.calls` allows no more";
    assert_eq!(said(&client, "twice", "hello").await, format!("hm{over}"));
    assert_eq!(said(&client, "topics", "twice hello").await, over);
    assert_eq!(said(&client, "whole", "hello").await, "fake said: hm", "each request has a budget of its own");
    // A provider that never ends is hung up on at the last token.
    let endless = (0..500).fold(Script::stream(), |script, _| script.event(&delta("word "))).hang();
    upstream.forget_responders();
    upstream.always(endless);
    let few = asker(&upstream.url(), &terms("tokens = 200"), "").start();
    let answer = said(&Client::of(few.address), "through", "hello").await;
    let over = "exhausted: the questions for this request have used 200 tokens, which `grants.llm.tokens` allows";
    assert!(answer.starts_with("word word") && answer.ends_with(over), "{answer}");
    upstream.hung_up().await;
    let many = asker(&upstream.url(), &terms("calls = 100, tokens = 1000000"), "").start();
    let answer = said(&Client::of(many.address), "hoard", "hello").await;
    assert_eq!(answer, "exhausted: it reads 8 replies already; read one to its end, or stop it");
    for _ in 0..8 {
        upstream.hung_up().await;
    }
}

#[tokio::test]
async fn a_question_is_refused_when_the_budget_of_the_caller_is_used_up() {
    let upstream = Upstream::start().await;
    upstream.always(counted("cooking", 300, 100));
    let keys = File { clients: &["app, limits = { tokens_per_day = 350 }"], url: "http://127.0.0.1:1", more: "" }.text();
    let server = asker(&upstream.url(), UP, &keys).start();
    let client = with_key(&server, "app");
    let answer = said(&client, "topics", "twice hello").await;
    assert!(answer.starts_with("exhausted: ") && answer.contains("`tokens_per_day`"), "{answer}");
    assert_eq!(upstream.requests().len(), 1, "the second question was not sent");
}

#[tokio::test]
async fn the_end_of_the_call_hangs_up_on_whoever_was_asked() {
    let upstream = Upstream::start().await;
    upstream.always(Script::stream().event(&delta("first ")).event(&delta("second ")).hang());
    let server = asker(&upstream.url(), UP, "").start();
    let client = Client::of(server.address);
    assert_eq!(said(&client, "first-word", "hello").await, "first ");
    upstream.hung_up().await;
    // So does a client that leaves.
    let mut stream = client.chat_stream("through", "hello", json!({})).await;
    assert!(stream.next().await.expect("an event").is_some());
    drop(stream);
    upstream.hung_up().await;
}

#[tokio::test]
async fn waiting_for_a_model_is_waiting_and_ends_at_its_limit() {
    let upstream = Upstream::start().await;
    upstream.always(Script::stream().hang());
    let server = asker_within("wait = \"300ms\", time = \"20s\"", &upstream.url(), UP, "").start();
    let client = Client::of(server.address);
    assert_eq!(client.chat("topics", "hello", json!({})).await.refused(502), "plugin_wait_exhausted");
    upstream.hung_up().await;
    assert_eq!(client.chat("through", "hello", json!({})).await.refused(502), "plugin_wait_exhausted");
    upstream.hung_up().await;
}

#[tokio::test]
async fn a_provider_that_fails_is_a_failure_that_the_plugin_can_tell_apart() {
    let upstream = Upstream::start().await;
    let server = asker(&upstream.url(), UP, "").start();
    let client = Client::of(server.address);
    for (script, kind) in [
        (Script::json(400, &json!({"error": {"message": "no such thing"}})), "invalid: provider `up` answered 400: no such thing"),
        (Script::json(503, &json!({"error": {"message": "away"}})), "unavailable: provider `up` answered 503: away"),
        (Script::stream().event(&delta("begun ")).cut(), "begun unavailable: provider `up`"),
    ] {
        upstream.forget_responders();
        upstream.always(script);
        let answer = said(&client, "through", "hello").await;
        assert!(answer.starts_with(kind), "{answer}");
    }
}

#[tokio::test]
async fn a_plugin_has_vectors_of_the_models_that_were_granted_for_them() {
    let upstream = Upstream::start().await;
    let rows = json!([{"object": "embedding", "index": 0, "embedding": [1.0]}, {"object": "embedding", "index": 1, "embedding": [2.0]}]);
    let reply = json!({"object": "list", "data": rows, "model": "v", "usage": {"prompt_tokens": 9, "total_tokens": 9}});
    upstream.always(Script::json(200, &reply));
    let keys = File { clients: &["app"], url: "http://127.0.0.1:1", more: "" }.text();
    let more = format!("{keys}[[embeddings]]\nid = \"small\"\nprovider = \"up\"\nmodel = \"v\"\n");
    let server = asker(&upstream.url(), r#"llm = { embeddings = ["small", "minilm"] }"#, &more).start();
    assert_eq!(said(&with_key(&server, "app"), "embed", "some text").await, "2 vectors of 1");
    let report = with_key(&server, "boss").get("/api/v1/usage").await.ok().json();
    let row = report["data"].as_array().expect("rows").iter().find(|row| row["model"] == "v").expect("a row");
    assert_eq!((&row["caller"], &row["prompt_tokens"]), (&json!("app"), &json!(9)));
    let server = asker("http://127.0.0.1:1", r#"llm = { embeddings = ["minilm"] }"#, "").start();
    assert_eq!(said(&Client::of(server.address), "embed", "some text").await, "2 vectors of 384");
}
