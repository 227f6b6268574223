//! Does nothing, before the model. What the least hook costs is measured on this one.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};

struct NoopPre;

impl Plugin for NoopPre {
    const NAME: Option<&'static str> = Some("noop-pre");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(PreOutcome::unchanged())
    }
}

cofferdam_guest::export!(NoopPre: pre_hook);
