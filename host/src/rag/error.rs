//! What can go wrong with knowledge: one variant for each thing that a caller can do about it. What the operator can mend names the remedy.

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
    /// The vectors of a namespace are of an embedder that is not there any more.
    #[error(
        "the vectors of the namespace `{namespace}` are of the embedder `{embedder}`, and this server has none that makes such; put it back under \
         `[rag.embedders]`, or have `{wanted}` embed the namespace: POST …/knowledge/reindex?namespace={namespace}. Until then \
         `mode = \"keyword\"` finds its documents by their words"
    )]
    EmbedderGone { namespace: String, embedder: String, wanted: String },
    /// The same, but a reindex mends it.
    #[error(
        "the namespace `{namespace}` is being embedded anew, because the embedder of its vectors is gone; GET …/knowledge/namespaces shows how \
         far it is. Until then `mode = \"keyword\"` finds its documents by their words"
    )]
    BeingReindexed { namespace: String },
    #[error("the namespace `{namespace}` is being embedded anew already; GET …/knowledge/namespaces shows how far it is")]
    ReindexRuns { namespace: String },
    #[error("{running} namespaces are being embedded anew, as many as may be at once (`limits.rag.reindexes`); try again when one is done")]
    TooManyReindexes { running: usize },
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
