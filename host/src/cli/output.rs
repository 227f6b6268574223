//! What a command writes to standard output, which may be closed, full or stuck. No line panics.
//! A reader of standard output that went away ends a command quietly, with the code by which shells report other programs that it ends.

use std::io::{self, Write};
use std::process::ExitCode;

use super::exit::failed;

/// 128 and the number of SIGPIPE.
const READER_GONE: u8 = 141;

/// Writes to standard output what a command is run for, and returns the command's exit code.
pub(super) fn answer(text: &str) -> ExitCode {
    ended(write(io::stdout().lock(), text))
}

/// The exit code after the last write to standard output.
pub(super) fn ended(written: io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(READER_GONE),
        Err(error) => failed(&format!("standard output cannot be written: {error}")),
    }
}

/// Writes lines to standard output beside a server that runs, which serves all the same if they cannot be written, and does not wait for them.
pub(super) fn announce(text: String) {
    let writing = move || {
        if let Err(error) = write(io::stdout().lock(), &text) {
            tracing::warn!("standard output cannot be written: {error}");
        }
    };
    // Not a thread of the runtime, which would wait for it when it ends.
    if let Err(error) = std::thread::Builder::new().name("announce".into()).spawn(writing) {
        tracing::warn!("there is no thread to write to standard output: {error}");
    }
}

fn write(mut to: impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}
