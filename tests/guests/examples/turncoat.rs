//! Is quick, until it is asked to `spin`: then it runs until it is stopped.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};

struct Turncoat;

impl Plugin for Turncoat {
    const NAME: Option<&'static str> = Some("turncoat");

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let spin = request.last_user().is_some_and(|(_, message)| message.text().contains("spin"));
        let mut turns = 0u64;
        while spin {
            turns = std::hint::black_box(turns + 1);
        }
        Ok(PreOutcome::unchanged())
    }
}

cofferdam_guest::export!(Turncoat: pre_hook);
