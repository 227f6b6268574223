//! `[[embeddings]]`: the names under which clients get vectors. There is always at least one: the embedder inside this program, if the file
//! names none.

use std::collections::BTreeMap;

use super::json::quote;
use super::print::Printer;
use super::providers;
use super::section::{Entry, Section};
use crate::chat::is_name;
use crate::llm::{ProviderConfig, Target};
use crate::pipeline::EmbeddingModel;

/// Names in one file.
const MODELS_MAX: usize = 100;

/// The embedder inside this program.
pub(super) fn default() -> EmbeddingModel {
    let target = Target { provider: "builtin".into(), model: "minilm".into(), secret_key_name: None, on_status: None };
    EmbeddingModel { id: "minilm".into(), target }
}

/// The names in the file, in their order.
pub(super) fn read(section: &mut Section<'_>, known: &BTreeMap<String, ProviderConfig>) -> Vec<EmbeddingModel> {
    let mut models: Vec<EmbeddingModel> = Vec::new();
    for (at, entry) in section.take("embeddings").map(Entry::list).unwrap_or_default().into_iter().enumerate() {
        if at == MODELS_MAX {
            entry.problem(format!("there can be at most {MODELS_MAX}"));
            break;
        }
        entry.table(|section| {
            let id = section.need("id", "the name that clients send as `model`").and_then(|entry| id(&entry, &models));
            let provider = section.need("provider", "who computes the vectors").and_then(|entry| provider(&entry, known));
            let model = section.need("model", "the provider's own name for the model").and_then(|entry| text(&entry));
            let secret_key_name = section.take("secret_key_name").and_then(|entry| text(&entry));
            if let (Some(id), Some(provider), Some(model)) = (id, provider, model) {
                let target = Target { provider, model, secret_key_name, on_status: None };
                models.push(EmbeddingModel { id: id.into(), target });
            }
        });
    }
    models
}

pub(super) fn print(printer: &mut Printer, models: &[EmbeddingModel]) {
    for EmbeddingModel { id, target } in models {
        printer.line("\n[[embeddings]]");
        printer.entry("id", &quote(id));
        printer.entry("provider", &quote(&target.provider));
        printer.entry("model", &quote(&target.model));
        if let Some(name) = &target.secret_key_name {
            printer.entry("secret_key_name", &quote(name));
        }
    }
}

fn id(entry: &Entry<'_>, before: &[EmbeddingModel]) -> Option<String> {
    let Some(id) = entry.text().filter(|id| is_name(id)) else {
        entry.wrong("1 to 64 letters, digits, `-`, `_` or `.`");
        return None;
    };
    if before.iter().any(|model| &*model.id == id) {
        entry.problem(format!("the id {id:?} stands twice"));
    }
    Some(id.to_owned())
}

fn provider(entry: &Entry<'_>, known: &BTreeMap<String, ProviderConfig>) -> Option<String> {
    let name = text(entry)?;
    if let Some(why) = providers::unknown(&name, known) {
        entry.problem(why);
    }
    Some(name)
}

fn text(entry: &Entry<'_>) -> Option<String> {
    let found = entry.text().filter(|text| !text.is_empty());
    if found.is_none() {
        entry.wrong("a non-empty text");
    }
    found.map(str::to_owned)
}
