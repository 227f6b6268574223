//! The capability `knowledge`: search in the operator's documents, by the engine of the rag stage. A guest names one of the namespaces that its
//! grant names, and nothing that it writes leads to another.

mod search;
mod terms;

pub use search::{SearchDocuments, SearchFailed, Wanted};
pub use terms::KnowledgeTerms;

pub(in crate::sandbox) use search::{INTERFACE, link};
