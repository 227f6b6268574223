//! The same content again: a document that is there already costs no embedding, and one that another name has borrows the vectors of that one.
//! Invariant: only documents of one namespace are compared. Whether a file took time would otherwise tell what somebody else has.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Chunk, DocumentInfo, DocumentStore, Error, Namespace, Receipt, StoredDocument, VectorSpace};

/// Of a text, in hex.
pub(super) fn sha256(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

/// A hash of all that decides what is stored of a document and found by: of its chunks themselves, so that one that was cut under other limits, or by
/// another release, is not taken for the same.
pub(super) fn content(sha256: &str, title: Option<&str>, chunks: &[Chunk], embedded: &[String]) -> String {
    let mut hash = Sha256::new();
    // Each with its length: no two lists of parts give the same bytes.
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part(sha256);
    part(title.unwrap_or_default());
    for (Chunk { text, heading, page }, embedded) in chunks.iter().zip(embedded) {
        [text, heading, embedded].into_iter().for_each(|text| part(text));
        part(&page.map(|page| page.to_string()).unwrap_or_default());
    }
    HEXLOWER.encode(&hash.finalize())
}

/// A document of the namespace that has the same chunks with vectors of the same space; best the one of the same name.
pub(super) async fn alike(
    store: &dyn DocumentStore,
    namespace: &Namespace,
    info: &DocumentInfo,
    space: &VectorSpace,
) -> Result<Option<StoredDocument>, Error> {
    store.alike(namespace, &info.name, &info.content, &space.model).await
}

/// The receipt for a document that is there under its name, once it has the new metadata; none if it is not there, or not any more.
pub(super) async fn unchanged(
    store: &dyn DocumentStore,
    namespace: &Namespace,
    info: &DocumentInfo,
    alike: Option<&StoredDocument>,
) -> Result<Option<Receipt>, Error> {
    let Some(there) = alike.filter(|there| there.info.name == info.name) else { return Ok(None) };
    let described = there.info.metadata == info.metadata || store.describe(namespace, &there.info.id, info.metadata.clone()).await?;
    let document_id = there.info.id.clone();
    let receipt = Receipt { document_id, chunks: there.chunks, bytes: info.bytes as usize, replaced: false, unchanged: true };
    Ok(described.then_some(receipt))
}

/// The vectors of the document that is alike; none if there is none, or not any more.
pub(super) async fn vectors(
    store: &dyn DocumentStore,
    alike: Option<&StoredDocument>,
    chunks: usize,
    space: &VectorSpace,
) -> Result<Option<Vec<Vec<f32>>>, Error> {
    let Some(alike) = alike else { return Ok(None) };
    let vectors = store.vectors(&alike.info.id, &space.model).await?;
    Ok((vectors.len() == chunks).then_some(vectors))
}
