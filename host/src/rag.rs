//! Knowledge: files are read, and documents are cut into chunks, embedded, stored, and found again by similarity and by words.
//! The store decides what a hit is and never shows half a document; its port is `DocumentStore`, which `storage` implements.

mod cache;
mod calibration;
mod choice;
mod chunk;
mod document;
mod embed;
mod error;
mod excerpts;
mod extract;
pub mod fake;
mod fusion;
mod knowledge;
mod limits;
mod listing;
mod local;
mod metadata;
mod open;
mod pages;
mod pocket;
mod reindex;
mod remote;
mod rerank;
mod review;
mod same;
mod sources;
mod spaces;
mod store;
mod turns;

pub use choice::{BUILTIN, EmbedderConfig, Embedders, ModelSettings, Pooling};
pub use chunk::Chunk;
pub use document::{Document, Evidence, Found, Kind, Mode, Namespace, Query, Receipt, Reranking};
pub use embed::{BatchSize, Embedder};
pub use error::Error;
pub use excerpts::{BUDGET_TOKENS, Excerpt, NEIGHBOURS, Spread};
pub use extract::{ChildTask, Extracted, Extractor, child as extract_child};
pub use fusion::MMR;
pub use knowledge::Knowledge;
pub use limits::{Limits, TOP_K_MAX};
pub use listing::NamespaceState;
pub use metadata::{Filter, Metadata};
pub use open::OpenEmbedders;
pub use pages::PageStart;
pub use pocket::Pocket;
pub use reindex::{Progress, Reindexed};
pub use remote::{AskVectors, DIMENSIONS_MAX, RemoteModel};
pub use rerank::{AskRelevance, RerankModel, Rerankers};
pub use review::ReindexStart;
pub use sources::{FetchDocuments, Fetched, Refresher, Rooms, Source, Validators};
pub use spaces::{Filling, Recorded, SpaceStore, Spaces, Swap, Unembedded, VectorSpace};
pub use store::{Candidate, DocumentInfo, DocumentStore, Lookup, NamespaceInfo, NewDocument, Page, Put, StoredDocument};

#[cfg(test)]
mod tests;
