//! Searching the operator's documents, within what was granted: `knowledge = { namespaces = ["default"] }` under `[plugins.NAME.grants]`.
//!
//! ```
//! use cofferdam_guest::{Changes, HookError, Message, Plugin, PreOutcome, Request, knowledge, testing};
//!
//! /// Gives the model what the documents say about the question.
//! struct Look;
//!
//! impl Plugin for Look {
//!     fn on_request(request: Request) -> Result<PreOutcome, HookError> {
//!         let Some((at, asked)) = request.last_user() else { return Ok(Changes::new().into()) };
//!         let found = knowledge::search("default", &asked.text(), 3)?;
//!         let texts: Vec<&str> = found.iter().map(|passage| passage.text.as_str()).collect();
//!         Ok(Changes::new().insert(at, Message::system(texts.join("\n"))).into())
//!     }
//! }
//!
//! cofferdam_guest::export!(Look: pre_hook);
//!
//! testing::set_knowledge(|query| vec![knowledge::Passage::of(&format!("about {}", query.text))]);
//! Look::on_request(testing::request(vec![Message::user("pumps")])).unwrap();
//! ```

use crate::bindings::imports::cofferdam::hooks::knowledge as wire;

pub use crate::bindings::imports::cofferdam::hooks::knowledge::{Passage, Query};
pub use crate::bindings::imports::cofferdam::hooks::shapes::Failure;

/// The passages of a namespace that are most like the text, at most `limit` of them, the best first.
///
/// # Errors
/// Why nothing was searched; `?` makes it an error of the hook.
pub fn search(namespace: &str, text: &str, limit: u32) -> Result<Vec<Passage>, Failure> {
    find(&Query { namespace: namespace.to_owned(), text: text.to_owned(), limit, min_score: None })
}

/// The same with all that a query may say.
///
/// # Errors
/// As `search`.
pub fn find(query: &Query) -> Result<Vec<Passage>, Failure> {
    source::search(query)
}

#[cfg(target_family = "wasm")]
use wire as source;

/// What a test says that documents hold.
#[cfg(not(target_family = "wasm"))]
mod source {
    use super::{Failure, Passage, wire};

    #[expect(clippy::unnecessary_wraps, reason = "as the import has it")]
    pub(super) fn search(query: &wire::Query) -> Result<Vec<Passage>, Failure> {
        Ok(crate::testing::passages(query))
    }
}

#[cfg(not(target_family = "wasm"))]
impl Passage {
    /// A passage for a test to find.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self { text: text.to_owned(), score: 1.0, document: "test.txt".to_owned(), title: None, metadata: Vec::new() }
    }
}
