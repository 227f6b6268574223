//! Every provider, played by an independent simulator behind the real server: what the simulator receives, and what the client does.
//! Each test runs for every row of `tests/support/providers.rs`. What the simulator does not imitate is in the adapters' own tests.

mod failures;
mod replies;
mod tools;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::client::{Answer, Client, Streaming};
use crate::packages::{NO_NODE, skipped};
use crate::providers::{self, ROWS, Row};
use crate::simulator::{Asked, KEY, Simulator};

/// One provider's turn in a test.
struct Turn<'a> {
    row: &'static Row,
    client: &'a Client,
    simulator: &'a Simulator,
    /// How many requests came before it.
    before: usize,
}

/// Runs one test with every provider, one after the other, and fails with the names of all that failed.
async fn each(promise: &str, keep: impl AsyncFn(&Turn<'_>)) {
    let Some((simulator, server)) = providers::start() else { return skipped(&format!("simulated providers: {promise}"), NO_NODE) };
    let client = Client::of(server.address);
    let mut broken = Vec::new();
    for row in ROWS {
        let turn = Turn { row, client: &client, simulator: &simulator, before: simulator.requests().len() };
        if AssertUnwindSafe(keep(&turn)).catch_unwind().await.is_err() {
            broken.push(row.name);
        }
    }
    assert!(broken.is_empty(), "{promise}: not so for {broken:?}; the reasons stand above");
    assert!(!server.log().contains(KEY), "no key is ever logged");
}

impl Turn<'_> {
    async fn chat(&self, extra: Value) -> Answer {
        self.client.chat(self.row.name, "", extra).await
    }

    async fn stream(&self, extra: Value) -> Streaming {
        self.client.chat_stream(self.row.name, "", extra).await
    }

    /// The requests that the simulator received since the turn began.
    fn asked(&self) -> Vec<Asked> {
        self.simulator.requests().split_off(self.before)
    }

    /// Checks that the request is in the provider's own form: method, path, headers with that key, model.
    #[track_caller]
    fn is_ours(&self, asked: &Asked, path: &str, key: &str) {
        assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", path), "{asked:?}");
        for (name, value) in self.row.headers_with(key) {
            assert_eq!(asked.header(name), Some(value.as_str()), "{name} of {asked:?}");
        }
        assert!(asked.header("content-type").is_some_and(|value| value.starts_with("application/json")), "{asked:?}");
        assert!(!asked.path.contains(key), "a key in a URL ends up in logs: {asked:?}");
    }

    /// The one request of the turn, asked whole or as a stream, as the simulator understood it.
    #[track_caller]
    fn understood(&self, stream: bool) -> Value {
        let asked = self.asked();
        let [asked] = asked.as_slice() else { panic!("one request, not {asked:?}") };
        self.is_ours(asked, if stream { self.row.stream_path } else { self.row.path }, KEY);
        assert_eq!(asked.understood["model"], self.row.model, "{asked:?}");
        assert_eq!(asked.understood["stream"].as_bool().unwrap_or(false), stream, "{asked:?}");
        asked.understood.clone()
    }
}

/// The answer to that question in `tests/simulator/fixtures.json`.
fn fixture(question: &str) -> Value {
    let fixtures: Value = serde_json::from_str(include_str!("../simulator/fixtures.json")).expect("JSON");
    let mut fixtures = fixtures["fixtures"].as_array().expect("a list").iter();
    fixtures.find(|fixture| fixture["match"]["userMessage"] == question).expect("a question of the fixtures")["response"].clone()
}

/// A body with that question as its only message, and these fields.
fn asking(question: &str, fields: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": question}]});
    let (Value::Object(object), Value::Object(fields)) = (&mut body, fields) else { panic!("an object of fields") };
    object.extend(fields);
    body
}

/// The chunks of a stream without its `[DONE]`.
#[track_caller]
fn chunks(events: &[String]) -> Vec<Value> {
    let (done, chunks) = events.split_last().expect("events");
    assert_eq!(done, "[DONE]", "{events:?}");
    chunks.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect()
}
