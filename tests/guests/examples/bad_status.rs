//! Refuses every request and every reply with a status that is no refusal.

use cofferdam_guest::{HookError, Plugin, PostOutcome, PreOutcome, Rejection, Reply, Request};

struct BadStatus;

impl Plugin for BadStatus {
    const NAME: Option<&'static str> = Some("bad-status");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(Rejection::new(200, "not_an_error", "Status 200 is no refusal.").into())
    }

    fn on_reply(_reply: Reply) -> Result<PostOutcome, HookError> {
        Ok(Rejection::new(200, "not_an_error", "Status 200 is no refusal.").into())
    }
}

cofferdam_guest::export!(BadStatus: pre_hook, post_hook);
