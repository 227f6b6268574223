//! What a reply is called: id, time and model of its first chunk, which every later one must have too.
//! They are taken once and never change after.

use serde_json::value::RawValue;

use super::shape::{Chunk, Raw, filled};
use super::splice::Splice;
use crate::chat::Name;
use crate::chat::codec::json_string;

/// Bytes of a reply's id and of its model's name, as JSON texts: every chunk has them.
pub(super) const HEAD_BYTES_MAX: usize = 1 << 10;

const OBJECT: &str = "\"chat.completion.chunk\"";

/// What every chunk begins with, as JSON texts.
pub(super) struct Head {
    id: String,
    created: String,
    model: String,
}

impl Head {
    /// The provider's names as far as they are any; what is missing is ours.
    pub(super) fn of(name: &Name, chunk: &Chunk<'_>) -> Self {
        let ours = Self::ours(name);
        let text = |raw: Raw<'_>, ours: String| match filled(raw).map(RawValue::get) {
            Some(theirs) if theirs.len() <= HEAD_BYTES_MAX => theirs.to_owned(),
            _ => ours,
        };
        let created = chunk.created.and_then(seconds).unwrap_or(ours.created);
        Self { id: text(chunk.id, ours.id), created, model: text(chunk.model, ours.model) }
    }

    pub(super) fn ours(name: &Name) -> Self {
        let [id, model] = [&name.id, &name.model].map(|text| json_string(text).get().to_owned());
        Self { id, created: name.created.to_string(), model }
    }

    /// As the first fields of a chunk, without the brace.
    pub(super) fn fields(&self) -> String {
        let Self { id, created, model } = self;
        format!("\"id\":{id},\"object\":{OBJECT},\"created\":{created},\"model\":{model}")
    }

    /// Gives a chunk that goes out these names.
    pub(super) fn rename<'a>(&self, chunk: &Chunk<'a>, splice: &mut Splice<'a>) {
        let fields = [
            ("id", chunk.id, self.id.as_str()),
            ("object", chunk.object, OBJECT),
            ("created", chunk.created, &self.created),
            ("model", chunk.model, &self.model),
        ];
        for (name, found, wanted) in fields {
            match found {
                Some(found) if found.get() == wanted => {}
                Some(found) => splice.replace(found, wanted.to_owned()),
                None => splice.first_of_all(format!("\"{name}\":{wanted},")),
            }
        }
    }
}

/// A time as a whole number of seconds, as the API has it; some servers write fractions, or 0 for none.
fn seconds(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 1.0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1, and a cast saturates")]
    let whole = seconds as u64;
    Some(if text.parse::<u64>().is_ok() { text.to_owned() } else { whole.to_string() })
}
