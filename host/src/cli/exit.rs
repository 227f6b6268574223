//! How a command ends when it fails: one line on standard error and an exit code.
//! A wrong configuration has a code of its own, so that a service manager does not restart a server that cannot start.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// EX_USAGE of `sysexits.h`.
const CONFIG: u8 = 64;

/// The configuration is wrong.
pub(super) fn bad_config(error: &impl Display) -> ExitCode {
    note(error);
    ExitCode::from(CONFIG)
}

/// Anything else went wrong.
pub(super) fn failed(error: &impl Display) -> ExitCode {
    note(error);
    ExitCode::FAILURE
}

fn note(line: &impl Display) {
    // If nobody can read it, there is nobody to be told.
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
