//! `[rag]`, `[rag.embedders.NAME]` and `[rag.namespaces.NAME]`: what documents and questions are embedded by. Whether a folder holds a model shows
//! when the server starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::json::quote;
use super::print::Printer;
use super::providers;
use super::section::{Entry, Section};
use super::walk::Walk as _;
use crate::chat::is_name;
use crate::llm::{ProviderConfig, SECRET_NAME, is_secret_name};
use crate::rag::{BUILTIN, DIMENSIONS_MAX, EmbedderConfig, Embedders, ModelSettings, Pooling, RemoteModel};

/// Bytes of what stands before a text: an instruction, not a document.
const PREFIX_BYTES_MAX: usize = 1_000;
/// Tokens that a model reads of a text, at most.
const TOKENS_MAX: u64 = 8_192;
/// Seconds that a remote embedder may take, if the file does not say, and at most.
const TIME: u64 = 60;
const TIME_MAX: u64 = 600;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Local,
    Static,
    Remote,
}

const KINDS: [(&str, Kind); 3] = [("local", Kind::Local), ("static", Kind::Static), ("remote", Kind::Remote)];
const POOLINGS: [(&str, Pooling); 2] = [("mean", Pooling::Mean), ("cls", Pooling::Cls)];

pub(super) fn read(section: &mut Section<'_>, embedders: &mut Embedders, known: &BTreeMap<String, ProviderConfig>) {
    let chosen = section.take("embedder");
    if let Some(entry) = section.take("embedders") {
        entry.table(|section| {
            for (name, entry) in section.rest() {
                if !is_name(&name) || name == BUILTIN {
                    entry.problem(format!("an embedder's name must be 1 to 64 letters, digits, `-`, `_` or `.`, and not {BUILTIN:?}"));
                }
                entry.table(|section| embedders.named.extend(read_one(section, known).map(|embedder| (name, embedder))));
            }
        });
    }
    if let Some(name) = chosen.and_then(|entry| named(&entry, embedders)) {
        embedders.embedder = name;
    }
    if let Some(entry) = section.take("namespaces") {
        entry.table(|section| {
            for (name, entry) in section.rest() {
                if !name.split('/').all(is_name) || name.split('/').count() > 2 {
                    entry.problem("expected the name of a namespace, which then is meant in every API, or \"API/NAMESPACE\"");
                }
                entry.table(|section| {
                    let embedder = section.need("embedder", "the embedder that is wanted for the namespace");
                    let embedder = embedder.and_then(|entry| self::named(&entry, embedders));
                    embedders.namespaces.extend(embedder.map(|embedder| (name, embedder)));
                });
            }
        });
    }
}

/// The name of an embedder that is there.
fn named(entry: &Entry<'_>, embedders: &Embedders) -> Option<String> {
    let found = entry.text().filter(|name| *name == BUILTIN || embedders.named.contains_key(*name));
    if found.is_none() {
        entry.wrong(&format!("{BUILTIN:?} or the name of one of `[rag.embedders]`"));
    }
    found.map(str::to_owned)
}

/// The keys of all kinds are read, so that each is known; one of another kind than the entry's is a problem of its own.
fn read_one(section: &mut Section<'_>, known: &BTreeMap<String, ProviderConfig>) -> Option<EmbedderConfig> {
    let kind = section.need("kind", "\"local\", \"static\" or \"remote\"").and_then(|entry| word(&entry, &KINDS));
    let mut of = |kinds: &[Kind], key: &'static str| {
        let entry = section.take(key)?;
        if kind.is_some_and(|kind| !kinds.contains(&kind)) {
            entry.problem("is not for an embedder of this kind");
            return None;
        }
        Some(entry)
    };
    let path = of(&[Kind::Local, Kind::Static], "path").map(|entry| text(&entry).map(PathBuf::from));
    let settings = ModelSettings {
        pooling: of(&[Kind::Local], "pooling").and_then(|entry| word(&entry, &POOLINGS)),
        query_prefix: of(&[Kind::Local], "query_prefix").and_then(|entry| prefix(&entry)),
        document_prefix: of(&[Kind::Local], "document_prefix").and_then(|entry| prefix(&entry)),
        max_tokens: of(&[Kind::Local], "max_tokens").and_then(|entry| number(&entry, 3, TOKENS_MAX)),
    };
    let provider = of(&[Kind::Remote], "provider").map(|entry| provider(&entry, known));
    let model = of(&[Kind::Remote], "model").map(|entry| text(&entry));
    let secret_key_name = of(&[Kind::Remote], "secret_key_name").and_then(|entry| secret(&entry));
    let dimensions = of(&[Kind::Remote], "dimensions").and_then(|entry| number(&entry, 1, DIMENSIONS_MAX as u64));
    let seconds = of(&[Kind::Remote], "timeout_seconds").and_then(|entry| number(&entry, 1, TIME_MAX));
    let missing = |key: &str, what: &str| section.missing(key, what);
    match kind? {
        Kind::Local | Kind::Static if path.is_none() => missing("path", "the folder with the model"),
        Kind::Remote if provider.is_none() => missing("provider", "who computes the vectors"),
        Kind::Remote if model.is_none() => missing("model", "the provider's own name for the model"),
        _ => {}
    }
    let time = Duration::from_secs(seconds.map_or(TIME, |seconds| seconds as u64));
    Some(match kind? {
        Kind::Local => EmbedderConfig::Local { path: path??, settings },
        Kind::Static => EmbedderConfig::Static { path: path?? },
        Kind::Remote => EmbedderConfig::Remote(RemoteModel { provider: provider??, model: model??, secret_key_name, dimensions, time }),
    })
}

fn provider(entry: &Entry<'_>, known: &BTreeMap<String, ProviderConfig>) -> Option<String> {
    let name = text(entry)?;
    if let Some(why) = providers::unknown(&name, known) {
        entry.problem(why);
    } else if known.get(&name).is_some_and(|provider| provider.kind() == crate::llm::Kind::Builtin) {
        entry.problem(format!("computes no vectors here; the embedder inside the program is `embedder = {BUILTIN:?}`"));
    }
    Some(name)
}

pub(super) fn secret(entry: &Entry<'_>) -> Option<String> {
    let found = entry.text().filter(|name| is_secret_name(name));
    if found.is_none() {
        // The value may be the key itself, so it is not repeated.
        entry.problem(format!("expected a secret's name: {SECRET_NAME}"));
    }
    found.map(str::to_owned)
}

pub(super) fn number(entry: &Entry<'_>, least: u64, most: u64) -> Option<usize> {
    let found = entry.number().filter(|number| (least..=most).contains(number));
    if found.is_none() {
        entry.wrong(&format!("a whole number from {least} to {most}"));
    }
    usize::try_from(found?).ok()
}

fn prefix(entry: &Entry<'_>) -> Option<String> {
    let found = entry.text().filter(|text| text.len() <= PREFIX_BYTES_MAX).map(str::to_owned);
    if found.is_none() {
        entry.wrong(&format!("a text of at most {PREFIX_BYTES_MAX} bytes"));
    }
    found
}

fn word<T: Copy>(entry: &Entry<'_>, words: &[(&str, T)]) -> Option<T> {
    let found = words.iter().find(|(word, _)| entry.text() == Some(word)).map(|(_, read)| *read);
    if found.is_none() {
        entry.wrong(&words.iter().map(|(word, _)| quote(word)).collect::<Vec<_>>().join(" or "));
    }
    found
}

pub(super) fn text(entry: &Entry<'_>) -> Option<String> {
    let found = entry.text().filter(|text| !text.is_empty());
    if found.is_none() {
        entry.wrong("a non-empty text");
    }
    found.map(str::to_owned)
}

/// Relative paths count from `dir`.
pub(super) fn within(dir: &Path, embedders: &mut Embedders) {
    for embedder in embedders.named.values_mut() {
        if let EmbedderConfig::Local { path, .. } | EmbedderConfig::Static { path } = embedder {
            *path = dir.join(&*path);
        }
    }
}

pub(super) fn print(printer: &mut Printer, embedders: &Embedders) {
    printer.entry("embedder", &quote(&embedders.embedder));
    if !embedders.named.is_empty() {
        printer.table("embedders", |printer| {
            for (name, embedder) in &embedders.named {
                printer.named(name, |printer| print_one(printer, embedder));
            }
        });
    }
    if !embedders.namespaces.is_empty() {
        printer.table("namespaces", |printer| {
            for (name, embedder) in &embedders.namespaces {
                printer.named(name, |printer| printer.entry("embedder", &quote(embedder)));
            }
        });
    }
}

fn print_one(printer: &mut Printer, embedder: &EmbedderConfig) {
    let path = |printer: &mut Printer, kind: &str, path: &Path| {
        printer.entry("kind", &quote(kind));
        printer.entry("path", &quote(&path.to_string_lossy()));
    };
    match embedder {
        EmbedderConfig::Local { path: folder, settings } => {
            path(printer, "local", folder);
            if let Some((word, _)) = POOLINGS.iter().find(|(_, pooling)| Some(*pooling) == settings.pooling) {
                printer.entry("pooling", &quote(word));
            }
            for (key, value) in [("query_prefix", &settings.query_prefix), ("document_prefix", &settings.document_prefix)] {
                if let Some(value) = value {
                    printer.entry(key, &quote(value));
                }
            }
            if let Some(tokens) = settings.max_tokens {
                printer.entry("max_tokens", &tokens.to_string());
            }
        }
        EmbedderConfig::Static { path: folder } => path(printer, "static", folder),
        EmbedderConfig::Remote(model) => {
            printer.entry("kind", &quote("remote"));
            printer.entry("provider", &quote(&model.provider));
            printer.entry("model", &quote(&model.model));
            if let Some(name) = &model.secret_key_name {
                printer.entry("secret_key_name", &quote(name));
            }
            if let Some(dimensions) = model.dimensions {
                printer.entry("dimensions", &dimensions.to_string());
            }
            printer.entry("timeout_seconds", &model.time.as_secs().to_string());
        }
    }
}
