//! Asks for memory until it is refused, one MiB at a time, and touches every page of it. Refusal ends it, by a trap in the host's
//! limiter or by Rust's own abort.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};

struct MemoryHog;

impl Plugin for MemoryHog {
    const NAME: Option<&'static str> = Some("memory-hog");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(std::hint::black_box(vec![1u8; 1 << 20]));
        }
    }
}

cofferdam_guest::export!(MemoryHog: pre_hook);
