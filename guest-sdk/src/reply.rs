//! Conveniences on what a post-hook reads and answers. What is not named in an answer stays as it is, so an unchanged choice is
//! never sent back.

use crate::request::find;
use crate::{FieldChange, Json, Message, PostOutcome, Rejection, Replaced, Replacement, Reply};

impl Reply {
    /// Offers every text part of every choice to `change`, which gives `None` for what may stay. The answer names the changed
    /// messages only, and none at all if nothing changed.
    #[must_use]
    pub fn map_text(self, mut change: impl FnMut(&str) -> Option<String>) -> Replacement {
        self.map_messages(|message| message.map_text(&mut change))
    }

    /// Offers every choice's message to `change`, which says whether it changed it.
    #[must_use]
    pub fn map_messages(self, mut change: impl FnMut(&mut Message) -> bool) -> Replacement {
        let choices = self.choices.into_iter();
        let changed = choices.filter_map(|mut choice| change(&mut choice.message).then_some(choice));
        let messages = changed.map(|choice| Replaced { choice: choice.index, message: choice.message }).collect();
        Replacement { messages, metadata: Vec::new() }
    }

    /// The JSON text that hooks before this one left under that key of `metadata`.
    #[must_use]
    pub fn metadata_json(&self, name: &str) -> Option<&str> {
        find(&self.metadata, name)
    }
}

impl Replacement {
    /// Nothing is replaced; the start of a chain of calls.
    #[must_use]
    pub fn new() -> Self {
        Self { messages: Vec::new(), metadata: Vec::new() }
    }

    /// A new message for the choice of that `index`, which is the choice's own and not its position in the list.
    #[must_use]
    pub fn message(mut self, index: u32, message: Message) -> Self {
        self.messages.push(Replaced { choice: index, message });
        self
    }

    /// Sets a key of `metadata`.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.metadata.push(FieldChange { name: name.into(), value: Some(value.into().into()) });
        self
    }

    /// Takes a key of `metadata` away.
    #[must_use]
    pub fn remove_metadata(mut self, name: impl Into<String>) -> Self {
        self.metadata.push(FieldChange { name: name.into(), value: None });
        self
    }
}

impl Default for Replacement {
    fn default() -> Self {
        Self::new()
    }
}

impl PostOutcome {
    /// The reply stays as it is: the cheapest outcome there is.
    #[must_use]
    pub fn keep() -> Self {
        Self::Keep(Vec::new())
    }
}

impl From<Replacement> for PostOutcome {
    /// A replacement of nothing is `keep`.
    fn from(replacement: Replacement) -> Self {
        if replacement.messages.is_empty() { Self::Keep(replacement.metadata) } else { Self::Replace(replacement) }
    }
}

impl From<Rejection> for PostOutcome {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Choice, testing};

    fn two_choices() -> Reply {
        let mut reply = testing::reply("quiet");
        reply.choices.push(Choice { index: 1, message: Message::assistant("LOUD"), finish_reason: None });
        reply
    }

    #[test]
    fn only_changed_choices_are_named() {
        let replacement = two_choices().map_text(|text| (text == "LOUD").then(|| "loud".to_owned()));
        assert_eq!(replacement.messages, [Replaced { choice: 1, message: Message::assistant("loud") }]);
    }

    #[test]
    fn a_replacement_of_nothing_keeps_the_reply() {
        assert_eq!(PostOutcome::from(two_choices().map_text(|_| None)), PostOutcome::keep());
        let outcome = PostOutcome::from(Replacement::new().metadata("seen", true));
        assert!(matches!(outcome, PostOutcome::Keep(changes) if changes.len() == 1));
    }

    #[test]
    fn a_replacement_collects_messages_and_metadata() {
        let replacement = Replacement::new().message(0, Message::assistant("new")).metadata("a", 1).remove_metadata("b");
        assert_eq!(replacement.metadata[0].value.as_deref(), Some("1"));
        assert_eq!(replacement.metadata[1].value, None);
        assert!(matches!(PostOutcome::from(replacement), PostOutcome::Replace(_)));
    }
}
