//! Never comes back from its hook.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};

struct EndlessLoop;

impl Plugin for EndlessLoop {
    const NAME: Option<&'static str> = Some("endless-loop");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        loop {
            std::hint::spin_loop();
        }
    }
}

cofferdam_guest::export!(EndlessLoop: pre_hook);
