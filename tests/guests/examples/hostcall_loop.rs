//! Calls the host without end: hostcalls cost no fuel, so that only the clock can stop it.

use cofferdam_guest::{HookError, Plugin, PreOutcome, Request, config, log};

struct HostcallLoop;

impl Plugin for HostcallLoop {
    const NAME: Option<&'static str> = Some("hostcall-loop");

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        let line = "x".repeat(500_000);
        loop {
            log::info(&line);
            std::hint::black_box(config::all());
        }
    }
}

cofferdam_guest::export!(HostcallLoop: pre_hook);
