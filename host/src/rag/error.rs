//! What can go wrong with knowledge: one variant for each thing that a caller can do about it.

/// Why a document was not taken or a query not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not of a kind that we read.
    #[error("`{name}` is {what}; PDF, DOCX, PPTX, XLSX, Markdown, HTML, text, CSV, JSON and JSON Lines can be read")]
    Unsupported { name: String, what: String },
    /// It is of such a kind, but it is broken, or nothing can be made of it.
    #[error("`{name}` cannot be read: {why}")]
    Unreadable { name: String, why: String },
    #[error("`{name}` is encrypted; upload it without its password")]
    Encrypted { name: String },
    /// It has pages that show something, and none has text.
    #[error("`{name}` has no text on its {pages} pages, which are pictures or scans; run it through text recognition (OCR) first")]
    Scanned { name: String, pages: u32 },
    /// The document holds no text.
    #[error("`{name}` holds no text")]
    Empty { name: String },
    /// A limit would be passed; nothing was stored.
    #[error("{what} is over the limit of {limit} (`{key}`)")]
    TooLarge { what: String, limit: usize, key: &'static str },
    /// Too many documents and queries wait already, or too many of this client's.
    #[error("the embedder's queue is full, or your share of it is (`limits.rag.queue`); try again shortly")]
    Busy,
    /// The machine did not let a document be read; another try may succeed.
    #[error("{0}")]
    Extractor(String),
    #[error("the embedder failed: {0}")]
    Embed(String),
    /// Nothing was changed.
    #[error("the disk with the server's data is full, so nothing was changed; make room on it and try again")]
    DiskFull,
    #[error("the knowledge store failed: {0}")]
    Store(String),
    #[error("the vector index failed: {0}")]
    Index(String),
}
