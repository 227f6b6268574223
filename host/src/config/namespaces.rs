//! `[rag.namespaces.NAME]`: what is chosen otherwise for some namespaces, their embedder and how finely their index keeps vectors. What stands for a
//! namespace of one API goes before what stands for all of its name.

use std::collections::BTreeSet;

use super::json::quote;
use super::print::Printer;
use super::section::Section;
use super::walk::Walk as _;
use super::{embedders, precisions};
use crate::chat::is_name;
use crate::rag::{Embedders, Precisions};

/// After the embedders have been read, whose names stand here.
pub(super) fn read(section: &mut Section<'_>, embedders: &mut Embedders, precisions: &mut Precisions) {
    let Some(entry) = section.take("namespaces") else { return };
    entry.table(|section| {
        for (name, entry) in section.rest() {
            if !name.split('/').all(is_name) || name.split('/').count() > 2 {
                entry.problem("expected the name of a namespace, which then is meant in every API, or \"API/NAMESPACE\"");
            }
            entry.table(|section| {
                let (embedder, vectors) = (section.take("embedder"), section.take("vectors"));
                if embedder.is_none() && vectors.is_none() {
                    section.missing("embedder", "the embedder that is wanted for the namespace, or `vectors`");
                }
                let embedder = embedder.and_then(|entry| embedders::named(&entry, embedders));
                let precision = vectors.and_then(|entry| precisions::precision(&entry));
                embedders.namespaces.extend(embedder.map(|embedder| (name.clone(), embedder)));
                precisions.namespaces.extend(precision.map(|precision| (name, precision)));
            });
        }
    });
}

pub(super) fn print(printer: &mut Printer, embedders: &Embedders, precisions: &Precisions) {
    let names: BTreeSet<&String> = embedders.namespaces.keys().chain(precisions.namespaces.keys()).collect();
    if names.is_empty() {
        return;
    }
    printer.table("namespaces", |printer| {
        for name in names {
            printer.named(name, |printer| {
                if let Some(embedder) = embedders.namespaces.get(name) {
                    printer.entry("embedder", &quote(embedder));
                }
                if let Some(precision) = precisions.namespaces.get(name) {
                    printer.entry("vectors", &quote(precision.word()));
                }
            });
        }
    });
}
