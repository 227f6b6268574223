//! `[rag] vectors`: how finely the vector index keeps vectors, in one of three words.

use super::json::quote;
use super::print::Printer;
use super::section::{Entry, Section};
use crate::rag::{Precision, Precisions};

pub(super) fn read(section: &mut Section<'_>, precisions: &mut Precisions) {
    if let Some(precision) = section.take("vectors").and_then(|entry| precision(&entry)) {
        precisions.default = precision;
    }
}

pub(super) fn precision(entry: &Entry<'_>) -> Option<Precision> {
    let found = Precision::WORDS.iter().find(|(word, _)| entry.text() == Some(word)).map(|(_, precision)| *precision);
    if found.is_none() {
        entry.wrong("\"f32\", \"f16\" or \"i8\"");
    }
    found
}

pub(super) fn print(printer: &mut Printer, precisions: &Precisions) {
    printer.entry("vectors", &quote(precisions.default.word()));
}
