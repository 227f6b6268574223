//! What a client asks of the chat endpoint, as far as it is modelled; every other field is kept as it came.

use crate::chat::{Fields, Json, Message};

/// The body of `POST /v1/chat/completions`.
#[derive(Debug)]
pub struct ChatRequest {
    /// The API id of a pipeline.
    pub model: String,
    pub messages: Vec<Message>,
    pub stream: bool,
    /// Our own field `pipeline`: stage toggles, not sent on.
    pub toggles: Option<Json>,
    /// Every other field, in the order it came.
    pub params: Fields,
}
