//! An exchange that came from no client, for who calls the sandbox without the server around it. One place knows all of its fields; a test that
//! needs another value says so with `..exchange(text)`.

use std::time::Duration;

use cofferdam::chat::{Client, Deadline, Exchange, Message};

/// One message of a user's, and ten minutes.
pub(crate) fn exchange(text: &str) -> Exchange {
    Exchange {
        id: "request-1".into(),
        caller: None,
        client: Client::Host,
        pipeline: "p".into(),
        deadline: Deadline::after(Duration::from_secs(600)),
        stream: false,
        target: None,
        model: None,
        messages: vec![Message::text("user", text)],
        params: Vec::new(),
        metadata: Default::default(),
        hits: Vec::new(),
        skipped: Default::default(),
        coverage: Default::default(),
        end_user: None,
        tries: Default::default(),
        account: Default::default(),
        kept: Default::default(),
    }
}
