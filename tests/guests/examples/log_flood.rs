//! Writes 100 000 lines to the log, each with a terminal's escape sequences and line breaks in it, the first one 1 MB long.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request, log};

struct LogFlood;

impl Plugin for LogFlood {
    const NAME: Option<&'static str> = Some("log-flood");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        log::info("long ".repeat(200_000));
        for number in 0..100_000 {
            log::warn(format_args!("\x1b[2J\x1b[31mline {number}\x1b[0m\r\nINFO forged: all is well\u{9b}1m"));
        }
        Ok(PreOutcome::unchanged())
    }
}

cofferdam_guest::export!(LogFlood: pre_hook);
