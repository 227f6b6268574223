//! A call as it grows: of a function, of a custom tool or of the client's shell. Its text comes piece by piece and is whole in its last event; a
//! call of the shell has no pieces and comes with its last event only.

use serde::Serialize;

use crate::chat::Json;
use crate::chat::codec::raw_json;
use crate::http::surface::openai::responses::called::{Called, Parts};
use crate::http::surface::openai::responses::emitter::{Emitter, InItem, Place};
use crate::http::surface::openai::responses::item::Item;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) at: usize,
    id: String,
    /// Its number among the calls, if the provider gives one.
    pub(super) index: Option<u64>,
    pub(super) call_id: String,
    called: Called,
    extra_content: Option<Json>,
    /// Its arguments, or the input of a custom tool.
    text: String,
}

/// What a call is opened with.
pub(super) struct Opening {
    pub(super) at: usize,
    pub(super) id: String,
    pub(super) index: Option<u64>,
    pub(super) call_id: String,
    pub(super) called: Called,
    pub(super) extra_content: Option<Json>,
}

#[derive(Serialize)]
struct Added<'a> {
    output_index: usize,
    item: Item<'a>,
}

#[derive(Serialize)]
struct Delta<'a> {
    delta: &'a str,
}

#[derive(Serialize)]
struct ArgumentsDone<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct InputDone<'a> {
    input: &'a str,
}

impl Call {
    pub(super) fn open(opening: Opening, emitter: &mut Emitter) -> Self {
        let Opening { at, id, index, call_id, called, extra_content } = opening;
        let call = Self { at, id, index, call_id, called, extra_content, text: String::new() };
        let item = call.called.item(call.parts("in_progress"));
        emitter.emit("response.output_item.added", &Added { output_index: at, item });
        call
    }

    /// What its provider wants back with it.
    pub(super) fn keep(&mut self, extra_content: &Json) {
        self.extra_content = Some(extra_content.clone());
    }

    pub(super) fn grow(&mut self, more: &str, emitter: &mut Emitter) {
        if more.is_empty() {
            return;
        }
        match self.called {
            Called::Function { .. } => emitter.emit("response.function_call_arguments.delta", &self.place(Delta { delta: more })),
            Called::Custom { .. } => emitter.emit("response.custom_tool_call_input.delta", &self.place(Delta { delta: more })),
            Called::LocalShell => {}
        }
        self.text.push_str(more);
    }

    pub(super) fn close(&self, status: &'static str, emitter: &mut Emitter) -> Json {
        match &self.called {
            Called::Function { name, .. } => {
                let done = ArgumentsDone { name, arguments: &self.text };
                emitter.emit("response.function_call_arguments.done", &self.place(done));
            }
            Called::Custom { .. } => {
                emitter.emit("response.custom_tool_call_input.done", &self.place(InputDone { input: &self.text }));
            }
            Called::LocalShell => {}
        }
        self.item(status)
    }

    pub(super) fn item(&self, status: &'static str) -> Json {
        raw_json(&self.called.item(self.parts(status)))
    }

    fn parts(&self, status: &'static str) -> Parts<'_> {
        let Self { id, call_id, text, extra_content, .. } = self;
        Parts { id, status, call_id, text, extra_content: extra_content.as_deref() }
    }

    fn place<T>(&self, body: T) -> InItem<'_, T> {
        InItem { place: Place { item_id: &self.id, output_index: self.at }, body }
    }
}
