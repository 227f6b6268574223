//! Executes `unreachable`.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};

struct Trap;

impl Plugin for Trap {
    const NAME: Option<&'static str> = Some("trap");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        std::arch::wasm32::unreachable()
    }
}

cofferdam_guest::export!(Trap: pre_hook);
