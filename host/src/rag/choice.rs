//! Which embedders the knowledge base has, the built-in one and those that the operator's file describes, and which of them each namespace is to be
//! embedded by. All are opened, for a namespace may have vectors of any; opening one reads its files, so that a server whose embedder is broken does not
//! start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use cofferdam_encoder::{Pooling, Settings as ModelSettings};
use tokio::runtime::Handle;

use super::local::Local;
use super::remote::{AskVectors, Remote, RemoteModel};
use super::{Embedder, Error, Namespace, Pocket};

/// The name of the embedder inside the program.
pub const BUILTIN: &str = "builtin";

/// What the operator's file says of embedders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedders {
    /// The name of the one that is wanted for every namespace that is not named.
    pub embedder: String,
    /// The names of those wanted for others, by `NAMESPACE`, of every API, or `API/NAMESPACE`.
    pub namespaces: BTreeMap<String, String>,
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
        Self { embedder: BUILTIN.into(), namespaces: BTreeMap::new(), named: BTreeMap::new() }
    }
}

impl Embedders {
    /// The name of the one that is wanted for the namespace: what is said of it in that API, else in all, else of all namespaces.
    pub fn of(&self, namespace: &Namespace) -> &str {
        let Namespace { api, name } = namespace;
        let said = self.namespaces.get(&format!("{api}/{name}")).or_else(|| self.namespaces.get(name));
        said.unwrap_or(&self.embedder)
    }

    /// Opens all of them. It must be called on one of tokio's threads, one that may block.
    ///
    /// # Errors
    /// `Embed`: the files of one are missing or damaged, or of a model that cannot be computed here.
    pub fn open(&self, port: &Arc<dyn AskVectors>) -> Result<BTreeMap<String, Arc<dyn Embedder>>, Error> {
        let mut embedders: BTreeMap<String, Arc<dyn Embedder>> = BTreeMap::new();
        embedders.insert(BUILTIN.into(), Arc::new(Pocket::new()));
        for (name, config) in &self.named {
            embedders.insert(name.clone(), open(config, port).map_err(|error| named(name, error))?);
        }
        Ok(embedders)
    }
}

fn open(config: &EmbedderConfig, port: &Arc<dyn AskVectors>) -> Result<Arc<dyn Embedder>, Error> {
    Ok(match config {
        EmbedderConfig::Local { path, settings } => Arc::new(Local::open(path, settings)?),
        EmbedderConfig::Static { path } => Arc::new(Local::open_static(path)?),
        EmbedderConfig::Remote(model) => Arc::new(Remote::new(model.clone(), Arc::clone(port), Handle::current())),
    })
}

/// The error with the key of its embedder: there may be several.
fn named(name: &str, error: Error) -> Error {
    match error {
        Error::Embed(why) => Error::Embed(format!("`rag.embedders.{name}`: {why}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_of_one_api_goes_before_one_of_all_and_that_before_the_default() {
        let namespaces = [("docs", "a"), ("support/docs", "b")].map(|(name, embedder)| (name.to_owned(), embedder.to_owned()));
        let embedders = Embedders { namespaces: namespaces.into(), ..Embedders::default() };
        let of = |api: &str, name: &str| embedders.of(&Namespace { api: api.into(), name: name.into() }).to_owned();
        assert_eq!((of("support", "docs"), of("sales", "docs"), of("sales", "other")), ("b".into(), "a".into(), BUILTIN.into()));
    }
}
