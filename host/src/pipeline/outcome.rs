//! What goes into a run beside the exchange, and what comes out of it: the client's switches, and the reply with what its headers tell.
//! A switch that the client did not send leaves the pipeline's own setting in force.

use std::sync::Arc;

use crate::chat::Reply;

/// What a client switched for one request; none leaves the pipeline's own setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toggles {
    pub rag: Option<bool>,
    pub pre_hook: Option<bool>,
    pub post_hook: Option<bool>,
}

/// How an exchange ended well, and what the reply's headers tell of it.
pub struct Outcome {
    pub reply: Reply,
    /// Provider and model that answered; none if a hook answered.
    pub answered_by: Option<(String, String)>,
    /// Tries at providers.
    pub attempts: u32,
    /// Plugins passed over under `on_failure = "skip"`.
    pub skipped: Vec<Arc<str>>,
}
