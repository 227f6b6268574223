//! `[[pipelines]]`: the same definitions that the API takes as JSON, written in TOML; and the one that exists if the file has none.
//! `pipeline::Definition` reads the stages of both, so a definition is valid in the file if and only if the API would take it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::json::{quote, to_toml};
use super::print::Printer;
use super::providers;
use super::rerankers::{self, Rerankers};
use super::section::{Entry, Section};
use crate::chat::is_name;
use crate::llm::ProviderConfig;
use crate::pipeline::{Definition, Origin, Pipeline};

/// The pipeline of a server without any in its file. It quotes from its knowledge and needs no network.
pub(super) fn default() -> Pipeline {
    // Keys in the order of the alphabet, as the file's are once they are read: the effective configuration reads back to the same.
    let definition = json!([
        {"config": {"namespace": "default", "top_k": 5}, "stage": "rag"},
        {"config": {"primary": {"model": "extractive", "provider": "builtin"}}, "stage": "llm"},
    ]);
    let definition = Definition::parse(&definition).expect("the built-in definition is checked by a test");
    Pipeline { id: "default".into(), definition, origin: Origin::File }
}

/// The file's pipelines; empty if it has none.
pub(super) fn read(section: &mut Section<'_>, known: &BTreeMap<String, ProviderConfig>, rerankers: &Rerankers) -> Vec<Pipeline> {
    let mut pipelines: Vec<Pipeline> = Vec::new();
    for entry in section.take("pipelines").map(Entry::list).unwrap_or_default() {
        entry.table(|section| {
            let id = section.need("id", "the name that clients send as `model`").and_then(|entry| id(&entry, &pipelines));
            let Some(stages) = section.need("pipeline", "the list of stages") else { return };
            if let (Some(definition), Some(id)) = (definition(&stages, known, rerankers), id) {
                pipelines.push(Pipeline { id: id.into(), definition, origin: Origin::File });
            }
        });
    }
    pipelines
}

pub(super) fn print(printer: &mut Printer, pipelines: &[Pipeline]) {
    for pipeline in pipelines {
        printer.line("\n[[pipelines]]");
        printer.entry("id", &quote(&pipeline.id));
        printer.line("pipeline = [");
        for stage in stages(pipeline.definition.source()) {
            printer.line(&format!("  {},", to_toml(stage)));
        }
        printer.line("]");
    }
}

fn id(entry: &Entry<'_>, before: &[Pipeline]) -> Option<String> {
    let Some(id) = entry.text().filter(|id| is_name(id)) else {
        entry.wrong("1 to 64 letters, digits, `-`, `_` or `.`");
        return None;
    };
    if before.iter().any(|pipeline| &*pipeline.id == id) {
        entry.problem(format!("the id {id:?} stands twice"));
    }
    Some(id.to_owned())
}

fn definition(stages: &Entry<'_>, known: &BTreeMap<String, ProviderConfig>, rerankers: &Rerankers) -> Option<Definition> {
    let source = stages.json()?;
    // Paths in its problems begin with `pipeline`, so the path of the table that holds `pipeline` goes before them.
    let outer = stages.path().strip_suffix("pipeline").unwrap_or_default();
    let definition = Definition::parse(&json!({"pipeline": source}))
        .map_err(|problems| {
            for problem in problems {
                stages.problem_at(&format!("{outer}{}", problem.path), problem.message);
            }
        })
        .ok()?;
    let place = |kind: &str| self::stages(definition.source()).iter().position(|stage| stage["stage"] == kind).unwrap_or_default();
    if let Some(why) = definition.rag.as_ref().and_then(|rag| rerankers::unknown(rag.rerank.as_deref()?, rerankers)) {
        stages.problem_at(&format!("{}[{}].config.rerank", stages.path(), place("rag")), why);
    }
    let at = place("llm");
    for (key, target) in definition.llm.keys() {
        if let Some(why) = providers::unknown(&target.provider, known) {
            stages.problem_at(&format!("{}[{at}].config.{key}.provider", stages.path()), why);
        }
    }
    Some(definition)
}

fn stages(source: &Value) -> &[Value] {
    source["pipeline"].as_array().map_or(&[], Vec::as_slice)
}
