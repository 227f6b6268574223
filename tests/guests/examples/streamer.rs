//! A stream hook that does what its settings say; `streamer/hook.rs` has it all.

use cofferdam_guest::Plugin;

#[path = "streamer/hook.rs"]
mod hook;
use hook::Streamer;

impl Plugin for Streamer {
    const NAME: Option<&'static str> = Some("streamer");
}

cofferdam_guest::export!(Streamer: stream_hook);
