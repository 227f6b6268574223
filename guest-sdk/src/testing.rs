//! Calling hooks from `cargo test`, without a host: requests and replies to call them with, and the configuration that they see.
//! Exists on native targets only. It imitates no more of the host than this; to try a component, use `cofferdam` itself.

pub(crate) mod kv;
mod models;

use std::cell::RefCell;

use crate::http;
use crate::{Choice, Context, Delta, Exchange, Message, Opening, Piece, Question, Reply, Request, Timing};

pub use kv::{as_caller, pass_seconds};
pub(crate) use models::{answer_llm, next_of_reply, open_reply, passages};
pub use models::{set_knowledge, set_llm};

/// What stands for all servers.
type Server = Box<dyn Fn(&http::Request) -> Result<http::Response, http::Failure>>;

thread_local! {
    static CONFIG: RefCell<String> = RefCell::new("{}".to_owned());
    static WRITTEN: RefCell<Vec<Delta>> = const { RefCell::new(Vec::new()) };
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// Lets `server` answer the requests of hooks called from this thread. Secrets are not filled in.
pub fn set_http(server: impl Fn(&http::Request) -> Result<http::Response, http::Failure> + 'static) {
    SERVER.replace(Some(Box::new(server)));
}

pub(crate) fn answer_http(request: &http::Request) -> Result<http::Response, http::Failure> {
    let nobody = || Err(http::Failure::Unavailable("the test has set no server".to_owned()));
    SERVER.with_borrow(|server| server.as_ref().map_or_else(nobody, |server| server(request)))
}

/// Makes `json`, the text of an object, the configuration that hooks called from this thread see.
pub fn set_config(json: impl Into<String>) {
    CONFIG.replace(json.into());
}

/// A request as a client without any special wishes makes it.
#[must_use]
pub fn request(messages: Vec<Message>) -> Request {
    Request { context: of_attempt(0), model: "test-model".to_owned(), messages, params: Vec::new(), metadata: Vec::new() }
}

/// A reply with one choice.
#[must_use]
pub fn reply(text: &str) -> Reply {
    let choice = Choice { index: 0, message: Message::assistant(text), finish_reason: Some("stop".to_owned()) };
    Reply { context: of_attempt(1), model: "test-model".to_owned(), choices: vec![choice], usage: None, metadata: Vec::new() }
}

/// What a stream hook is opened with.
#[must_use]
pub fn opening() -> Opening {
    Opening { context: Context { streamed: true, ..of_attempt(1) }, model: "test-model".to_owned(), metadata: Vec::new() }
}

/// Pieces of the text of the first choice.
#[must_use]
pub fn deltas(texts: &[&str]) -> Vec<Delta> {
    texts.iter().map(|text| Delta { choice: 0, piece: Piece::Text((*text).to_owned()) }).collect()
}

/// The text of the first choice.
#[must_use]
pub fn text_of(deltas: &[Delta]) -> String {
    let text = |delta: &Delta| match &delta.piece {
        Piece::Text(text) if delta.choice == 0 => Some(text.clone()),
        _ => None,
    };
    deltas.iter().filter_map(text).collect()
}

/// A question to a plugin that is one model.
#[must_use]
pub fn question(messages: Vec<Message>) -> Question {
    Question { context: of_attempt(1), model: String::new(), messages, params: Vec::new(), metadata: Vec::new() }
}

/// What models that were called from this thread have written since this was asked last.
#[must_use]
pub fn written() -> Vec<Delta> {
    WRITTEN.take()
}

pub(crate) fn write(deltas: Vec<Delta>) {
    WRITTEN.with_borrow_mut(|written| written.extend(deltas));
}

/// An exchange that went well, with one reply.
#[must_use]
pub fn exchange(request: Vec<Message>, reply: &str) -> Exchange {
    Exchange {
        context: of_attempt(1),
        request,
        replies: vec![Message::assistant(reply)],
        target: Some("test-provider".to_owned()),
        model: "test-model".to_owned(),
        usage: None,
        status: 200,
        error: None,
        timing: Timing { first_byte_ms: 10, total_ms: 20, started_at_ms: 0.0 },
        metadata: Vec::new(),
    }
}

/// What a plugin is told of a request that it computes vectors for.
#[must_use]
pub fn context() -> Context {
    of_attempt(1)
}

fn of_attempt(attempt: u32) -> Context {
    let (request_id, pipeline) = ("test-request".to_owned(), "test".to_owned());
    Context { request_id, pipeline, caller: None, streamed: false, attempt, deadline_ms: 60_000 }
}

pub(crate) fn all() -> String {
    CONFIG.with_borrow(Clone::clone)
}

/// # Panics
/// Without the feature `serde`, because nothing then can parse the configuration; or if it is no object.
pub(crate) fn get(key: &str) -> Option<String> {
    #[cfg(feature = "serde")]
    {
        let config: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&all()).expect("the test set a JSON object");
        config.get(key).map(ToString::to_string)
    }
    #[cfg(not(feature = "serde"))]
    panic!("`config::get({key:?})` outside of a host needs the feature `serde`")
}
