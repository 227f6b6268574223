//! Stamps each exchange with the version it was built with (`STAMP_VERSION`): `metadata.version` before the model, and the end of
//! the reply after it, ` [v=BEFORE/AFTER]`. Two different numbers there mean that one exchange saw two versions of a plugin.

use cofferdam_guest::{Changes, HookError, Plugin, PostOutcome, PreOutcome, Reply, Request};

const STAMP_VERSION: &str = match option_env!("STAMP_VERSION") {
    Some(version) => version,
    None => "0",
};

struct Stamp;

impl Plugin for Stamp {
    const NAME: Option<&'static str> = Some("stamp");
    const VERSION: Option<&'static str> = Some(STAMP_VERSION);

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        Ok(Changes::new().metadata("version", STAMP_VERSION).into())
    }

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        let before = reply.metadata_json("version").unwrap_or("none").trim_matches('"').to_owned();
        let stamped = reply.map_messages(|message| {
            let text = message.text();
            message.set_text(format!("{text} [v={before}/{STAMP_VERSION}]"));
            true
        });
        Ok(stamped.into())
    }
}

cofferdam_guest::export!(Stamp: pre_hook, post_hook);
