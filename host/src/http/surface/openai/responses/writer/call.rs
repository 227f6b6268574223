//! A function call as it grows. Its arguments come piece by piece and are whole in its last event.

use serde::Serialize;

use crate::chat::Json;
use crate::chat::codec::raw_json;
use crate::http::surface::openai::responses::emitter::{Emitter, InItem, Place};
use crate::http::surface::openai::responses::item::Item;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) at: usize,
    id: String,
    /// Its number among the calls, if the provider gives one.
    pub(super) index: Option<u64>,
    pub(super) call_id: String,
    name: String,
    arguments: String,
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
struct Done<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl Call {
    pub(super) fn open(at: usize, id: String, index: Option<u64>, call_id: String, name: String, emitter: &mut Emitter) -> Self {
        let item = Item::FunctionCall { id: &id, status: "in_progress", call_id: &call_id, name: &name, arguments: "" };
        emitter.emit("response.output_item.added", &Added { output_index: at, item });
        Self { at, id, index, call_id, name, arguments: String::new() }
    }

    pub(super) fn grow(&mut self, more: &str, emitter: &mut Emitter) {
        if !more.is_empty() {
            emitter.emit("response.function_call_arguments.delta", &self.place(Delta { delta: more }));
            self.arguments.push_str(more);
        }
    }

    pub(super) fn close(&self, status: &'static str, emitter: &mut Emitter) -> Json {
        let done = Done { name: &self.name, arguments: &self.arguments };
        emitter.emit("response.function_call_arguments.done", &self.place(done));
        self.item(status)
    }

    pub(super) fn item(&self, status: &'static str) -> Json {
        let Self { id, call_id, name, arguments, .. } = self;
        raw_json(&Item::FunctionCall { id, status, call_id, name, arguments })
    }

    fn place<T>(&self, body: T) -> InItem<'_, T> {
        InItem { place: Place { item_id: &self.id, output_index: self.at }, body }
    }
}
