//! An exchange that came from no client, for who calls the sandbox without the server around it. A test that needs
//! another value says so with `..exchange(text)`.

use std::time::Duration;

use cofferdam::chat::{Client, Deadline, Exchange, Message};

/// One message of a user's, and ten minutes.
pub(crate) fn exchange(text: &str) -> Exchange {
    Exchange {
        messages: vec![Message::text("user", text)],
        ..Exchange::new("request-1".into(), Client::Host, "p".into(), Deadline::after(Duration::from_secs(600)))
    }
}
