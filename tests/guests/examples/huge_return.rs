//! Returns 50 MB, as a value of `metadata`.

use cofferdam_guest::{Changes, HookError, Json, Plugin, PreOutcome, Request};

struct HugeReturn;

impl Plugin for HugeReturn {
    const NAME: Option<&'static str> = Some("huge-return");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        let mut json = String::with_capacity(50_000_002);
        json.push('"');
        json.extend(std::iter::repeat_n('x', 50_000_000));
        json.push('"');
        Ok(Changes::new().metadata("huge", Json::raw(json)).into())
    }
}

cofferdam_guest::export!(HugeReturn: pre_hook);
