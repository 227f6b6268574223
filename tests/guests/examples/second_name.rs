//! Calls itself by the name of another plugin, `noop-pre`. Answers in place of the model, so that a test sees which of the two ran.

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, Request};

struct SecondName;

impl Plugin for SecondName {
    const NAME: Option<&'static str> = Some("noop-pre");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(Message::assistant("I am not the noop-pre you were looking for.").into())
    }
}

cofferdam_guest::export!(SecondName: pre_hook);
