//! What can go wrong with knowledge: one variant for each thing that a caller can do about it.

/// Why a document was not taken or a query not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file's name or type is not one we read.
    #[error("`{name}` is of a kind that cannot be read; upload .txt or .md files in UTF-8")]
    Unsupported { name: String },
    /// The document holds no text.
    #[error("`{name}` holds no text")]
    Empty { name: String },
    /// A limit would be passed; nothing was stored.
    #[error("{what} is over the limit of {limit} (`{key}`)")]
    TooLarge { what: String, limit: usize, key: &'static str },
    /// Too many documents and queries wait already, or too many of this client's.
    #[error("the embedder's queue is full, or your share of it is (`limits.rag.queue`); try again shortly")]
    Busy,
    #[error("the embedder failed: {0}")]
    Embed(String),
    #[error("the knowledge store failed: {0}")]
    Store(String),
    #[error("the vector index failed: {0}")]
    Index(String),
}
