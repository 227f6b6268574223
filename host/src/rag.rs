//! Knowledge: documents cut into chunks, embedded, kept in SQLite, found again by similarity.
//! SQLite is the truth: what is a hit is decided there. The vector index is derived; it only proposes, and can always be rebuilt.
//! Must not know pipelines, HTTP or plugins.

mod chunk;
mod embed;
mod error;
pub mod fake;
mod index;
mod knowledge;
mod pocket;
mod records;

pub use embed::Embedder;
pub use error::Error;
pub use knowledge::Knowledge;
pub use pocket::Pocket;

/// The most hits that anybody may ask for, whatever the operator's own limit: 50 chunks are 4000 tokens of prompt.
pub const TOP_K_MAX: usize = 50;

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

impl Kind {
    /// By the ending of the file's name, in any case: `.txt`, `.md`, `.markdown`.
    ///
    /// # Errors
    /// `Unsupported` for every other name.
    pub fn of(file_name: &str) -> Result<Self, Error> {
        let ending = file_name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            Some("txt") => Ok(Self::Text),
            Some("md" | "markdown") => Ok(Self::Markdown),
            _ => Err(Error::Unsupported { name: file_name.into() }),
        }
    }
}

/// A document to be added.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its name in the namespace; one of the same name is replaced.
    pub name: String,
    pub kind: Kind,
    pub text: String,
}

/// That a document is on the disk and is found from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// New with every `add`, also where a document is replaced.
    pub document_id: String,
    pub chunks: usize,
    /// Bytes of its text.
    pub bytes: usize,
    /// A document of the same name was there and is gone.
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
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Best first; chunks of equal score in the order they were added.
    pub hits: Vec<crate::chat::Hit>,
    /// The best score in the namespace, also under the threshold, so that one sees how far off the threshold is.
    /// None where the namespace or the query is empty.
    pub best_score: Option<f32>,
    /// The most hits that could have been found: the query's number, capped by `Limits::top_k`.
    pub top_k: usize,
}

/// Limits of the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one document's text.
    pub document_bytes: usize,
    pub chunks_per_document: usize,
    pub chunks_per_namespace: usize,
    /// The most hits of a query; `TOP_K_MAX` at most.
    pub top_k: usize,
    /// Bytes of a query that are embedded; the embedder reads 128 tokens anyway.
    pub query_bytes: usize,
    /// Documents that may be on their way in at once, and, counted apart so that uploads never refuse a chat,
    /// queries that may wait for the embedder.
    pub queue: usize,
    /// Threads that embed.
    pub embed_threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A thick book is 1 MB of text.
            document_bytes: 8 << 20,
            // About 6 MB of prose, which take the embedder some minutes.
            chunks_per_document: 20_000,
            // About 400 MB of memory for the index, and half a minute to rebuild it.
            chunks_per_namespace: 200_000,
            // All that a pipeline may ask for; an operator who pays for the prompts may want less.
            top_k: TOP_K_MAX,
            query_bytes: 8 << 10,
            // At 15 ms a query the last one waits half a second.
            queue: 64,
            // One core stays free for requests on the smallest machine worth using.
            embed_threads: 2,
        }
    }
}

#[cfg(test)]
mod tests;
