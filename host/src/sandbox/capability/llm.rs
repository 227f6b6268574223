//! The capability `llm`: plugins ask models of the operator's list, within a grant and on the account of the caller whose request it is. No hook
//! runs on such a question, and a model that a plugin asks asks none itself.

mod budget;
mod link;
mod port;
pub(in crate::sandbox) mod replies;
mod shown;
mod terms;

pub use port::{AskFailed, AskModels, ModelTarget};
pub use terms::LlmTerms;

pub(in crate::sandbox) use link::{INTERFACE, link};
