//! Panics with a message, which Rust writes to standard error before it traps.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};

struct Panic;

impl Plugin for Panic {
    const NAME: Option<&'static str> = Some("panic");

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        panic!("the guest panics over {} messages", request.messages.len());
    }
}

cofferdam_guest::export!(Panic: pre_hook);
