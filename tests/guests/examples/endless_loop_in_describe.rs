//! Never comes back from saying who it is.

use cofferdam_guest::bindings::described;
use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};
use described::exports::cofferdam::hooks::plugin::{Description, Guest};

struct EndlessLoopInDescribe;

impl Guest for EndlessLoopInDescribe {
    fn describe() -> Description {
        loop {
            std::hint::spin_loop();
        }
    }
}

impl Plugin for EndlessLoopInDescribe {
    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(PreOutcome::unchanged())
    }
}

described::export!(EndlessLoopInDescribe with_types_in described);
cofferdam_guest::export_hook!(EndlessLoopInDescribe: pre_hook);
