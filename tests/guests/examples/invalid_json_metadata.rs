//! Leaves a value in `metadata` that is no JSON.

use cofferdam_guest::{Changes, HookError, Json, Plugin, PreOutcome, Request};

struct InvalidJsonMetadata;

impl Plugin for InvalidJsonMetadata {
    const NAME: Option<&'static str> = Some("invalid-json-metadata");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(Changes::new().metadata("good", 1).metadata("bad", Json::raw("{\"unfinished\": ")).into())
    }
}

cofferdam_guest::export!(InvalidJsonMetadata: pre_hook);
