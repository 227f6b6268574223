//! A pipeline's definition, where definitions are kept, and the walk through the stages.
//! Must not know HTTP; it hands plain values to `http` and calls `stages` in order.

pub mod catalog;
pub mod definition;
pub mod embed;
pub mod run;
pub mod session;

use std::sync::Arc;

use crate::chat::Reply;

pub use catalog::{Catalog, Put, PutError};
pub use definition::{Definition, Problem};
pub use embed::EmbeddingModel;
pub use run::Runner;
pub use session::Session;

pub use crate::stages::Error;

/// A definition under its id.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub id: Arc<str>,
    pub definition: Definition,
    pub origin: Origin,
}

/// Where a pipeline was defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `cofferdam.toml`, or built in: read-only through the API.
    File,
    /// `PUT /api/v1/gateway/apis/{id}/pipeline`, kept in SQLite.
    Api,
}

/// What a client switched for one request; none leaves the pipeline's own setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toggles {
    pub rag: Option<bool>,
    pub pre_hook: Option<bool>,
    pub post_hook: Option<bool>,
}

/// How an exchange ended well, and what the reply's headers say of the way.
pub struct Outcome {
    pub reply: Reply,
    /// Provider and model that answered; none where a hook answered.
    pub answered_by: Option<(String, String)>,
    /// Tries at providers.
    pub attempts: u32,
    /// Plugins passed over under `on_failure = "skip"`.
    pub skipped: Vec<Arc<str>>,
}
