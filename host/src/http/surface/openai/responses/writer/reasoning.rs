//! A reasoning item as it grows: a summary of one part, and what the provider signed. Its events close whatever they opened.

use serde::Serialize;

use crate::chat::Json;
use crate::chat::codec::raw_json;
use crate::http::surface::openai::responses::emitter::{Emitter, InItem, Place};
use crate::http::surface::openai::responses::item::{Item, Part};
use crate::http::surface::openai::responses::kept::{Growing, Kept};
use crate::http::surface::openai::responses::request::Include;

#[derive(Debug)]
pub(super) struct Reasoning {
    pub(super) at: usize,
    id: String,
    text: Option<String>,
    kept: Growing,
}

#[derive(Serialize)]
struct Added<'a> {
    output_index: usize,
    item: Item<'a>,
}

#[derive(Serialize)]
struct InSummary<T> {
    summary_index: usize,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct PartOf<'a> {
    part: Part<'a>,
}

#[derive(Serialize)]
struct Delta<'a> {
    delta: &'a str,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

impl Reasoning {
    pub(super) fn open(at: usize, id: String, emitter: &mut Emitter) -> Self {
        let item = Item::Reasoning { id: &id, summary: &[], encrypted_content: None, status: Some("in_progress") };
        emitter.emit("response.output_item.added", &Added { output_index: at, item });
        Self { at, id, text: None, kept: Growing::default() }
    }

    pub(super) fn grow(&mut self, more: &str, emitter: &mut Emitter) {
        if self.text.is_none() {
            emitter.emit("response.reasoning_summary_part.added", &self.place(PartOf { part: Part::SummaryText { text: "" } }));
        }
        emitter.emit("response.reasoning_summary_text.delta", &self.place(Delta { delta: more }));
        self.text.get_or_insert_default().push_str(more);
    }

    pub(super) fn keep(&mut self, kept: Kept) {
        self.kept.add(kept);
    }

    pub(super) fn close(self, status: &'static str, include: Include, emitter: &mut Emitter) -> Json {
        if let Some(text) = &self.text {
            emitter.emit("response.reasoning_summary_text.done", &self.place(Text { text }));
            emitter.emit("response.reasoning_summary_part.done", &self.place(PartOf { part: Part::SummaryText { text } }));
        }
        self.item(status, include)
    }

    pub(super) fn item(self, status: &'static str, include: Include) -> Json {
        let sealed = (include.encrypted && !self.kept.is_empty()).then(|| self.kept.done().seal());
        let summary: Vec<Part<'_>> = self.text.iter().map(|text| Part::SummaryText { text }).collect();
        raw_json(&Item::Reasoning { id: &self.id, summary: &summary, encrypted_content: sealed.as_deref(), status: Some(status) })
    }

    fn place<T>(&self, body: T) -> InItem<'_, InSummary<T>> {
        let place = Place { item_id: &self.id, output_index: self.at };
        InItem { place, body: InSummary { summary_index: 0, body } }
    }
}
