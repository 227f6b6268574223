//! Shows all keys that it can see, under a name of its own: two plugins do not meet each other's.

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, Request, kv};

struct OtherKeeper;

impl Plugin for OtherKeeper {
    const NAME: Option<&'static str> = Some("other-keeper");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        let (own, of_caller) = (kv::plugin().keys("", None, 1_000)?, kv::caller().keys("", None, 1_000)?);
        let stolen = [kv::plugin().get("shared")?, kv::caller().get("mine")?];
        Ok(Message::assistant(format!("{own:?} {of_caller:?} {stolen:?}")).into())
    }
}

cofferdam_guest::export!(OtherKeeper: pre_hook);
