//! What `/openapi.json` says of a route, beside what its row says already.
//! Each schema comes from a type by `schemars`, so that what is sent and what the document says of it use the same names.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// What a route takes and gives.
pub(super) struct Operation {
    /// One line, for lists.
    pub(super) summary: &'static str,
    pub(super) body: Option<RequestBody>,
    pub(super) parameters: &'static [Parameter],
    /// Those that are not errors in the surface's form.
    pub(super) answers: &'static [Answer],
}

pub(super) enum RequestBody {
    Json(SchemaOf),
    Multipart(SchemaOf),
    /// A form with one file, or the file alone, of that media type.
    File(SchemaOf, &'static str),
}

/// A value beside the body.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// `query` or `header`; the route has what is in the path.
    pub(super) location: &'static str,
    pub(super) description: &'static str,
}

pub(super) struct Answer {
    /// Of three digits, or 4 or 5 for all of that class that say more than an error in the surface's form does.
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) contents: &'static [Media],
}

/// A form in which an answer may come.
pub(super) enum Media {
    Json(SchemaOf),
    /// Server-sent events, each with JSON of that schema, but for a last `[DONE]`.
    Events(SchemaOf),
    /// Of that media type, as text.
    Text(&'static str),
}

/// Makes the schema of a type, which then stands among the document's components.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
