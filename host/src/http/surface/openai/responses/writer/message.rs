//! A message as it grows: parts of text and of refusal. One part is open at a time.

use serde::Serialize;

use crate::chat::Json;
use crate::chat::codec::raw_json;
use crate::http::surface::openai::responses::emitter::{Emitter, InItem, Place};
use crate::http::surface::openai::responses::item::{Item, Logprob, Part};

#[derive(Debug)]
pub(super) struct Message {
    pub(super) at: usize,
    id: String,
    parts: Vec<Json>,
    open: Option<Growing>,
}

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Refusal,
}

#[derive(Debug)]
struct Growing {
    kind: Kind,
    text: String,
    annotations: Vec<Json>,
    logprobs: Vec<Logprob>,
}

#[derive(Serialize)]
struct Added<'a> {
    output_index: usize,
    item: Item<'a>,
}

#[derive(Serialize)]
struct InContent<T> {
    content_index: usize,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct PartOf<'a> {
    part: &'a Json,
}

#[derive(Serialize)]
struct Annotation<'a> {
    annotation_index: usize,
    annotation: &'a Json,
}

#[derive(Serialize)]
struct TextDelta<'a> {
    delta: &'a str,
    logprobs: Vec<Likely<'a>>,
}

#[derive(Serialize)]
struct TextDone<'a> {
    text: &'a str,
    logprobs: Vec<Likely<'a>>,
}

#[derive(Serialize)]
struct RefusalDelta<'a> {
    delta: &'a str,
}

#[derive(Serialize)]
struct RefusalDone<'a> {
    refusal: &'a str,
}

/// A token's probability as events have it, without bytes.
#[derive(Serialize)]
struct Likely<'a> {
    token: &'a str,
    logprob: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<Vec<Likely<'a>>>,
}

impl Message {
    pub(super) fn open(at: usize, id: String, emitter: &mut Emitter) -> Self {
        emitter.emit("response.output_item.added", &Added { output_index: at, item: Item::message(&id, "in_progress", &[]) });
        Self { at, id, parts: Vec::new(), open: None }
    }

    /// Makes sure that the open part is of that kind; true if it is a new one.
    pub(super) fn begin(&mut self, kind: Kind, emitter: &mut Emitter) -> bool {
        if self.open.as_ref().is_some_and(|open| open.kind == kind) {
            return false;
        }
        self.end_part(emitter);
        let growing = Growing { kind, text: String::new(), annotations: Vec::new(), logprobs: Vec::new() };
        emitter.emit("response.content_part.added", &self.place(PartOf { part: &growing.part() }));
        self.open = Some(growing);
        true
    }

    /// More of the open part.
    pub(super) fn grow(&mut self, more: &str, logprobs: Vec<Logprob>, emitter: &mut Emitter) {
        let Some(mut open) = self.open.take() else { return };
        if !more.is_empty() {
            match open.kind {
                Kind::Text => {
                    let delta = TextDelta { delta: more, logprobs: likely(&logprobs) };
                    emitter.emit("response.output_text.delta", &self.place(delta));
                }
                Kind::Refusal => emitter.emit("response.refusal.delta", &self.place(RefusalDelta { delta: more })),
            }
        }
        open.text.push_str(more);
        open.logprobs.extend(logprobs);
        self.open = Some(open);
    }

    /// Probabilities of text that is there already.
    pub(super) fn add_logprobs(&mut self, logprobs: Vec<Logprob>) {
        if let Some(open) = self.open.as_mut().filter(|open| open.kind == Kind::Text) {
            open.logprobs.extend(logprobs);
        }
    }

    pub(super) fn annotate(&mut self, annotations: Vec<Json>, emitter: &mut Emitter) {
        let Some(mut open) = self.open.take() else { return };
        for annotation in annotations {
            let added = Annotation { annotation_index: open.annotations.len(), annotation: &annotation };
            emitter.emit("response.output_text.annotation.added", &self.place(added));
            open.annotations.push(annotation);
        }
        self.open = Some(open);
    }

    pub(super) fn close(mut self, status: &'static str, emitter: &mut Emitter) -> Json {
        self.end_part(emitter);
        self.item(status)
    }

    pub(super) fn item(mut self, status: &'static str) -> Json {
        self.parts.extend(self.open.take().map(|open| open.part()));
        raw_json(&Item::message(&self.id, status, &self.parts))
    }

    fn end_part(&mut self, emitter: &mut Emitter) {
        let Some(open) = self.open.take() else { return };
        match open.kind {
            Kind::Text => {
                let done = TextDone { text: &open.text, logprobs: likely(&open.logprobs) };
                emitter.emit("response.output_text.done", &self.place(done));
            }
            Kind::Refusal => emitter.emit("response.refusal.done", &self.place(RefusalDone { refusal: &open.text })),
        }
        let part = open.part();
        emitter.emit("response.content_part.done", &self.place(PartOf { part: &part }));
        self.parts.push(part);
    }

    fn place<T>(&self, body: T) -> InItem<'_, InContent<T>> {
        let place = Place { item_id: &self.id, output_index: self.at };
        InItem { place, body: InContent { content_index: self.parts.len(), body } }
    }
}

impl Growing {
    fn part(&self) -> Json {
        raw_json(&match self.kind {
            Kind::Text => Part::OutputText { text: &self.text, annotations: &self.annotations, logprobs: &self.logprobs },
            Kind::Refusal => Part::Refusal { refusal: &self.text },
        })
    }
}

fn likely(logprobs: &[Logprob]) -> Vec<Likely<'_>> {
    let mut likely = Vec::with_capacity(logprobs.len());
    for Logprob { token, logprob, top_logprobs, .. } in logprobs {
        let top = top_logprobs.iter().map(|top| Likely { token: &top.token, logprob: top.logprob, top_logprobs: None });
        likely.push(Likely { token, logprob: *logprob, top_logprobs: Some(top.collect()) });
    }
    likely
}
