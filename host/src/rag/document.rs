//! The values of the room: a document on its way in, a query, and what was found. Every one of them belongs to exactly one namespace.

use super::{Filter, Metadata, PageStart};
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
    /// Where its pages begin, rising; none if it has no pages.
    pub pages: Vec<PageStart>,
    /// What whoever uploads it says of it.
    pub metadata: Metadata,
}

impl Document {
    /// A text without pages, of which nothing else is known.
    pub fn new(name: impl Into<String>, kind: Kind, text: impl Into<String>) -> Self {
        Self { name: name.into(), kind, text: text.into(), title: None, pages: Vec::new(), metadata: Metadata::default() }
    }
}

/// Proof that a document is stored and that every search finds it from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// New with every `add`, even if a document is replaced, unless it is `unchanged`.
    pub document_id: String,
    pub chunks: usize,
    /// Bytes of its text.
    pub bytes: usize,
    /// There was a document of the same name, and it is gone.
    pub replaced: bool,
    /// There was a document of the same name and content, and it is still there. Its metadata may be other.
    pub unchanged: bool,
}

/// How chunks are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By the meaning of the question, as the embedder sees it.
    Vector,
    /// By the question's words.
    Keyword,
    /// By both.
    #[default]
    Hybrid,
}

impl Mode {
    pub const WORDS: [&str; 3] = ["vector", "keyword", "hybrid"];

    pub fn of(word: &str) -> Option<Self> {
        [Self::Vector, Self::Keyword, Self::Hybrid].into_iter().find(|mode| mode.word() == word)
    }

    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// What to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub text: String,
    /// What was asked before it in the same conversation, the newest first.
    pub earlier: Vec<String>,
    pub mode: Mode,
    /// The most hits wanted; capped by `Limits::top_k`.
    pub top_k: usize,
    /// The least score of a hit, 0 to 1; at 0 whatever is found is one.
    pub score_threshold: f32,
    /// How much a hit's own rank counts against its likeness to better hits, 0 to 1; at 1 likeness counts nothing.
    pub mmr: f32,
    /// Only chunks of documents with such metadata.
    pub filter: Filter,
    /// The name of a model that puts the hits in its own order.
    pub rerank: Option<String>,
    /// Whose share of the queue it waits in.
    pub client: Client,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Best first; chunks of equal rank in the order in which they were added.
    pub hits: Vec<Hit>,
    /// Why each of them is a hit, in the same order.
    pub evidence: Vec<Evidence>,
    /// What would have been a hit but for the threshold, at most as many as could have been hits.
    pub below: Vec<(Hit, Evidence)>,
    /// The best score in the namespace, even if it is under the threshold, so that one sees how far off the threshold is.
    /// None if the namespace or the query is empty.
    pub best_score: Option<f32>,
    /// The most hits that could have been found: the query's number, capped by `Limits::top_k`.
    pub top_k: usize,
    /// None if no model was asked to rank them: none was wanted, or there are less than two.
    pub reranking: Option<Reranking>,
}

/// What became of a ranking by a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reranking {
    Done,
    /// The order is that of the search.
    Failed,
}

impl Reranking {
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Failed => "failed",
        }
    }
}

/// What speaks for a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// By how much its cosine is above those of texts which the question has nothing to do with, on a scale that all models have in common; none if
    /// there is no cosine.
    pub likeness: Option<f32>,
    /// Its place by similarity alone, from 1; none if it is far down or was not asked for.
    pub vector_rank: Option<usize>,
    /// Its place by words alone, from 1; none if it is far down, has none of them, or was not asked for.
    pub keyword_rank: Option<usize>,
    /// By BM25; 0 without any of the question's words.
    pub keyword_score: f32,
    /// The share of the question's words that it has, the rare ones counting for more: 0 to 1.
    pub coverage: f32,
    /// What a model says of its relevance, if one was asked, and its place by that, from 1.
    pub rerank_score: Option<f32>,
    pub rerank_rank: Option<usize>,
    /// What it was ranked by.
    pub rank_score: f32,
}
