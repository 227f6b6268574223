//! The values of the room: a document on its way in, a query, and what was found. Every one of them belongs to exactly one namespace.

use super::PageStart;
use crate::chat::{Client, Hit};

/// Where a document belongs. What is in one namespace is never found from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    /// The pipeline's id.
    pub api: String,
    /// The name in the pipeline's `rag` stage.
    pub name: String,
}

/// How a document is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Markdown,
}

/// A document to be added.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its name in the namespace; one of the same name is replaced.
    pub name: String,
    pub kind: Kind,
    pub text: String,
    /// As the document says itself.
    pub title: Option<String>,
    /// By offset; empty if it has none.
    pub pages: Vec<PageStart>,
}

/// Proof that a document is stored and that every search finds it from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// New with every `add`, even if a document is replaced.
    pub document_id: String,
    pub chunks: usize,
    /// Bytes of its text.
    pub bytes: usize,
    /// There was a document of the same name, and it is gone.
    pub replaced: bool,
}

/// What to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub text: String,
    /// The most hits wanted; capped by `Limits::top_k`.
    pub top_k: usize,
    /// The least score of a hit: cosine similarity, -1 to 1.
    pub score_threshold: f32,
    /// Whose share of the queue it waits in.
    pub client: Client,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Best first; chunks of equal score in the order in which they were added.
    pub hits: Vec<Hit>,
    /// The best score in the namespace, even if it is under the threshold, so that one sees how far off the threshold is.
    /// None if the namespace or the query is empty.
    pub best_score: Option<f32>,
    /// The most hits that could have been found: the query's number, capped by `Limits::top_k`.
    pub top_k: usize,
}
