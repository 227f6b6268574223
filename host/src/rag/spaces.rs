//! The port for which space each namespace's vectors lie in, and for the way from one space to another: new vectors are kept beside the old ones
//! until every chunk has one, and then one step puts them in force. At every moment a namespace is searched in one space alone.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Error, Namespace};

/// The space that vectors lie in. Vectors of two spaces are never compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VectorSpace {
    /// The embedder's model, with its version.
    pub model: Arc<str>,
    /// The length of every vector.
    pub dimensions: usize,
}

/// What made the vectors of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The embedder's name in the operator's file when they were made; empty if that is not known.
    pub embedder: String,
    pub space: VectorSpace,
}

/// What is recorded of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spaces {
    /// The one that it is searched in, and that new documents have vectors of. An earlier release may have left documents of several spaces,
    /// and then it is one of no embedder.
    pub serves: Recorded,
    /// The one that a reindex fills.
    pub next: Option<Recorded>,
}

/// A reindex that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// Of this reindex alone.
    pub id: i64,
    /// Chunks that have a vector of the new space already.
    pub done: usize,
    /// All chunks.
    pub of: usize,
}

/// A chunk that has no vector of the new space yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unembedded {
    /// The document's id.
    pub document: String,
    pub ordinal: u32,
    pub chunk: i64,
    /// What is to be embedded.
    pub text: String,
}

/// How a swap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Every search that begins now is in the new space.
    Done,
    /// A chunk has no vector there. Nothing was changed.
    Missing,
    /// It is being filled no more.
    Gone,
}

/// Keeps the spaces of namespaces, for a `DocumentStore`. All methods fail with `Error::Store` if the backend cannot read or write.
pub trait SpaceStore: Send + Sync + 'static {
    /// None if the namespace holds no document.
    fn spaces<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<Option<Spaces>, Error>>;

    /// Of all namespaces that hold a document.
    fn all_spaces(&self) -> BoxFuture<'_, Result<Vec<(Namespace, Spaces)>, Error>>;

    /// Records who makes the vectors of a namespace that holds no document. Of one that does, only the embedder's name is recorded anew, and only if
    /// the space is the one that it is searched in.
    fn record<'a>(&'a self, namespace: &'a Namespace, maker: &'a Recorded) -> BoxFuture<'a, Result<(), Error>>;

    /// Begins to fill another space, or goes on if that space is being filled; what was filled of a third one is given up. None if the namespace
    /// holds no document.
    fn begin_filling<'a>(&'a self, namespace: &'a Namespace, maker: &'a Recorded) -> BoxFuture<'a, Result<Option<Filling>, Error>>;

    /// Chunks that have no vector of the new space, by document and ordinal, from behind `after` on.
    fn unembedded<'a>(
        &'a self,
        namespace: &'a Namespace,
        filling: i64,
        after: Option<&'a Unembedded>,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Unembedded>, Error>>;

    /// Puts vectors of chunks into the new space; chunks that are gone are passed over. Gives false if it is being filled no more.
    ///
    /// # Errors
    /// `Store` also if the vectors do not have the space's length.
    fn fill<'a>(&'a self, namespace: &'a Namespace, filling: i64, vectors: Vec<(i64, Vec<f32>)>) -> BoxFuture<'a, Result<bool, Error>>;

    /// Puts the new space in place of the old one, for every search at once, if every chunk has a vector of it.
    fn swap<'a>(&'a self, namespace: &'a Namespace, filling: i64) -> BoxFuture<'a, Result<Swap, Error>>;

    /// Does a part of what a swap, or the giving up of a space, leaves to be done. Gives whether there may be more. Nothing that is found changes.
    fn settle<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<bool, Error>>;

    /// Gives up the space that is being filled.
    fn give_up<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<(), Error>>;
}
