//! What the child process does: it confines itself, reads a file from standard input, and writes what is in it to standard output.

use std::io::{Read as _, Write as _};

use super::format::Format;
use super::reply::{Refused, Reply};
use super::{Extracted, csv, html, json, office, pdf};
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
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(|e| format!("the document could not be read: {e}"))?;
    let format = Format::of_word(&task.format).ok_or("this program does not read such documents")?;
    let parser = std::thread::Builder::new().name("parser".into()).stack_size(STACK_BYTES);
    let parser = parser.spawn(move || parse(format, bytes, &task)).map_err(|e| format!("no thread: {e}"))?;
    let reply = match parser.join() {
        Ok(Ok(extracted)) => Reply::Text(extracted),
        Ok(Err(why)) => Reply::Refused(why),
        // The panic itself is on standard error.
        Err(_) => Reply::Refused(Refused::damaged("its parser failed over it")),
    };
    let mut whole = Vec::new();
    reply.write(&mut whole).and_then(|()| std::io::stdout().lock().write_all(&whole)).map_err(|e| format!("the text could not be written: {e}"))
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
