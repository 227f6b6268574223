//! Conveniences on messages: making them, reading and changing their text. Parts that are no text (images, files) are never touched.
//! What it does not read stays as it came, other parts and unknown fields included.

use crate::{Message, Part, TextPart};

impl Message {
    /// A message with one text part, or with none if `text` is empty.
    #[must_use]
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let content = if text.is_empty() { Vec::new() } else { vec![Part::from(text)] };
        Self { role: role.into(), content, tool_calls: Vec::new(), tool_call_id: None, name: None, extra: Vec::new() }
    }

    #[must_use]
    pub fn system(text: impl Into<String>) -> Self {
        Self::new("system", text)
    }

    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self::new("user", text)
    }

    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new("assistant", text)
    }

    /// All text parts, joined without anything between them; empty if there are none.
    #[must_use]
    pub fn text(&self) -> String {
        self.texts().map(|part| part.text.as_str()).collect()
    }

    /// The text parts in order.
    pub fn texts(&self) -> impl Iterator<Item = &TextPart> {
        self.content.iter().filter_map(|part| match part {
            Part::Text(part) => Some(part),
            Part::Other(_) => None,
        })
    }

    /// Replaces all text with `text`. It takes the position of the first text part and keeps that part's extra fields; other parts stay
    /// where they are.
    pub fn set_text(&mut self, text: impl Into<String>) {
        let mut text = Some(text.into());
        self.content.retain_mut(|part| match part {
            Part::Text(part) => text.take().map(|text| part.text = text).is_some(),
            Part::Other(_) => true,
        });
        if let Some(text) = text {
            self.content.push(text.into());
        }
    }

    /// Offers each text part to `change` and takes what it gives; `None` leaves the part as it is. Says whether anything changed.
    pub fn map_text(&mut self, mut change: impl FnMut(&str) -> Option<String>) -> bool {
        let mut changed = false;
        for part in &mut self.content {
            if let Part::Text(part) = part
                && let Some(text) = change(&part.text)
            {
                part.text = text;
                changed = true;
            }
        }
        changed
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::Text(TextPart { text, extra: Vec::new() })
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Field;

    fn mixed() -> Message {
        let mut message = Message::user("");
        let extra = vec![Field { name: "cache_control".into(), value: "{}".into() }];
        message.content =
            vec![Part::Other("{\"type\":\"image\"}".into()), Part::Text(TextPart { text: "one ".into(), extra }), Part::from("two")];
        message
    }

    #[test]
    fn the_text_of_a_message_is_that_of_its_text_parts() {
        assert_eq!(mixed().text(), "one two");
        assert_eq!(Message::assistant("").content, Vec::new());
        assert_eq!(Message::system("x").text(), "x");
    }

    #[test]
    fn a_new_text_takes_the_first_text_parts_place_and_extra_fields() {
        let mut message = mixed();
        message.set_text("new");
        assert_eq!(message.content.len(), 2);
        assert!(matches!(&message.content[0], Part::Other(_)));
        assert!(matches!(&message.content[1], Part::Text(part) if part.text == "new" && part.extra.len() == 1));
    }

    #[test]
    fn a_new_text_is_added_where_there_was_none() {
        let mut message = Message::user("");
        message.content.push(Part::Other("{}".into()));
        message.set_text("new");
        assert!(matches!(&message.content[..], [Part::Other(_), Part::Text(part)] if part.text == "new"));
    }

    #[test]
    fn mapping_says_whether_anything_changed() {
        let mut message = mixed();
        assert!(!message.map_text(|_| None));
        assert_eq!(message, mixed());
        assert!(message.map_text(|text| text.contains("two").then(|| text.to_uppercase())));
        assert_eq!(message.text(), "one TWO");
    }
}
