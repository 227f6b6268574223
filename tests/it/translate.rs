//! The plugin `translate` through the real server: a user writes German, the model is asked in English and answers so, and the user reads German.

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::server::{Builder, Server};
use crate::upstream::{Request, Script, Upstream, delta, finish};

const QUESTION: &str = "Wann öffnet das Tor?";

fn server(upstream: &Upstream, grant: &str) -> Builder {
    let stage = |kind: &str| format!("{{ stage = \"{kind}\", config = {{ function_id = \"translate\" }} }}");
    let (before, after) = (stage("pre_hook"), stage("post_hook"));
    Server::with(&format!(
        r#"
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [limits.plugins]
        starve_time = "60s"
        [plugins.translate]
        config = {{ languages = ["German"], batch = 1 }}
        grants = {{ llm = {{ targets = ["up/t"], {grant} }} }}
        limits = {{ wait = "60s", time = "20s" }}
        [[pipelines]]
        id = "p"
        pipeline = [ {before}, {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }}, {after} ]
        "#,
        upstream.url()
    ))
    .plugin("translate")
}

/// The model `t` translates by a table, and `m` answers the one question that it knows.
fn answers(request: &Request) -> Script {
    let body = request.json();
    let text = |message: &Value| message["content"].as_str().unwrap_or_default().to_owned();
    let asked = text(&body["messages"].as_array().and_then(|messages| messages.last().cloned()).unwrap_or_default());
    let said = match (body["model"].as_str(), asked.as_str()) {
        (Some("t"), QUESTION) => "German\nWhen does the gate open?",
        (Some("t"), "It opens at six.") => "Es öffnet um sechs.",
        (Some("t"), "Come early.") => "Kommen Sie früh.",
        (Some("t"), "It opens at six. Come early.") => "Es öffnet um sechs. Kommen Sie früh.",
        (Some("t"), "Hello") => "English\nHello",
        (Some("m"), "When does the gate open?") => "It opens at six. Come early.",
        (Some("m"), "Hello") => "Hello to you.",
        other => panic!("nobody asks {other:?}"),
    };
    match body["stream"] == true {
        false => Script::says(said),
        true => {
            let pieces = said.split_inclusive(' ').fold(Script::stream(), |script, word| script.event(&delta(word)));
            pieces.event(&finish()).event("[DONE]").end()
        }
    }
}

#[tokio::test]
async fn a_user_reads_and_writes_another_language_than_the_model() {
    let upstream = Upstream::start().await;
    upstream.answer_with(answers);
    let server = server(&upstream, "calls = 20").start();
    let client = Client::of(server.address);
    let whole = client.chat("p", QUESTION, json!({})).await.ok();
    assert_eq!(whole.content(), "Es öffnet um sechs. Kommen Sie früh.");
    let events = client.chat_stream("p", QUESTION, json!({})).await.all().await.expect("a stream");
    assert_eq!(text_of(&events), "Es öffnet um sechs. Kommen Sie früh.");
    // Who writes the model's own language is asked about once, and gets the model's own words.
    upstream.forget_responders();
    upstream.answer_with(answers);
    let before = upstream.requests().len();
    assert_eq!(client.chat("p", "Hello", json!({})).await.ok().content(), "Hello to you.");
    assert_eq!(upstream.requests().len() - before, 2);
}

#[tokio::test]
async fn a_translation_that_the_grant_does_not_pay_for_fails_closed() {
    let upstream = Upstream::start().await;
    upstream.answer_with(answers);
    let server = server(&upstream, "calls = 1").start();
    let client = Client::of(server.address);
    let refused = client.chat("p", QUESTION, json!({})).await;
    assert_eq!(refused.refused(502), "plugin_reported_error");
    let models: Vec<Value> = upstream.requests().iter().map(|request| request.json()["model"].clone()).collect();
    assert_eq!(models, ["t", "m"], "the reply is not translated, and nobody sees it");
}
