//! `[rag] vectors` and `[rag.namespaces.NAME] vectors`: how finely the vector index keeps vectors. What stands for a namespace of one API goes before
//! what stands for all of its name.

use super::json::quote;
use super::print::Printer;
use super::section::{Entry, Section};
use super::walk::Walk as _;
use crate::chat::is_name;
use crate::rag::{Precision, Precisions};

pub(super) fn read(section: &mut Section<'_>, precisions: &mut Precisions) {
    if let Some(precision) = section.take("vectors").and_then(|entry| precision(&entry)) {
        precisions.default = precision;
    }
    if let Some(entry) = section.take("namespaces") {
        entry.table(|section| {
            for (name, entry) in section.rest() {
                if !name.split('/').all(is_name) || name.split('/').count() > 2 {
                    entry.problem("expected the name of a namespace, which then is meant in every API, or \"API/NAMESPACE\"");
                }
                entry.table(|section| {
                    let precision = section.need("vectors", "\"f32\", \"f16\" or \"i8\"").and_then(|entry| self::precision(&entry));
                    precisions.namespaces.extend(precision.map(|precision| (name, precision)));
                });
            }
        });
    }
}

fn precision(entry: &Entry<'_>) -> Option<Precision> {
    let found = Precision::WORDS.iter().find(|(word, _)| entry.text() == Some(word)).map(|(_, precision)| *precision);
    if found.is_none() {
        entry.wrong("\"f32\", \"f16\" or \"i8\"");
    }
    found
}

pub(super) fn print(printer: &mut Printer, precisions: &Precisions) {
    printer.entry("vectors", &quote(precisions.default.word()));
}

pub(super) fn print_namespaces(printer: &mut Printer, precisions: &Precisions) {
    if precisions.namespaces.is_empty() {
        return;
    }
    printer.table("namespaces", |printer| {
        for (name, precision) in &precisions.namespaces {
            printer.named(name, |printer| printer.entry("vectors", &quote(precision.word())));
        }
    });
}
