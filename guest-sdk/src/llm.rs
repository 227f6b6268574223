//! Asking other models, within what the operator granted: `llm = { targets = ["openai/gpt-4o-mini"] }` under `[plugins.NAME.grants]`.
//!
//! ```
//! use cofferdam_guest::{AnswerError, Message, Plugin, Question, answer, llm, testing};
//!
//! /// A model that has another one answer and writes on as it comes.
//! struct Through;
//!
//! impl Plugin for Through {
//!     fn answer(question: Question) -> Result<(), AnswerError> {
//!         let mut reply = llm::ask(question.messages).model("gpt-4o-mini").param("temperature", 0).stream()?;
//!         while let Some(deltas) = reply.next()? {
//!             answer::write(deltas);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! cofferdam_guest::export!(Through: model);
//!
//! testing::set_llm(|question| {
//!     assert_eq!(question.asked_model(), Some("gpt-4o-mini"));
//!     Ok(llm::Answer::of("hello"))
//! });
//! Through::answer(testing::question(vec![Message::user("hi")])).unwrap();
//! assert_eq!(testing::written().len(), 2);
//! ```
//!
//! The caller of the request pays, and no hook runs on such a question. Waiting for a model uses up `limits.wait` of the plugin, which is 5 s if the
//! operator does not raise it.

use crate::bindings::imports::cofferdam::hooks::llm as wire;
use crate::{Delta, Field, Json, Message};

pub use crate::bindings::imports::cofferdam::hooks::llm::Answer;
pub use crate::bindings::imports::cofferdam::hooks::shapes::Failure;

/// A question on its way to be asked.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a question does nothing until it is asked"]
pub struct Question(wire::Question);

/// A reply that is read as it comes. Dropping it hangs up.
#[derive(Debug)]
pub struct Reply {
    /// None when it is over.
    number: Option<u32>,
}

/// A question of these messages, to the first model that was granted.
pub fn ask(messages: impl IntoIterator<Item = Message>) -> Question {
    Question(wire::Question { target: None, model: None, messages: messages.into_iter().collect(), params: Vec::new() })
}

/// One vector for each text, in order, by the first model that was granted in `embeddings`.
///
/// # Errors
/// Why there are none.
pub fn embed(texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
    source::embed(None, texts)
}

impl Question {
    /// Asks that provider of the operator's list.
    pub fn target(mut self, provider: impl Into<String>) -> Self {
        self.0.target = Some(provider.into());
        self
    }

    /// Asks that model.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.0.model = Some(model.into());
        self
    }

    /// Sets a field of the request, such as `temperature`.
    pub fn param(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.0.params.push(Field { name: name.into(), value: value.into().into() });
        self
    }

    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// Why there is none; `?` makes it an error of the hook.
    pub fn complete(self) -> Result<Answer, Failure> {
        source::complete(&self.0)
    }

    /// Asks, and reads the answer as it comes.
    ///
    /// # Errors
    /// Why there is none; `?` makes it an error of the hook.
    pub fn stream(self) -> Result<Reply, Failure> {
        Ok(Reply { number: Some(source::stream(&self.0)?) })
    }
}

impl Reply {
    /// All that has come since the last time; none when the reply is over.
    ///
    /// # Errors
    /// The reply broke off, or a budget is used up; it is over then.
    #[expect(clippy::should_implement_trait, reason = "an iterator's `next` has no error that `?` takes")]
    pub fn next(&mut self) -> Result<Option<Vec<Delta>>, Failure> {
        let Some(number) = self.number.take() else { return Ok(None) };
        let deltas = source::next(number)?;
        if deltas.is_empty() {
            return Ok(None);
        }
        self.number = Some(number);
        Ok(Some(deltas))
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            source::stop(number);
        }
    }
}

impl Answer {
    /// The text of the message.
    #[must_use]
    pub fn text(&self) -> String {
        self.message.text()
    }
}

#[cfg(target_family = "wasm")]
use wire as source;

/// What a test says that models answer.
#[cfg(not(target_family = "wasm"))]
mod source {
    use super::{Answer, Delta, Failure, Question, wire};
    use crate::testing;

    pub(super) fn complete(question: &wire::Question) -> Result<Answer, Failure> {
        testing::answer_llm(&Question(question.clone()))
    }

    pub(super) fn stream(question: &wire::Question) -> Result<u32, Failure> {
        Ok(testing::open_reply(complete(question)?))
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the import has it")]
    pub(super) fn next(number: u32) -> Result<Vec<Delta>, Failure> {
        Ok(testing::next_of_reply(number))
    }

    pub(super) fn stop(number: u32) {
        testing::next_of_reply(number);
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the import has it")]
    pub(super) fn embed(_: Option<&str>, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
        Ok(texts.iter().map(|text| vec![text.len() as f32]).collect())
    }
}

#[cfg(not(target_family = "wasm"))]
impl Question {
    /// The provider that the plugin named.
    #[must_use]
    pub fn asked_target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// The model that the plugin named.
    #[must_use]
    pub fn asked_model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.0.messages
    }
}

#[cfg(not(target_family = "wasm"))]
impl Answer {
    /// An answer for a test to give.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self { message: Message::assistant(text), finish_reason: Some("stop".to_owned()), model: "test-model".to_owned(), usage: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn an_answer_comes_whole_or_in_pieces_and_then_ends() {
        testing::set_llm(|question| {
            assert_eq!((question.asked_target(), question.messages().len()), (Some("openai"), 1));
            Ok(Answer::of("hello"))
        });
        let question = || ask([Message::user("hi")]).target("openai");
        assert_eq!(question().complete().unwrap().text(), "hello");
        let mut reply = question().stream().unwrap();
        assert!(reply.next().unwrap().is_some_and(|deltas| deltas.len() == 2));
        assert_eq!((reply.next(), reply.next()), (Ok(None), Ok(None)));
        drop(question().stream().unwrap());
    }

    #[test]
    fn a_failure_is_an_error_of_the_hook() {
        testing::set_llm(|_| Err(Failure::Denied("`grants.llm.targets`".into())));
        let fails = || -> Result<String, crate::HookError> { Ok(ask([Message::user("hi")]).complete()?.text()) };
        assert!(fails().is_err());
        assert!(ask([Message::user("hi")]).stream().is_err());
    }
}
