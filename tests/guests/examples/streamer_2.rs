//! The same as `streamer` under another name, and a post-hook beside it.

use cofferdam_guest::{HookError, Plugin, PostOutcome, Reply, log};

#[path = "streamer/hook.rs"]
mod hook;
use hook::Streamer;

impl Plugin for Streamer {
    const NAME: Option<&'static str> = Some("streamer-2");

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        if hook::setting("act") == "tell" {
            log::info(format_args!("shown: {reply:?}"));
            return Ok(PostOutcome::keep());
        }
        Ok(reply.map_text(|text| Some(format!("{text} (as a whole)"))).into())
    }
}

cofferdam_guest::export!(Streamer: post_hook, stream_hook);
