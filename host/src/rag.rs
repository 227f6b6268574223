//! Knowledge: documents cut into chunks, embedded, kept in SQLite, found again by similarity.
//! SQLite is the truth; the vector index is derived from it. Must not know pipelines, HTTP or plugins.

mod error;

pub use error::Error;

/// Limits of the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one document's text.
    pub document_bytes: usize,
    pub chunks_per_document: usize,
    pub chunks_per_namespace: usize,
    /// The most hits that a pipeline may ask for.
    pub top_k: usize,
    /// Bytes of a query that are embedded; the embedder reads 128 tokens anyway.
    pub query_bytes: usize,
    /// Documents and queries that may wait for the embedder.
    pub queue: usize,
    /// Threads that embed.
    pub embed_threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 8 << 20,
            chunks_per_document: 20_000,
            chunks_per_namespace: 200_000,
            top_k: 50,
            query_bytes: 8 << 10,
            queue: 64,
            embed_threads: 2,
        }
    }
}
