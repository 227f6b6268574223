//! Conveniences on what a done-hook reads.

use crate::request::find;
use crate::{Exchange, Message};

/// The field of a reply's message by which the host says that there was more of the reply than it keeps for done-hooks.
const TRUNCATED: &str = "cofferdam_truncated";

impl Exchange {
    /// The caller's name; empty if the operator configured no keys.
    #[must_use]
    pub fn caller(&self) -> &str {
        self.context.caller.as_deref().unwrap_or_default()
    }

    /// The text of all replies, as the client saw it.
    #[must_use]
    pub fn text(&self) -> String {
        self.replies.iter().map(Message::text).collect::<Vec<_>>().join("\n")
    }

    /// Whether there was more of the reply than the host keeps for done-hooks (`limits.plugins.done_reply_bytes`).
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.replies.iter().any(|message| find(&message.extra, TRUNCATED) == Some("true"))
    }

    /// The JSON text that hooks left under that key of `metadata`.
    #[must_use]
    pub fn metadata_json(&self, name: &str) -> Option<&str> {
        find(&self.metadata, name)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Field, Message, testing};

    #[test]
    fn an_exchange_tells_its_text_and_whether_there_was_more() {
        let mut exchange = testing::exchange(vec![Message::user("hi")], "one");
        exchange.replies.push(Message::assistant("two"));
        assert_eq!((exchange.text().as_str(), exchange.is_truncated(), exchange.caller()), ("one\ntwo", false, ""));
        exchange.replies[1].extra.push(Field { name: "cofferdam_truncated".into(), value: "true".into() });
        exchange.metadata.push(Field { name: "seen".into(), value: "1".into() });
        assert_eq!((exchange.is_truncated(), exchange.metadata_json("seen")), (true, Some("1")));
    }
}
