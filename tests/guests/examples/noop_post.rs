//! Does nothing, after the model.

use cofferdam_guest::{HookError, Plugin, PostOutcome, Reply};

struct NoopPost;

impl Plugin for NoopPost {
    const NAME: Option<&'static str> = Some("noop-post");

    fn on_reply(_reply: Reply) -> Result<PostOutcome, HookError> {
        Ok(PostOutcome::keep())
    }
}

cofferdam_guest::export!(NoopPost: post_hook);
