//! A reply in one piece, parsed. What is not modelled here is kept as its JSON, so that nothing is lost on the way to the client.

use super::{Fields, Json, Message};

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
    /// `logprobs` and all other fields of the choice.
    pub extra: Fields,
}

impl Choice {
    /// Puts another message in the place of the model's.
    pub fn replace(&mut self, message: Message) {
        self.message = message;
        // They spell out the text that was just replaced.
        self.extra.retain(|(name, _)| name != "logprobs");
    }
}
