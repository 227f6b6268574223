//! Returns 50 MB, as a value of `metadata`.

use cofferdam_guest::{Changes, HookError, Json, Plugin, PreOutcome, Request};

struct HugeReturn;

impl Plugin for HugeReturn {
    const NAME: Option<&'static str> = Some("huge-return");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        // One fill and no copy, so that neither fuel nor memory ends the call before the limit of output does.
        let mut json = "x".repeat(50_000_000);
        json.replace_range(..1, "\"");
        json.pop();
        json.push('"');
        Ok(Changes::new().metadata("huge", Json::raw(json)).into())
    }
}

cofferdam_guest::export!(HugeReturn: pre_hook);
