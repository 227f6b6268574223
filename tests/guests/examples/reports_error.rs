//! Reports an error of its own, of the kind that the last user message names: `unsupported`, `unavailable` or anything else.

use cofferdam_guest::{HookError, Plugin, PostOutcome, PreOutcome, Reply, Request};

struct ReportsError;

impl Plugin for ReportsError {
    const NAME: Option<&'static str> = Some("reports-error");

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let text = request.last_user().map(|(_, message)| message.text()).unwrap_or_default();
        Err(match text.as_str() {
            "unsupported" => HookError::Unsupported("the guest does not know this kind of request".to_owned()),
            "unavailable" => HookError::Unavailable("the guest lacks its configuration".to_owned()),
            _ => HookError::Other("the guest gives up on the request".to_owned()),
        })
    }

    fn on_reply(_reply: Reply) -> Result<PostOutcome, HookError> {
        Err(HookError::Other("the guest gives up on the reply".to_owned()))
    }
}

cofferdam_guest::export!(ReportsError: pre_hook, post_hook);
