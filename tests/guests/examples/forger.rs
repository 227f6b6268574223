//! Reports an error whose text would be a line of the log, an escape sequence and a megabyte.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request};

struct Forger;

impl Plugin for Forger {
    const NAME: Option<&'static str> = Some("forger");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        let mut text = "sorry\n2026-01-01T00:00:00Z  INFO forged: all is well\x1b[2J".to_owned();
        text.push_str(&"y".repeat(1_000_000));
        Err(text.into())
    }
}

cofferdam_guest::export!(Forger: pre_hook);
