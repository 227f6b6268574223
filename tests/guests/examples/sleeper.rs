//! Sleeps for an hour on a clock of WASI's.

use std::time::Duration;

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};

struct Sleeper;

impl Plugin for Sleeper {
    const NAME: Option<&'static str> = Some("sleeper");

    #[expect(clippy::disallowed_methods, reason = "sleeping is what this guest is for")]
    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        std::thread::sleep(Duration::from_secs(3600));
        Ok(PreOutcome::unchanged())
    }
}

cofferdam_guest::export!(Sleeper: pre_hook);
