//! The answer to an exchange: whole or as a stream, parsed only where somebody reads it.
//! Must not know who produced it or how it is framed for a client.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

use super::{Fields, Json, Message};

/// An answer on its way to the client.
pub enum Reply {
    Whole(Whole),
    /// A provider's own server-sent events, forwarded unparsed. Every item ends at an event's end; the last holds `[DONE]`.
    PassThrough(Pieces),
    /// `chat.completion.chunk` objects, one JSON text an item, not yet framed and without `[DONE]`.
    Chunks(Pieces),
}

/// A stream of bytes. An error after the first item is told to the client as an error event, and no `[DONE]` follows.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>> + Send>>;

/// Why a stream ended early.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StreamError {
    /// For the client: says what happened, names no secret.
    pub message: String,
    /// A word for programs, e.g. `upstream_cut`, `upstream_idle`, `deadline`.
    pub code: &'static str,
}

/// An answer in one piece.
pub enum Whole {
    /// The provider's JSON, unread.
    Raw(Bytes),
    Parsed(Completion),
}

/// `chat.completion`, as in OpenAI's API reference.
#[derive(Clone, Debug)]
pub struct Completion {
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
    pub choices: Vec<Choice>,
    pub usage: Option<Json>,
    pub extra: Fields,
}

/// One of the answers that `n` asked for.
#[derive(Clone, Debug)]
pub struct Choice {
    pub index: u32,
    pub message: Message,
    pub finish_reason: Option<String>,
    /// `logprobs` and whatever else the provider said.
    pub extra: Fields,
}
