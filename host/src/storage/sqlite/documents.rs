//! `DocumentStore` over SQLite and usearch. The tables are the truth, and an index for each namespace proposes what may be near.
//! Each change runs to its end once it has begun, even if nobody waits for it any more.

mod backlog;
mod candidates;
mod filling;
mod filter;
mod keywords;
mod listed;
mod namespace_index;
mod rows;
mod same;
mod spaces;
mod swept;
mod vector_index;
mod words;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use self::namespace_index::NamespaceIndex;
use self::rows::Rows;
use super::database::Database;
use super::error::Error;
use crate::rag::{
    self, Candidate, Chunk, DocumentStore, Filling, Lookup, Metadata, Namespace, NamespaceInfo, NewDocument, Page, Put, Recorded,
    SpaceStore, Spaces, StoredDocument, Swap, Unembedded, VectorSpace,
};

/// The documents of all namespaces.
pub(super) struct Documents {
    database: Arc<Database>,
    rows: Arc<Rows>,
    /// The folder of the index files, beside the database.
    folder: PathBuf,
    /// Of the namespaces that were used since the process began.
    indexes: Mutex<HashMap<Namespace, Arc<NamespaceIndex>>>,
}

impl Documents {
    pub(super) fn open(database: Arc<Database>, folder: PathBuf) -> Result<Self, Error> {
        let rows = Arc::new(Rows::open(Arc::clone(&database))?);
        let documents = Self { database, rows, folder, indexes: Mutex::default() };
        documents.go_on_sweeping()?;
        documents.go_on_indexing()?;
        Ok(documents)
    }

    /// Gives the chunks of an earlier release their words, beside everything else.
    fn go_on_indexing(&self) -> Result<(), Error> {
        if !self.rows.has_backlog()? {
            return Ok(());
        }
        let rows = Arc::clone(&self.rows);
        let indexing = move || {
            if let Err(error) = rows.work_off_backlog() {
                tracing::warn!(%error, "documents of an earlier release are not all found by their words; the next start goes on");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("keywords".into()).spawn(indexing) {
            tracing::warn!(%error, "there is no thread to index the words of an earlier release's documents; the next start tries again");
        }
        Ok(())
    }

    /// Deletes, beside everything else, what the process before this one did not get to.
    fn go_on_sweeping(&self) -> Result<(), Error> {
        let left: Vec<_> = self.rows.hidden()?.iter().map(|namespace| self.index(namespace)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let sweeping = move || {
            for index in left {
                let _alone = index.changing.blocking_lock();
                if let Err(error) = index.sweep() {
                    tracing::warn!(%error, "what a deleted namespace held still takes room; the next start tries again");
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("sweep".into()).spawn(sweeping) {
            tracing::warn!(%error, "there is no thread to delete what deleted namespaces held; the next start tries again");
        }
        Ok(())
    }

    fn index(&self, namespace: &Namespace) -> Arc<NamespaceIndex> {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(NamespaceIndex::new(namespace.clone(), &self.folder, Arc::clone(&self.rows)));
        Arc::clone(indexes.entry(namespace.clone()).or_insert_with(made))
    }

    /// Reads or writes rows that no index depends on, on a thread that may block.
    fn reading<T, F>(&self, work: F) -> BoxFuture<'_, Result<T, rag::Error>>
    where
        T: Send + 'static,
        F: FnOnce(&Rows) -> Result<T, Error> + Send + 'static,
    {
        let rows = Arc::clone(&self.rows);
        Box::pin(self.database.on_blocking_thread(move |_| work(&rows)))
    }

    /// Changes a namespace, or loads its index, when nobody else does, on a thread that may block.
    async fn changing<T, F>(&self, namespace: &Namespace, work: F) -> Result<T, rag::Error>
    where
        T: Send + 'static,
        F: FnOnce(&NamespaceIndex) -> Result<T, Error> + Send + 'static,
    {
        let index = self.index(namespace);
        let alone = Arc::clone(&index.changing).lock_owned().await;
        let change = move |_: &Database| {
            let _alone = alone;
            work(&index)
        };
        self.database.on_blocking_thread(change).await
    }
}

impl DocumentStore for Documents {
    fn put<'a>(&'a self, namespace: &'a Namespace, document: NewDocument, chunks_max: usize) -> BoxFuture<'a, Result<Put, rag::Error>> {
        Box::pin(self.changing(namespace, move |index| index.put(&document, chunks_max)))
    }

    fn look_up<'a>(&'a self, namespace: &'a Namespace, wanted: Lookup) -> BoxFuture<'a, Result<Vec<Candidate>, rag::Error>> {
        let wanted = Arc::new(wanted);
        Box::pin(async move {
            loop {
                let (index, asked) = (self.index(namespace), Arc::clone(&wanted));
                let found: Result<_, rag::Error> = self.database.on_blocking_thread(move |_| index.look_up(&asked)).await;
                match (found?, &wanted.like) {
                    (Some(found), _) => return Ok(found),
                    (None, Some((space, _))) => self.prepare(namespace, space).await?,
                    (None, None) => return Ok(Vec::new()),
                }
            }
        })
    }

    fn chunks<'a>(&'a self, document_id: &'a str, first: u32, last: u32) -> BoxFuture<'a, Result<Vec<Chunk>, rag::Error>> {
        let document_id = document_id.to_owned();
        self.reading(move |rows| rows.chunks(&document_id, first, last))
    }

    fn prepare<'a>(&'a self, namespace: &'a Namespace, space: &'a VectorSpace) -> BoxFuture<'a, Result<(), rag::Error>> {
        let space = space.clone();
        Box::pin(self.changing(namespace, move |index| index.load(&space)))
    }

    fn is_empty<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<bool, rag::Error>> {
        let namespace = namespace.clone();
        self.reading(move |rows| rows.is_empty(&namespace))
    }

    fn chunk_count<'a>(&'a self, namespace: &'a Namespace, except: &'a str) -> BoxFuture<'a, Result<usize, rag::Error>> {
        let (namespace, except) = (namespace.clone(), except.to_owned());
        self.reading(move |rows| rows.chunk_count(&namespace, &except))
    }

    fn alike<'a>(
        &'a self,
        namespace: &'a Namespace,
        name: &'a str,
        content: &'a str,
        model: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredDocument>, rag::Error>> {
        let (namespace, [name, content, model]) = (namespace.clone(), [name, content, model].map(str::to_owned));
        self.reading(move |rows| rows.alike(&namespace, &name, &content, &model))
    }

    fn vectors<'a>(&'a self, document_id: &'a str, model: &'a str) -> BoxFuture<'a, Result<Vec<Vec<f32>>, rag::Error>> {
        let (document_id, model) = (document_id.to_owned(), model.to_owned());
        self.reading(move |rows| rows.vectors(&document_id, &model))
    }

    fn describe<'a>(
        &'a self,
        namespace: &'a Namespace,
        document_id: &'a str,
        metadata: Metadata,
    ) -> BoxFuture<'a, Result<bool, rag::Error>> {
        let (rows, place, document_id) = (Arc::clone(&self.rows), namespace.clone(), document_id.to_owned());
        Box::pin(self.changing(namespace, move |_| rows.describe(&place, &document_id, &metadata)))
    }

    fn documents<'a>(
        &'a self,
        api: &'a str,
        namespace: Option<&'a str>,
        page: Page<'a>,
    ) -> BoxFuture<'a, Result<Vec<StoredDocument>, rag::Error>> {
        let (api, namespace, after) = (api.to_owned(), namespace.map(str::to_owned), page.after.to_owned());
        self.reading(move |rows| rows.documents(&api, namespace.as_deref(), Page { after: &after, count: page.count }))
    }

    fn document<'a>(&'a self, api: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<StoredDocument>, rag::Error>> {
        let (api, id) = (api.to_owned(), id.to_owned());
        self.reading(move |rows| rows.document(&api, &id))
    }

    fn namespaces<'a>(&'a self, api: &'a str, page: Page<'a>) -> BoxFuture<'a, Result<Vec<NamespaceInfo>, rag::Error>> {
        let (api, after) = (api.to_owned(), page.after.to_owned());
        self.reading(move |rows| rows.namespaces(&api, Page { after: &after, count: page.count }))
    }

    fn apis<'a>(&'a self, page: Page<'a>) -> BoxFuture<'a, Result<Vec<String>, rag::Error>> {
        let after = page.after.to_owned();
        self.reading(move |rows| rows.apis(Page { after: &after, count: page.count }))
    }

    fn delete<'a>(&'a self, namespace: &'a Namespace, document_id: &'a str) -> BoxFuture<'a, Result<bool, rag::Error>> {
        let document_id = document_id.to_owned();
        Box::pin(self.changing(namespace, move |index| index.delete(&document_id)))
    }

    fn clear<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<Option<usize>, rag::Error>> {
        Box::pin(self.changing(namespace, NamespaceIndex::clear))
    }
}

impl SpaceStore for Documents {
    fn spaces<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<Option<Spaces>, rag::Error>> {
        let namespace = namespace.clone();
        self.reading(move |rows| rows.spaces(&namespace))
    }

    fn all_spaces(&self) -> BoxFuture<'_, Result<Vec<(Namespace, Spaces)>, rag::Error>> {
        self.reading(Rows::all_spaces)
    }

    fn record<'a>(&'a self, namespace: &'a Namespace, maker: &'a Recorded) -> BoxFuture<'a, Result<(), rag::Error>> {
        let (namespace, maker) = (namespace.clone(), maker.clone());
        self.reading(move |rows| rows.record(&namespace, &maker))
    }

    fn begin_filling<'a>(&'a self, namespace: &'a Namespace, maker: &'a Recorded) -> BoxFuture<'a, Result<Option<Filling>, rag::Error>> {
        let (namespace, maker) = (namespace.clone(), maker.clone());
        self.reading(move |rows| rows.begin_filling(&namespace, &maker))
    }

    fn unembedded<'a>(
        &'a self,
        namespace: &'a Namespace,
        filling: i64,
        after: Option<&'a Unembedded>,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Unembedded>, rag::Error>> {
        let (namespace, after) = (namespace.clone(), after.cloned());
        self.reading(move |rows| rows.unembedded(&namespace, filling, after.as_ref(), count))
    }

    fn fill<'a>(
        &'a self,
        namespace: &'a Namespace,
        filling: i64,
        vectors: Vec<(i64, Vec<f32>)>,
    ) -> BoxFuture<'a, Result<bool, rag::Error>> {
        let namespace = namespace.clone();
        self.reading(move |rows| rows.fill(&namespace, filling, &vectors))
    }

    fn swap<'a>(&'a self, namespace: &'a Namespace, filling: i64) -> BoxFuture<'a, Result<Swap, rag::Error>> {
        let index = self.index(namespace);
        Box::pin(async move {
            // Beside whoever writes; what they do meanwhile is made up for under the lock.
            let built: Result<_, rag::Error> = self.database.on_blocking_thread(move |_| index.build_next()).await;
            let built = built?;
            self.changing(namespace, move |index| index.swap(filling, built)).await
        })
    }

    fn settle<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<bool, rag::Error>> {
        let namespace = namespace.clone();
        self.reading(move |rows| rows.settle(&namespace))
    }

    fn give_up<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<(), rag::Error>> {
        let namespace = namespace.clone();
        self.reading(move |rows| rows.give_up(&namespace))
    }
}
