//! What the child process does: it confines itself, reads a file from standard input, and writes what is in it to standard output.
//! Invariant: no byte of the file is looked at before the limits hold.

use std::io::{Read as _, Write as _};

use super::extracted::Extracted;
use super::format::Format;
use super::reply::{Refused, Reply};
use super::{csv, html, json, office, pdf};
use crate::subprocess::Confinement;

/// Bytes of the parser's stack. Many files are nested some hundred levels deep, and none that somebody wrote is nested a million.
const STACK_BYTES: usize = 16 << 20;

/// What a child is told.
#[derive(Clone, Debug)]
pub struct ChildTask {
    /// A word of `Format`.
    pub format: String,
    pub may: Confinement,
    /// Of the text.
    pub text_bytes: usize,
    pub pages: usize,
    /// Times an archive's own size.
    pub expansion: usize,
}

/// Reads one file.
///
/// # Errors
/// A sentence for standard error: the machine did not let it work.
pub fn child(task: ChildTask) -> Result<(), String> {
    task.may.enter()?;
    let format = Format::of_word(&task.format).ok_or("this program does not read such documents")?;
    let parser = std::thread::Builder::new().name("parser".into()).stack_size(STACK_BYTES);
    // It reads the file too: its stack must be there before the file takes the memory for it.
    let parser = parser.spawn(move || input().map(|bytes| parse(format, bytes, &task))).map_err(|e| format!("no thread: {e}"))?;
    let reply = match parser.join() {
        Ok(parsed) => parsed?.map_or_else(Reply::Refused, Reply::Text),
        // The panic itself is on standard error.
        Err(_) => Reply::Refused(Refused::damaged("its parser failed over it")),
    };
    let mut whole = Vec::new();
    reply
        .write(&mut whole)
        .and_then(|()| std::io::stdout().lock().write_all(&whole))
        .map_err(|e| format!("the text could not be written: {e}"))
}

fn input() -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        // The words of an allocation that aborts a program, by which whoever started it knows what it died of.
        Err(e) if e.kind() == std::io::ErrorKind::OutOfMemory => Err("memory allocation for the document failed".into()),
        Err(e) => Err(format!("the document could not be read: {e}")),
    }
}

fn parse(format: Format, bytes: Vec<u8>, task: &ChildTask) -> Result<Extracted, Refused> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(Refused::damaged);
    match format {
        Format::Pdf => pdf::read(&bytes, task.pages, task.text_bytes),
        Format::Office => office::read(bytes, task.pages, task.text_bytes, task.expansion),
        Format::Html => html::read(&text(bytes)?, task.text_bytes),
        Format::Csv => csv::read(&text(bytes)?, task.text_bytes),
        Format::Json => json::read(&text(bytes)?, task.text_bytes),
        Format::JsonLines => json::read_lines(&text(bytes)?, task.text_bytes),
    }
}
