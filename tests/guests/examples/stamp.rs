//! Stamps each exchange with its version: `metadata.version` before the model, and the end of the reply after it,
//! ` [v=BEFORE/AFTER]`. Two different numbers there mean that one exchange saw two versions of a plugin. `stamp_1.rs` and
//! `stamp_2.rs` are the versions.

use cofferdam_guest::{Changes, HookError, Plugin, PostOutcome, PreOutcome, Reply, Request};

/// The end of the crate's name: `1` of `stamp_1`.
const STAMP_VERSION: &str = env!("CARGO_CRATE_NAME").split_at("stamp_".len()).1;

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
