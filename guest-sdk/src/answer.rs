//! Writing an answer, in a plugin that is a model. Each call waits while the client is slow, and does not return if it has left.
//!
//! ```
//! use cofferdam_guest::{AnswerError, Message, ModelInfo, HookError, Plugin, Question, Rejection, answer, testing};
//!
//! /// Two models: one repeats the question, word by word, and one counts its words.
//! struct Parrot;
//!
//! impl Plugin for Parrot {
//!     fn models() -> Result<Vec<ModelInfo>, HookError> {
//!         Ok(vec![ModelInfo::new("echo"), ModelInfo::new("count")])
//!     }
//!
//!     fn answer(question: Question) -> Result<(), AnswerError> {
//!         let Some(asked) = question.last_user().map(Message::text) else {
//!             return Err(Rejection::new(400, "nothing_asked", "There is no question.").into());
//!         };
//!         match question.model.as_str() {
//!             "echo" => asked.split_inclusive(' ').for_each(answer::text),
//!             _ => answer::text(&asked.split_whitespace().count().to_string()),
//!         }
//!         answer::finish("stop");
//!         Ok(())
//!     }
//! }
//!
//! cofferdam_guest::export!(Parrot: model);
//!
//! Parrot::answer(testing::question(vec![Message::user("one two")])).unwrap();
//! assert_eq!(testing::written().len(), 2);
//! ```

use crate::{Delta, Piece, Usage};

/// More of the answer's text.
pub fn text(text: &str) {
    piece(Piece::Text(text.to_owned()));
}

/// More of the model's reasoning.
pub fn reasoning(text: &str) {
    piece(Piece::Reasoning(text.to_owned()));
}

/// Why the answer ended: `stop`, `length`, `tool_calls` or `content_filter`. Nothing may follow. Without it the host says `stop`, or `tool_calls`
/// if there were some.
pub fn finish(reason: &str) {
    piece(Piece::Finish(reason.to_owned()));
}

/// Any piece of the first choice.
pub fn piece(piece: Piece) {
    write(vec![Delta { choice: 0, piece }]);
}

/// Any pieces, of any choice; many at once cost the least.
#[cfg(target_family = "wasm")]
pub fn write(deltas: Vec<Delta>) {
    crate::bindings::imports::cofferdam::hooks::reply::write(&deltas);
}

/// Any pieces, of any choice; many at once cost the least.
#[cfg(not(target_family = "wasm"))]
pub fn write(deltas: Vec<Delta>) {
    crate::testing::write(deltas);
}

/// A line for the client to show while it waits, where it can; `done` says that what it speaks of is over.
pub fn status(text: &str, done: bool) {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::imports::cofferdam::hooks::reply::{Status, set_status};
        set_status(&Status { text: text.to_owned(), done });
    }
    #[cfg(not(target_family = "wasm"))]
    crate::log::info(format_args!("status: {text}{}", if done { ", done" } else { "" }));
}

/// What the answer cost; the last one counts. Without it the host guesses from the bytes.
pub fn usage(usage: &Usage) {
    #[cfg(target_family = "wasm")]
    crate::bindings::imports::cofferdam::hooks::reply::set_usage(usage);
    #[cfg(not(target_family = "wasm"))]
    crate::log::info(format_args!("usage: {} and {} tokens", usage.prompt_tokens, usage.completion_tokens));
}
