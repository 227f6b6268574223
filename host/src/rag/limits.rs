//! The numbers that bound the room. Each has a default here, a key of the same name under `[limits.rag]`, and a test at its edge.

use std::time::Duration;

/// The most hits that anybody may ask for, even if the operator's own limit is higher: 50 chunks are 4000 tokens of prompt.
pub const TOP_K_MAX: usize = 50;

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
    /// queries that may wait, for each embedder. Clients share both; one alone gets three quarters.
    pub queue: usize,
    /// Bytes of questions and their vectors that are remembered of each embedder; 0 remembers none.
    pub query_cache_bytes: usize,
    /// Threads of each embedder that embed documents, and as many, of a higher priority, that embed queries.
    pub embed_threads: usize,
    /// Namespaces that are embedded anew at once.
    pub reindexes: usize,
    /// Pages of one file, or slides.
    pub pages: usize,
    /// How many times its own size an Office file may unpack to.
    pub expansion: usize,
    /// Bytes of memory of a process that reads one file.
    pub extract_memory: usize,
    /// Time of a processor to read one file; ten times as much by the clock.
    pub extract_time: Duration,
    /// Files that are read at once, shared between clients.
    pub extract_concurrency: usize,
    /// Bytes of a file that `rag.sources` names.
    pub source_bytes: usize,
    /// Time to fetch it, redirects included.
    pub source_time: Duration,
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
            // At 3 ms a query the last one waits a tenth of a second.
            queue: 64,
            // About 2,300 questions.
            query_cache_bytes: 4 << 20,
            // Those of documents take only what others leave of the processors.
            embed_threads: 2,
            // One keeps the threads for documents busy.
            reindexes: 1,
            // Ten thick books.
            pages: 10_000,
            // What Office programs write comes to less than 20; no reader takes more than 100.
            expansion: 100,
            // The largest of 119 real files took 84 MiB.
            extract_memory: 512 << 20,
            // A book of 200 pages takes about a second.
            extract_time: Duration::from_secs(60),
            // Embedding takes longer than reading.
            extract_concurrency: 2,
            // As much as an upload may have.
            source_bytes: 32 << 20,
            // Over a line of 5 Mbit/s.
            source_time: Duration::from_secs(60),
        }
    }
}
