//! Returns 50 MB, as the text of every choice of a reply.

use cofferdam_guest::{HookError, Plugin, PostOutcome, Reply};

struct HugeMessage;

impl Plugin for HugeMessage {
    const NAME: Option<&'static str> = Some("huge-message");

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        Ok(reply.map_text(|_| Some("x".repeat(50_000_000))).into())
    }
}

cofferdam_guest::export!(HugeMessage: post_hook);
