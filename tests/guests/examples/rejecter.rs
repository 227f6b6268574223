//! Refuses every request, and says when to come back.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Rejection, Request};

struct Rejecter;

impl Plugin for Rejecter {
    const NAME: Option<&'static str> = Some("rejecter");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(Rejection::new(451, "rejected_by_test", "The rejecter rejects everything.").retry_after(30).into())
    }
}

cofferdam_guest::export!(Rejecter: pre_hook);
