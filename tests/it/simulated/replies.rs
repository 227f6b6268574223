//! Text, whole and streamed; JSON to a schema.

use serde_json::{Value, json};

use super::{asking, chunks, each, fixture};
use crate::client::text_of;

const GREETING: &str = "Greet me.";

#[tokio::test]
async fn a_whole_reply_arrives() {
    each("a whole reply arrives", async |turn| {
        let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": GREETING}]);
        let answer = turn.chat(json!({"messages": messages})).await.ok();
        assert_eq!(answer.content(), fixture(GREETING)["content"]);
        assert_eq!(
            (answer.header("x-cofferdam-provider"), answer.header("x-cofferdam-model")),
            (Some(turn.row.name), Some(turn.row.model))
        );
        let json = answer.json();
        assert_eq!((&json["object"], &json["choices"][0]["finish_reason"]), (&json!("chat.completion"), &json!("stop")), "{json}");
        let usage = ["prompt_tokens", "completion_tokens", "total_tokens"].map(|field| json["usage"][field].as_u64());
        assert_eq!(usage, [Some(11), Some(7), Some(18)], "{json}");
        assert_eq!(turn.understood(false)["messages"], messages);
    })
    .await;
}

#[tokio::test]
async fn a_streamed_reply_arrives() {
    each("a streamed reply arrives", async |turn| {
        let events = turn.stream(asking(GREETING, json!({}))).await.all().await.expect("a whole stream");
        assert_eq!(text_of(&events), fixture(GREETING)["content"]);
        let chunks = chunks(&events);
        let texts = chunks.iter().filter(|chunk| chunk["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty()));
        assert!(texts.count() > 1, "it comes in pieces: {events:?}");
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant", "{events:?}");
        assert!(
            chunks.iter().all(|chunk| chunk["choices"][0].is_object() && chunk["usage"].is_null()),
            "nobody asked for usage: {events:?}"
        );
        let reasons: Vec<&Value> =
            chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).filter(|reason| !reason.is_null()).collect();
        assert_eq!(reasons, [&json!("stop")], "{events:?}");
        assert_eq!(turn.understood(true)["messages"], json!([{"role": "user", "content": GREETING}]));
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_in_its_usage_where_that_was_asked_for() {
    each("a stream ends in its usage where that was asked for", async |turn| {
        let body = asking(GREETING, json!({"stream_options": {"include_usage": true}}));
        let events = turn.stream(body).await.all().await.expect("a whole stream");
        let chunks = chunks(&events);
        let (last, deltas) = chunks.split_last().expect("chunks");
        assert_eq!(last["choices"], json!([]), "{events:?}");
        let usage = ["prompt_tokens", "completion_tokens", "total_tokens"].map(|field| last["usage"][field].as_u64());
        assert_eq!(usage, [Some(11), Some(7), Some(18)], "{events:?}");
        assert!(deltas.iter().all(|chunk| chunk["usage"].is_null()), "{events:?}");
        turn.understood(true);
    })
    .await;
}

#[tokio::test]
async fn a_schema_reaches_the_provider_and_its_json_comes_back_as_content() {
    each("a schema reaches the provider and its JSON comes back as content", async |turn| {
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}, "born": {"type": "integer"}},
            "required": ["name", "born"], "additionalProperties": false});
        let format = json!({"type": "json_schema", "json_schema": {"name": "person", "strict": true, "schema": schema}});
        let answer = turn.chat(asking("Who was Ada?", json!({"response_format": format}))).await.ok();
        assert_eq!(answer.content(), fixture("Who was Ada?")["content"]);
        assert_eq!(answer.json()["choices"][0]["finish_reason"], "stop");
        turn.understood(false);
        assert!(turn.asked()[0].body.to_string().contains(r#""born":{"#), "{:?}", turn.asked());
    })
    .await;
}
