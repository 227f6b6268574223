//! Conveniences on what a pre-hook reads. They borrow from the request and change nothing.

use crate::{Field, Message, Question, Request};

impl Request {
    /// The last message of the role `user`, with the index that [`Changes::replace`](crate::Changes::replace) takes.
    #[must_use]
    pub fn last_user(&self) -> Option<(u32, &Message)> {
        (0..).zip(&self.messages).filter(|(_, message)| message.role == "user").last()
    }

    /// The JSON text that hooks before this one left under that key of `metadata`.
    #[must_use]
    pub fn metadata_json(&self, name: &str) -> Option<&str> {
        find(&self.metadata, name)
    }

    /// The JSON text of a field of the client's request, such as `temperature`.
    #[must_use]
    pub fn param_json(&self, name: &str) -> Option<&str> {
        find(&self.params, name)
    }
}

impl Question {
    /// The last message of the role `user`.
    #[must_use]
    pub fn last_user(&self) -> Option<&Message> {
        self.messages.iter().rfind(|message| message.role == "user")
    }

    /// The JSON text of a field of the client's request, such as `temperature`.
    #[must_use]
    pub fn param_json(&self, name: &str) -> Option<&str> {
        find(&self.params, name)
    }
}

/// The value of the field of that name; the last one if there are several, as JSON parsers do.
pub(crate) fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a str> {
    fields.iter().rfind(|field| field.name == name).map(|field| field.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_last_user_message_comes_with_its_index() {
        let messages = vec![Message::user("one"), Message::assistant("two"), Message::user("three"), Message::assistant("four")];
        let request = testing::request(messages);
        let (index, message) = request.last_user().unwrap();
        assert_eq!((index, message.text().as_str()), (2, "three"));
        assert!(testing::request(vec![Message::system("alone")]).last_user().is_none());
    }

    #[test]
    fn metadata_and_params_are_found_by_name() {
        let mut request = testing::request(Vec::new());
        request.metadata.push(Field { name: "language".into(), value: "\"de\"".into() });
        request.params.push(Field { name: "temperature".into(), value: "0.5".into() });
        assert_eq!(request.metadata_json("language"), Some("\"de\""));
        assert_eq!(request.param_json("temperature"), Some("0.5"));
        assert_eq!(request.param_json("language"), None);
    }
}
