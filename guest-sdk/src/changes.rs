//! What a pre-hook answers: `Changes` as a chain of calls, and the shorter ways to each outcome. Nothing is checked here: the host checks an outcome as a whole.

use crate::{Changes, Edit, FieldChange, Json, Message, MessagesChange, Placed, PreOutcome, Rejection};

impl Changes {
    /// Nothing changes; the start of a chain of calls.
    #[must_use]
    pub fn new() -> Self {
        Self { messages: None, metadata: Vec::new(), target: None, model: None, params: Vec::new() }
    }

    /// The whole conversation anew, in place of all edits before this call. Edits after it work on the new list.
    #[must_use]
    pub fn messages(mut self, messages: Vec<Message>) -> Self {
        self.messages = Some(MessagesChange::All(messages));
        self
    }

    /// Puts `message` in place of the one at `index`. Each edit sees the list as the edits before it left it.
    #[must_use]
    pub fn replace(self, index: u32, message: Message) -> Self {
        self.edit(Edit::Replace(Placed { index, message }))
    }

    /// Puts `message` before the one at `index`; the list's length appends.
    #[must_use]
    pub fn insert(self, index: u32, message: Message) -> Self {
        self.edit(Edit::Insert(Placed { index, message }))
    }

    /// Takes the message at `index` away.
    #[must_use]
    pub fn remove(self, index: u32) -> Self {
        self.edit(Edit::Remove(index))
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

    /// Asks another provider of those that the pipeline names, by its name, in the place of the primary; the fallbacks stay.
    #[must_use]
    pub fn target(mut self, provider: impl Into<String>) -> Self {
        self.target = Some(provider.into());
        self
    }

    /// Asks another model of the provider.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets a field of the request, such as `temperature`.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.params.push(FieldChange { name: name.into(), value: Some(value.into().into()) });
        self
    }

    /// Takes a field of the request away.
    #[must_use]
    pub fn remove_param(mut self, name: impl Into<String>) -> Self {
        self.params.push(FieldChange { name: name.into(), value: None });
        self
    }

    /// # Panics
    /// After [`messages`](Self::messages), if the index is beyond that list.
    fn edit(mut self, edit: Edit) -> Self {
        match (&mut self.messages, edit) {
            (None, edit) => self.messages = Some(MessagesChange::Edits(vec![edit])),
            (Some(MessagesChange::Edits(edits)), edit) => edits.push(edit),
            (Some(MessagesChange::All(list)), Edit::Replace(Placed { index, message })) => list[index as usize] = message,
            (Some(MessagesChange::All(list)), Edit::Insert(Placed { index, message })) => list.insert(index as usize, message),
            (Some(MessagesChange::All(list)), Edit::Remove(index)) => drop(list.remove(index as usize)),
        }
        self
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}

impl PreOutcome {
    /// Go on without any change: the cheapest outcome there is.
    #[must_use]
    pub fn unchanged() -> Self {
        Self::Proceed(Changes::new())
    }
}

impl From<Changes> for PreOutcome {
    fn from(changes: Changes) -> Self {
        Self::Proceed(changes)
    }
}

impl From<Message> for PreOutcome {
    /// Answer with this message; the model is not asked.
    fn from(message: Message) -> Self {
        Self::Respond(message)
    }
}

impl From<Rejection> for PreOutcome {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_kept_in_the_order_of_the_calls() {
        let changes = Changes::new().replace(2, Message::user("a")).insert(0, Message::system("b")).remove(1);
        let edits = vec![
            Edit::Replace(Placed { index: 2, message: Message::user("a") }),
            Edit::Insert(Placed { index: 0, message: Message::system("b") }),
            Edit::Remove(1),
        ];
        assert_eq!(changes.messages, Some(MessagesChange::Edits(edits)));
    }

    #[test]
    fn edits_after_a_whole_new_conversation_work_on_it() {
        let whole = vec![Message::user("a"), Message::user("b")];
        let changes = Changes::new().remove(7).messages(whole).replace(1, Message::user("c")).remove(0).insert(1, Message::system("d"));
        assert_eq!(changes.messages, Some(MessagesChange::All(vec![Message::user("c"), Message::system("d")])));
    }

    #[test]
    fn keys_are_set_and_taken_away() {
        let changes =
            Changes::new().metadata("language", "de").remove_metadata("x").param("temperature", 0.5).remove_param("n").model("small");
        assert_eq!(changes.metadata[0], FieldChange { name: "language".into(), value: Some("\"de\"".into()) });
        assert_eq!(changes.metadata[1], FieldChange { name: "x".into(), value: None });
        assert_eq!(changes.params[0], FieldChange { name: "temperature".into(), value: Some("0.5".into()) });
        assert_eq!(changes.params[1], FieldChange { name: "n".into(), value: None });
        assert_eq!(changes.model.as_deref(), Some("small"));
        assert_eq!(changes.messages, None);
    }

    #[test]
    fn each_outcome_is_one_call_away() {
        assert_eq!(PreOutcome::unchanged(), PreOutcome::from(Changes::new()));
        assert!(matches!(PreOutcome::from(Message::assistant("hi")), PreOutcome::Respond(_)));
        assert!(matches!(PreOutcome::from(Rejection::new(429, "slow", "Slow down.")), PreOutcome::Reject(_)));
    }
}
