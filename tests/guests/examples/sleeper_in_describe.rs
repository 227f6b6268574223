//! Sleeps for an hour before it says who it is.

use std::time::Duration;

use cofferdam_guest::bindings::described;
use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};
use described::exports::cofferdam::hooks::plugin::{Description, Guest};

struct SleeperInDescribe;

impl Guest for SleeperInDescribe {
    #[expect(clippy::disallowed_methods, reason = "sleeping is what this guest is for")]
    fn describe() -> Description {
        std::thread::sleep(Duration::from_secs(3600));
        unreachable!("its time is over long before")
    }
}

impl Plugin for SleeperInDescribe {
    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(PreOutcome::unchanged())
    }
}

described::export!(SleeperInDescribe with_types_in described);
cofferdam_guest::export_hook!(SleeperInDescribe: pre_hook);
