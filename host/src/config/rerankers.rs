//! `[rag.rerankers.NAME]`: models at providers that pipelines may have their hits ranked by. A provider that has none is refused here, so that no search
//! finds out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::embedders::{number, secret, text};
use super::json::quote;
use super::print::Printer;
use super::providers;
use super::section::{Entry, Section};
use super::walk::Walk as _;
use crate::chat::is_name;
use crate::llm::{Kind, ProviderConfig};
use crate::rag::RerankModel;

/// Hits that are handed over, if the file does not say: four chats' worth, which such models read in some hundred milliseconds.
const CANDIDATES: usize = 20;
/// As many as vendors take for one price.
const CANDIDATES_MAX: u64 = 100;
/// Seconds that a ranking may take, if the file does not say, and at most: a chat waits for it.
const TIME: u64 = 5;
const TIME_MAX: u64 = 60;

/// The table, by name.
pub(super) type Rerankers = BTreeMap<String, RerankModel>;

pub(super) fn read(section: &mut Section<'_>, rerankers: &mut Rerankers, known: &BTreeMap<String, ProviderConfig>) {
    let Some(entry) = section.take("rerankers") else { return };
    entry.table(|section| {
        for (name, entry) in section.rest() {
            if !is_name(&name) {
                entry.problem("a reranker's name must be 1 to 64 letters, digits, `-`, `_` or `.`");
            }
            entry.table(|section| rerankers.extend(read_one(section, known).map(|model| (name, model))));
        }
    });
}

fn read_one(section: &mut Section<'_>, known: &BTreeMap<String, ProviderConfig>) -> Option<RerankModel> {
    let provider = section.need("provider", "who ranks").and_then(|entry| provider(&entry, known));
    let model = section.need("model", "the provider's own name for the model").and_then(|entry| text(&entry));
    let secret_key_name = section.take("secret_key_name").and_then(|entry| secret(&entry));
    let candidates = section.take("candidates").and_then(|entry| number(&entry, 2, CANDIDATES_MAX)).unwrap_or(CANDIDATES);
    let seconds = section.take("timeout_seconds").and_then(|entry| number(&entry, 1, TIME_MAX));
    let time = Duration::from_secs(seconds.map_or(TIME, |seconds| seconds as u64));
    Some(RerankModel { provider: provider?, model: model?, secret_key_name, candidates, time })
}

fn provider(entry: &Entry<'_>, known: &BTreeMap<String, ProviderConfig>) -> Option<String> {
    let name = text(entry)?;
    if let Some(why) = providers::unknown(&name, known) {
        entry.problem(why);
    } else if known.get(&name).is_none_or(|provider| provider.kind() != Kind::OpenAi) {
        entry.problem("ranks no documents: `POST /rerank` is asked of providers of the kind \"openai\" alone");
    }
    Some(name)
}

/// What is wrong with the name of a reranker; none if it is known.
pub(super) fn unknown(name: &str, rerankers: &Rerankers) -> Option<String> {
    (!rerankers.contains_key(name)).then(|| format!("there is no reranker {name:?} in `[rag.rerankers]`"))
}

pub(super) fn print(printer: &mut Printer, rerankers: &Rerankers) {
    if rerankers.is_empty() {
        return;
    }
    printer.table("rerankers", |printer| {
        for (name, RerankModel { provider, model, secret_key_name, candidates, time }) in rerankers {
            printer.named(name, |printer| {
                printer.entry("provider", &quote(provider));
                printer.entry("model", &quote(model));
                if let Some(name) = secret_key_name {
                    printer.entry("secret_key_name", &quote(name));
                }
                printer.entry("candidates", &candidates.to_string());
                printer.entry("timeout_seconds", &time.as_secs().to_string());
            });
        }
    });
}
