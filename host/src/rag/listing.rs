//! What is there, by page, and how it goes: documents and namespaces of an API, which is all that anybody may see or delete through it.
//! A deletion runs to its end once begun, even if whoever asked goes away.

use super::{Error, Knowledge, Namespace, NamespaceInfo, Page, Progress, StoredDocument};

/// A namespace as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceState {
    pub name: String,
    pub documents: usize,
    /// The name of the embedder of its vectors; empty if nobody knows it.
    pub embedder: String,
    /// That embedder's model; empty if the vectors are of several.
    pub model: String,
    /// The name of the embedder that the operator wants for it.
    pub wanted: String,
    /// Whether an embedder makes vectors such as it has, so that it can be searched by them.
    pub searchable: bool,
    pub reindexing: Option<Progress>,
}

impl Knowledge {
    /// The documents of an API, or of one namespace of it, in the order in which they came.
    ///
    /// # Errors
    /// `Store`, as for every call here.
    pub async fn documents(&self, api: &str, namespace: Option<&str>, page: Page<'_>) -> Result<Vec<StoredDocument>, Error> {
        self.store().documents(api, namespace, page).await
    }

    /// The document of that id if it is of that API.
    ///
    /// # Errors
    /// `Store`.
    pub async fn document(&self, api: &str, id: &str) -> Result<Option<StoredDocument>, Error> {
        self.store().document(api, id).await
    }

    /// The namespaces of an API that hold a document, by name.
    ///
    /// # Errors
    /// `Store`.
    pub async fn namespaces(&self, api: &str, page: Page<'_>) -> Result<Vec<NamespaceState>, Error> {
        let found = self.store().namespaces(api, page).await?;
        Ok(found.into_iter().map(|info| self.state(api, info)).collect())
    }

    /// The name of the embedder that the operator wants for the namespace.
    pub fn wanted(&self, namespace: &Namespace) -> &str {
        &self.embedders().wanted(namespace).name
    }

    /// How far the namespace is being embedded anew; none if it is not.
    pub fn reindexing(&self, namespace: &Namespace) -> Option<Progress> {
        self.reindexes().progress(namespace)
    }

    fn state(&self, api: &str, NamespaceInfo { name, documents, spaces }: NamespaceInfo) -> NamespaceState {
        let namespace = Namespace { api: api.into(), name };
        let (wanted, made_by) = (self.embedders().wanted(&namespace), self.embedders().of(&spaces.serves));
        // If two are the same, it is the wanted one.
        let embedder = match made_by {
            Some(_) if wanted.makes(&spaces.serves.space) => wanted.name.clone(),
            Some(embedder) => embedder.name.clone(),
            None => spaces.serves.embedder,
        };
        let (model, wanted) = (spaces.serves.space.model.to_string(), wanted.name.clone());
        let (searchable, reindexing) = (made_by.is_some(), self.reindexes().progress(&namespace));
        NamespaceState { name: namespace.name, documents, embedder, model, wanted, searchable, reindexing }
    }

    /// The APIs that have a document, by id; the pipeline of one may be gone.
    ///
    /// # Errors
    /// `Store`.
    pub async fn apis(&self, page: Page<'_>) -> Result<Vec<String>, Error> {
        self.store().apis(page).await
    }

    /// Deletes a document if it is of that API; gives false if there is no such document. No search that begins afterwards finds it.
    ///
    /// # Errors
    /// `Store`; it stays.
    pub async fn delete(&self, api: &str, id: &str) -> Result<bool, Error> {
        let Some(document) = self.store().document(api, id).await? else { return Ok(false) };
        let namespace = Namespace { api: api.into(), name: document.namespace };
        self.store().delete(&namespace, id).await
    }

    /// Deletes every document of the namespace and gives their number; none if there was none. A search finds all of them or none.
    ///
    /// # Errors
    /// `Store`; all of them stay.
    pub async fn clear(&self, namespace: &Namespace) -> Result<Option<usize>, Error> {
        let cleared = self.store().clear(namespace).await?;
        self.reindexes().forget(namespace);
        Ok(cleared)
    }
}
