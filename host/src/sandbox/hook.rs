//! The hooks of the contract, each with the one word that metrics, logs, messages and pipelines use for it.
//! A new hook is a new variant here; what the word is must never change.

use std::fmt;

/// A function that a plugin exports and the host calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `on-request` of `pre-hook`: before the model.
    Pre,
    /// `on-reply` of `post-hook`: on the whole reply.
    Post,
    /// `open`, `push` and `close` of `stream-hook`: along a streamed reply.
    Stream,
    /// `answer` of `model`: in place of a provider.
    Answer,
    /// `models` of `model`: when the file is admitted, and now and then later.
    Models,
    /// `embed` of `embedder`: texts to vectors.
    Embed,
    /// `on-done` of `done-hook`: after the client has everything.
    Done,
    /// `describe` of `plugin`: once, while the file is admitted.
    Describe,
}

impl Hook {
    /// `pre_hook`, `post_hook`, `stream_hook`, `model`, `models`, `embed`, `done_hook` or `describe`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pre => "pre_hook",
            Self::Post => "post_hook",
            Self::Stream => "stream_hook",
            Self::Answer => "model",
            Self::Models => "models",
            Self::Embed => "embed",
            Self::Done => "done_hook",
            Self::Describe => "describe",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
