//! Calls itself until some stack is full, with almost no frame of its own: the stack in linear memory
//! lasts for long, so that the wasm stack ends first.

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, Request};

struct DeepRecursion;

impl Plugin for DeepRecursion {
    const NAME: Option<&'static str> = Some("deep-recursion");

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let depth = descend(u64::from(request.context.attempt));
        Ok(Message::assistant(format!("came back from a depth of {depth}")).into())
    }
}

/// The product after the call keeps the optimiser from making a loop of it.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is what this guest is for")]
fn descend(depth: u64) -> u64 {
    std::hint::black_box(descend(depth + 1)).wrapping_mul(depth | 1)
}

cofferdam_guest::export!(DeepRecursion: pre_hook);
