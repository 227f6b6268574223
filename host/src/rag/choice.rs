//! Which embedder the knowledge base has: the built-in one, or one of those that the operator's file describes. Opening one reads its files, so
//! that a server whose embedder is broken does not start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use cofferdam_encoder::{Pooling, Settings as ModelSettings};
use tokio::runtime::Handle;

use super::local::Local;
use super::remote::{AskVectors, Remote, RemoteModel};
use super::{Embedder, Error, Pocket};

/// The name of the embedder inside the program.
pub const BUILTIN: &str = "builtin";

/// What the operator's file says of embedders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedders {
    /// The name of the one that documents and questions are embedded by.
    pub embedder: String,
    pub named: BTreeMap<String, EmbedderConfig>,
}

/// One that is not built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbedderConfig {
    /// A folder with a sentence transformer.
    Local {
        path: PathBuf,
        settings: ModelSettings,
    },
    /// A folder with a static model.
    Static {
        path: PathBuf,
    },
    Remote(RemoteModel),
}

impl Default for Embedders {
    fn default() -> Self {
        Self { embedder: BUILTIN.into(), named: BTreeMap::new() }
    }
}

impl Embedders {
    /// Opens the one that is named. It must be called on one of tokio's threads, one that may block.
    ///
    /// # Errors
    /// `Embed`: its files are missing or damaged, or of a model that cannot be computed here.
    pub fn open(&self, port: Arc<dyn AskVectors>) -> Result<Arc<dyn Embedder>, Error> {
        Ok(match self.named.get(&self.embedder) {
            None => Arc::new(Pocket::new()),
            Some(EmbedderConfig::Local { path, settings }) => Arc::new(Local::open(path, settings)?),
            Some(EmbedderConfig::Static { path }) => Arc::new(Local::open_static(path)?),
            Some(EmbedderConfig::Remote(model)) => Arc::new(Remote::new(model.clone(), port, Handle::current())),
        })
    }
}
