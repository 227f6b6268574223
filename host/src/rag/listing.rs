//! What is there, by page, and how it goes: documents and namespaces of an API, which is all that anybody may see or delete through it.
//! A deletion runs to its end once begun, even if whoever asked goes away.

use super::{Error, Knowledge, Namespace, NamespaceInfo, Page, StoredDocument};

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
    pub async fn namespaces(&self, api: &str, page: Page<'_>) -> Result<Vec<NamespaceInfo>, Error> {
        self.store().namespaces(api, page).await
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
        self.store().clear(namespace).await
    }
}
