//! Providers that fail: who takes over, which error the client gets, how a broken stream ends.

use serde_json::{Value, json};

use super::{asking, each, fixture};
use crate::client::text_of;
use crate::providers::{BACKUP, WRONG_KEY};
use crate::simulator::KEY;

const RATE_LIMITED: &str = "Too often!";
const UNAVAILABLE: &str = "Too early!";
const CUT: &str = "Break off.";

#[tokio::test]
async fn a_429_that_nobody_takes_over_arrives_with_its_retry_after() {
    each("a 429 that nobody takes over arrives with its retry-after", async |turn| {
        let answer = turn.chat(asking(RATE_LIMITED, json!({}))).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("7")), "{answer:?}");
        assert!(answer.text().contains("Slow down."), "in the provider's words: {answer:?}");
        turn.is_ours(&turn.asked()[0], turn.row.path, KEY);
    })
    .await;
}

#[tokio::test]
async fn a_503_that_nobody_takes_over_arrives_as_one() {
    each("a 503 that nobody takes over arrives as one", async |turn| {
        let answer = turn.chat(asking(UNAVAILABLE, json!({}))).await;
        assert_eq!(answer.refused(503), "provider_failed");
        turn.is_ours(&turn.asked()[0], turn.row.path, KEY);
    })
    .await;
}

/// Checks that every provider fails at that question and the backup answers.
async fn the_backup_answers(promise: &str, question: &str, stream: bool) {
    each(promise, async |turn| {
        let (model, body) = (turn.row.with_backup(), asking(question, json!({})));
        let (text, headers) = if stream {
            let streaming = turn.client.chat_stream(&model, "", body).await;
            let headers = streaming.headers.clone();
            (text_of(&streaming.all().await.expect("a whole stream")), headers)
        } else {
            let answer = turn.client.chat(&model, "", body).await.ok();
            (answer.content(), answer.headers)
        };
        assert_eq!(text, "The backup is here.");
        assert_eq!((&headers["x-cofferdam-provider"], headers.get("retry-after")), (&BACKUP.parse().expect("a value"), None));
        let asked = turn.asked();
        let Some((last, [first, ..])) = asked.split_last() else { panic!("two requests at least, not {asked:?}") };
        turn.is_ours(first, if stream { turn.row.stream_path } else { turn.row.path }, KEY);
        assert_eq!((last.path.as_str(), &last.body["model"]), ("/v1/chat/completions", &json!(BACKUP)), "{asked:?}");
        assert_eq!(last.body["messages"], json!([{"role": "user", "content": question}]), "{asked:?}");
    })
    .await;
}

#[tokio::test]
async fn after_a_429_the_backup_answers() {
    the_backup_answers("after a 429 the backup answers", RATE_LIMITED, false).await;
}

#[tokio::test]
async fn after_a_429_the_backup_streams() {
    the_backup_answers("after a 429 the backup streams", RATE_LIMITED, true).await;
}

#[tokio::test]
async fn after_a_503_the_backup_answers() {
    the_backup_answers("after a 503 the backup answers", UNAVAILABLE, false).await;
}

#[tokio::test]
async fn after_a_503_the_backup_streams() {
    the_backup_answers("after a 503 the backup streams", UNAVAILABLE, true).await;
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_in_an_error_event_and_is_not_begun_anew() {
    each("a stream that is cut ends in an error event and is not begun anew", async |turn| {
        let stream = turn.client.chat_stream(&turn.row.with_backup(), "", asking(CUT, json!({}))).await;
        assert_eq!(stream.status, 200);
        let events = stream.all().await.expect("the connection ends as HTTP says");
        let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).expect("JSON, so no [DONE]")).collect();
        let (error, chunks) = events.split_last().expect("events");
        assert_eq!(error["error"]["code"], "upstream_cut", "{events:?}");
        let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        let whole = fixture(CUT)["content"].clone();
        assert!(!text.is_empty() && whole.as_str().is_some_and(|whole| whole.starts_with(&text) && whole != text), "{events:?}");
        assert!(chunks.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()), "it does not pretend to be whole: {events:?}");
        turn.understood(true);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_key_is_not_the_clients_and_is_never_shown() {
    each("a wrong key is not the client's and is never shown", async |turn| {
        let answer = turn.client.chat(&turn.row.with_wrong_key(), "", asking("Greet me.", json!({}))).await;
        assert_eq!((answer.refused(502).as_str(), answer.header("x-should-retry")), ("provider_auth", Some("false")));
        assert!(!answer.text().contains(WRONG_KEY), "{answer:?}");
        turn.is_ours(&turn.asked()[0], turn.row.path, WRONG_KEY);
    })
    .await;
}
