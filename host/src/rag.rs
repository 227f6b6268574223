//! Knowledge: files are read, and documents are cut into chunks, embedded, stored, and found again by similarity.
//! The store decides what a hit is and never shows half a document; its port is `DocumentStore`, which `storage` implements.

mod chunk;
mod document;
mod embed;
mod error;
mod extract;
pub mod fake;
mod knowledge;
mod limits;
mod listing;
mod pages;
mod pocket;
mod store;

pub use document::{Document, Found, Kind, Namespace, Query, Receipt};
pub use embed::Embedder;
pub use error::Error;
pub use extract::{ChildTask, Extracted, Extractor, child as extract_child};
pub use knowledge::Knowledge;
pub use limits::{Limits, TOP_K_MAX};
pub use pages::PageStart;
pub use pocket::Pocket;
pub use store::{DocumentInfo, DocumentStore, NamespaceInfo, NewDocument, Page, Put, StoredDocument, VectorSpace};

#[cfg(test)]
mod tests;
