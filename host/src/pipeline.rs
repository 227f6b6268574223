//! A pipeline's definition, the catalog of all pipelines, and the run of one exchange through its stages.
//! Plain values go in and come out: a definition is checked before anything keeps or runs it, and its stages always run in one order.

pub mod catalog;
pub mod definition;
pub mod embed;
pub mod filter;
pub mod outcome;
pub mod run;
pub mod session;
mod store;

pub use catalog::{Blocked, Catalog, EmbeddingModel, Origin, Pipeline, Put, PutError};
pub use definition::{Definition, Problem};
pub use outcome::{Outcome, Toggles};
pub use run::Runner;
pub use session::Session;
pub use store::{PipelineStore, StoreError};

pub use crate::stages::Error;
