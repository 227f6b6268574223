//! The port for what this room keeps: documents with their chunks and vectors. `storage` implements it, and `tests/contract/documents.rs`
//! holds every backend to what is said here. A backend never embeds a text; it keeps vectors as they come and ranks by them.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::spaces::{SpaceStore, Spaces, VectorSpace};
use super::{Chunk, Error, Filter, Metadata, Namespace};
use crate::chat::Hit;

/// Keeps documents. A future that is dropped has either done the whole of its work, or none of it, or does it in the background.
///
/// All methods fail with `Error::Store` if the backend cannot read or write, and with `Error::Index` if its index cannot be used.
pub trait DocumentStore: SpaceStore {
    /// Stores a document in place of the one of its name, whole or not at all. When this returns, a killed process loses nothing of it and
    /// every search that begins finds it; no search ever sees a part of it, or it beside the one that it replaced.
    ///
    /// The first document of a namespace decides in which space it is searched. One of another space is refused.
    ///
    /// `chunks_max` bounds the chunks of the namespace, this document's included and the replaced one's not, even if several are put at once.
    ///
    /// # Errors
    /// `Store` also if there is not one vector of the space's length for each chunk.
    fn put<'a>(&'a self, namespace: &'a Namespace, document: NewDocument, chunks_max: usize) -> BoxFuture<'a, Result<Put, Error>>;

    /// The chunks of the namespace that are wanted, as of one moment, in no order. Whatever finds a chunk, both of its scores are given.
    ///
    /// By vector: the `count` chunks whose vectors are most like it, by cosine similarity, and those of equal score in the order in which they were
    /// put; none if that is not the space that the namespace is searched in.
    ///
    /// By words: the `count` chunks whose words, headings and title fit the text best, by BM25 over the namespace alone. The text is data: whatever
    /// it holds, it is words. Very common words of a large namespace may be left out.
    ///
    /// # Errors
    /// `Store` also if the vector does not have the space's length.
    fn look_up<'a>(&'a self, namespace: &'a Namespace, wanted: Lookup) -> BoxFuture<'a, Result<Vec<Candidate>, Error>>;

    /// The chunks of the namespace whose vectors are most like `vector`, at most `count`, best first, as in `look_up`.
    ///
    /// # Errors
    /// As `look_up`.
    fn nearest<'a>(
        &'a self,
        namespace: &'a Namespace,
        space: &'a VectorSpace,
        vector: Vec<f32>,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Hit>, Error>> {
        Box::pin(async move {
            let wanted = Lookup { like: Some((space.clone(), vector.into())), text: None, count, filter: Filter::default() };
            let mut found = self.look_up(namespace, wanted).await?;
            found.sort_by_key(|candidate| candidate.vector_rank);
            Ok(found.into_iter().map(|candidate| candidate.hit).collect())
        })
    }

    /// The chunks of a document of these ordinals, both ends included, in order; none if there is no such document.
    fn chunks<'a>(&'a self, document_id: &'a str, first: u32, last: u32) -> BoxFuture<'a, Result<Vec<Chunk>, Error>>;

    /// Gets the namespace ready for searches by vector, if it is searched in that space. A backend that need not prepare anything leaves this as
    /// it is; one that must, as when it loads an index, does so in `look_up` if nobody called this before.
    fn prepare<'a>(&'a self, _namespace: &'a Namespace, _space: &'a VectorSpace) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether the namespace holds no document.
    fn is_empty<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<bool, Error>>;

    /// How many chunks the namespace holds, those of the document called `except` not counted.
    fn chunk_count<'a>(&'a self, namespace: &'a Namespace, except: &'a str) -> BoxFuture<'a, Result<usize, Error>>;

    /// A document of the namespace with that content whose vectors lie in the space of `model`: the one of that name if it is one, else the newest.
    fn alike<'a>(
        &'a self,
        namespace: &'a Namespace,
        name: &'a str,
        content: &'a str,
        model: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredDocument>, Error>>;

    /// The vectors of a document's chunks, in order; none if there is no such document, or if they lie in another space than that of `model`.
    fn vectors<'a>(&'a self, document_id: &'a str, model: &'a str) -> BoxFuture<'a, Result<Vec<Vec<f32>>, Error>>;

    /// Puts other metadata in the place of a document's and changes nothing else of it. Gives false if the namespace has no such document.
    fn describe<'a>(&'a self, namespace: &'a Namespace, document_id: &'a str, metadata: Metadata) -> BoxFuture<'a, Result<bool, Error>>;

    /// The documents of an API, or of one namespace of it, by id, which is the order in which they came.
    fn documents<'a>(
        &'a self,
        api: &'a str,
        namespace: Option<&'a str>,
        page: Page<'a>,
    ) -> BoxFuture<'a, Result<Vec<StoredDocument>, Error>>;

    /// The document of that id if it is of that API.
    fn document<'a>(&'a self, api: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<StoredDocument>, Error>>;

    /// The namespaces of an API that hold a document, by name.
    fn namespaces<'a>(&'a self, api: &'a str, page: Page<'a>) -> BoxFuture<'a, Result<Vec<NamespaceInfo>, Error>>;

    /// The APIs that have a document, by id.
    fn apis<'a>(&'a self, page: Page<'a>) -> BoxFuture<'a, Result<Vec<String>, Error>>;

    /// Deletes the document of that id with its chunks. Gives false if the namespace has none. Once it returns, no search finds it.
    fn delete<'a>(&'a self, namespace: &'a Namespace, document_id: &'a str) -> BoxFuture<'a, Result<bool, Error>>;

    /// Deletes every document of the namespace and gives their number; none if there was none. Every search and every list has all of them
    /// or none, also after the process was killed in the middle. Whoever writes waits for no more than a part of the work. Once this returns,
    /// the room that they took is free.
    fn clear<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<Option<usize>, Error>>;
}

/// What to look for in a namespace.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Chunks that are like this vector of that space.
    pub like: Option<(VectorSpace, Arc<[f32]>)>,
    /// Chunks with the words of this text.
    pub text: Option<String>,
    /// At most so many of each.
    pub count: usize,
    /// Only those of documents with such metadata.
    pub filter: Filter,
}

/// A chunk that was found, and what by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// Its score is the cosine similarity, or 0 if that is not known.
    pub hit: Hit,
    /// Of two chunks, the one that was put first has the lower number.
    pub order: i64,
    pub vector: Vec<f32>,
    /// From 1.
    pub vector_rank: Option<usize>,
    /// From 1.
    pub keyword_rank: Option<usize>,
    /// By BM25; 0 if it has none of the words.
    pub keyword_score: f32,
    /// The same of it and the chunks that stand around it, as one text.
    pub context_score: f32,
    /// The share of the text's words that it has, by their weight in BM25: 0 to 1. A word that no chunk of the namespace has weighs as much as
    /// one that a single chunk has.
    pub coverage: f32,
    /// The weight of the words that it has, in that of a word which a single chunk has: how much of the text was found, however long it is.
    pub matched: f32,
}

/// A part of a list: what comes after a key, which need not be there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// Empty for the first part.
    pub after: &'a str,
    pub count: usize,
}

/// A namespace as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceInfo {
    pub name: String,
    pub documents: usize,
    pub spaces: Spaces,
}

/// What is kept of a document beside its chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentInfo {
    /// Unique for ever: a document that replaces another one has a new id.
    pub id: String,
    /// Unique in its namespace.
    pub name: String,
    /// Of its text, in lower-case hex.
    pub sha256: String,
    /// Of its text.
    pub bytes: u64,
    /// A hash of all that its chunks, their words and their vectors were made of, but for the embedder; empty if it is not known.
    pub content: String,
    /// Unix time in seconds.
    pub created: u64,
    pub title: Option<String>,
    pub metadata: Metadata,
}

/// A document that is ready to be put.
#[derive(Clone, Debug)]
pub struct NewDocument {
    pub info: DocumentInfo,
    pub space: VectorSpace,
    /// In order.
    pub chunks: Arc<Vec<Chunk>>,
    /// A unit vector for each chunk.
    pub vectors: Vec<Vec<f32>>,
}

/// A document as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    pub info: DocumentInfo,
    /// The name of its namespace.
    pub namespace: String,
    /// Of the space that its vectors lie in.
    pub model: String,
    pub chunks: usize,
}

/// How a `put` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Stored {
        /// There was a document of the same name, and it is gone.
        replaced: bool,
    },
    /// The namespace would have held more than `chunks_max` chunks. Nothing was changed.
    Full,
    /// The namespace is searched in another space. Nothing was changed.
    OtherSpace,
}
