//! The next version of `keeper.rs`, whose settings are others: what was kept for the version before does not fit it.

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, Request, config};

struct StrictKeeper;

impl Plugin for StrictKeeper {
    const NAME: Option<&'static str> = Some("keeper");
    const VERSION: Option<&'static str> = Some("2");
    const CONFIG_SCHEMA: Option<&'static str> =
        Some(r#"{"properties": {"window": {"enum": ["short", "long"], "default": "short"}}, "additionalProperties": false}"#);

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(Message::assistant(config::all()).into())
    }
}

cofferdam_guest::export!(StrictKeeper: pre_hook);
