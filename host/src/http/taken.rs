//! What became of the files of an upload, as answers tell it: at once, or of a job that goes on after its answer.
//! Invariant: a file is a document, or it is refused as it would have been had it come alone.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::respond::error_response::ErrorDetail;

/// A file that is a document now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct StoredDocument {
    pub(super) id: String,
    /// `document`
    pub(super) object: &'static str,
    pub(super) name: String,
    pub(super) chunks: usize,
    /// Of its text.
    pub(super) bytes: usize,
    /// Whether a document of the same name was there and is gone.
    pub(super) replaced: bool,
    /// Whether a document of the same name and content was there and is so still, with this id; what is said of it is as this upload says.
    pub(super) unchanged: bool,
}

/// A file that is none.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct RefusedFile {
    pub(super) name: String,
    /// The answer's, had the file come alone.
    pub(super) status: u16,
    /// As in the answer to a request that fails.
    #[schemars(with = "ErrorDetail<'static>")]
    pub(super) error: Value,
}
