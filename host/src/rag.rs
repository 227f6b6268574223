//! Knowledge: documents are cut into chunks, embedded, stored, and found again by similarity.
//! The store decides what a hit is and never shows half a document; its port is `DocumentStore`, which `storage` implements.

mod cache;
mod choice;
mod chunk;
mod document;
mod embed;
mod error;
pub mod fake;
mod knowledge;
mod limits;
mod listing;
mod local;
mod pocket;
mod remote;
mod store;

pub use choice::{BUILTIN, EmbedderConfig, Embedders, ModelSettings, Pooling};
pub use document::{Document, Found, Kind, Namespace, Query, Receipt};
pub use embed::{BatchSize, Embedder};
pub use error::Error;
pub use knowledge::Knowledge;
pub use limits::{Limits, TOP_K_MAX};
pub use pocket::Pocket;
pub use remote::{AskVectors, RemoteModel};
pub use store::{DocumentInfo, DocumentStore, NamespaceInfo, NewDocument, Page, Put, StoredDocument, VectorSpace};

#[cfg(test)]
mod tests;
