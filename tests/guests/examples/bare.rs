//! Has a hook and does not say who it is: the host knows it by its file's name.

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, Request};

struct Bare;

impl Plugin for Bare {
    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(Message::assistant("I never said who I am.").into())
    }
}

cofferdam_guest::export_hook!(Bare: pre_hook);
