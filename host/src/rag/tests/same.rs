//! The same content again costs nothing, and only what is the same is taken for it.

use std::sync::atomic::AtomicUsize;

use serde_json::json;

use super::*;

/// Counts the texts that it embeds.
struct Counting {
    fake: Fake,
    texts: Arc<AtomicUsize>,
}

impl Embedder for Counting {
    fn model(&self) -> &str {
        self.fake.model()
    }

    fn dimensions(&self) -> usize {
        self.fake.dimensions()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        self.texts.fetch_add(texts.len(), Ordering::SeqCst);
        self.fake.embed(texts)
    }
}

/// A house, and how many texts were embedded since it was asked for the last time.
struct Counted {
    house: House,
    texts: Arc<AtomicUsize>,
}

impl Counted {
    fn new() -> Self {
        let texts = Arc::new(AtomicUsize::new(0));
        let house = House::with(Arc::new(Counting { fake: Fake::default(), texts: Arc::clone(&texts) }), Limits::default());
        Self { house, texts }
    }

    /// Adds it, and gives the texts that this embedded.
    async fn add(&self, namespace: &Namespace, document: Document) -> (Receipt, usize) {
        self.texts.store(0, Ordering::SeqCst);
        let receipt = self.house.knowledge().add(namespace, document, &Client::Host).await.unwrap();
        (receipt, self.texts.load(Ordering::SeqCst))
    }

    async fn documents(&self) -> Vec<StoredDocument> {
        self.house.knowledge().documents("support", None, Page { after: "", count: 99 }).await.unwrap()
    }
}

fn guide(name: &str) -> Document {
    document(name, &"# Pumps\n\nThe pump in the cellar runs at night, and nobody hears it. ".repeat(20))
}

fn with_metadata(document: Document, metadata: serde_json::Value) -> Document {
    Document { metadata: Metadata::of(metadata).unwrap(), ..document }
}

#[tokio::test]
async fn a_document_that_is_there_already_stays_and_nothing_is_embedded() {
    let counted = Counted::new();
    let (first, embedded) = counted.add(&space("default"), guide("a.md")).await;
    assert!(embedded == first.chunks && embedded > 1 && !first.unchanged);
    let before = counted.documents().await;
    let (again, embedded) = counted.add(&space("default"), guide("a.md")).await;
    assert_eq!((again, embedded), (Receipt { unchanged: true, ..first.clone() }, 0));
    assert_eq!(counted.documents().await, before);
    let (other, embedded) = counted.add(&space("default"), document("a.md", "The pump is broken.")).await;
    assert!(other.replaced && !other.unchanged && embedded == 1 && other.document_id != first.document_id);
    let (back, embedded) = counted.add(&space("default"), guide("a.md")).await;
    assert_eq!((back.replaced, back.unchanged, embedded), (true, false, first.chunks), "what was replaced is gone");
}

#[tokio::test]
async fn other_metadata_alone_is_put_in_the_place_of_the_old() {
    let counted = Counted::new();
    let (first, _) = counted.add(&space("default"), with_metadata(guide("a.md"), json!({"year": 2025}))).await;
    let (again, embedded) = counted.add(&space("default"), with_metadata(guide("a.md"), json!({"year": 2026, "draft": true}))).await;
    assert_eq!((again, embedded), (Receipt { unchanged: true, ..first }, 0));
    for (year, hits) in [(2025, false), (2026, true)] {
        let filter = Filter::of(&json!({"year": year})).unwrap();
        let found = counted.house.knowledge().search(&space("default"), Query { filter, ..query("the pump") }).await.unwrap();
        assert_eq!(!found.hits.is_empty(), hits, "{year}");
    }
}

#[tokio::test]
async fn another_name_borrows_the_vectors_and_has_them_for_its_own() {
    let counted = Counted::new();
    let (first, _) = counted.add(&space("default"), guide("a.md")).await;
    let (other, embedded) = counted.add(&space("default"), guide("b.md")).await;
    assert!(embedded == 0 && other.document_id != first.document_id && other.chunks == first.chunks);
    assert!(!other.unchanged && !other.replaced);
    let question = Query { top_k: 50, score_threshold: 0.0, ..query("The pump in the cellar") };
    let found = counted.house.knowledge().search(&space("default"), question.clone()).await.unwrap();
    let scores =
        |id: &str| found.hits.iter().filter(|hit| hit.document == id).map(|hit| (hit.ordinal, hit.score.to_bits())).collect::<Vec<_>>();
    assert_eq!(scores(&first.document_id), scores(&other.document_id));
    assert_eq!(found.hits.len(), 2 * first.chunks);
    assert!(counted.house.knowledge().delete("support", &first.document_id).await.unwrap());
    let found = counted.house.knowledge().search(&space("default"), question).await.unwrap();
    assert!(found.hits.len() == other.chunks && found.hits.iter().all(|hit| hit.source == "b.md"));
}

#[tokio::test]
async fn what_is_in_another_namespace_or_of_another_api_is_embedded_for_itself() {
    let counted = Counted::new();
    let (first, _) = counted.add(&space("default"), guide("a.md")).await;
    for namespace in [space("other"), Namespace { api: "sales".into(), name: "default".into() }] {
        let (receipt, embedded) = counted.add(&namespace, guide("a.md")).await;
        assert_eq!((embedded, receipt.unchanged), (first.chunks, false), "{namespace:?}");
    }
}

#[tokio::test]
async fn what_is_cut_otherwise_or_has_another_title_or_other_pages_is_not_the_same() {
    let counted = Counted::new();
    let plain = guide("a.md");
    let (first, _) = counted.add(&space("default"), plain.clone()).await;
    let others = [
        // The same text with other chunks.
        Document { kind: Kind::Text, ..plain.clone() },
        Document { title: Some("A guide".into()), ..plain.clone() },
        Document { pages: vec![PageStart { offset: 0, number: 3 }], ..plain },
    ];
    for document in others {
        let (receipt, embedded) = counted.add(&space("default"), document).await;
        assert!(receipt.replaced && !receipt.unchanged && embedded == receipt.chunks, "{receipt:?}");
    }
    let (back, embedded) = counted.add(&space("default"), guide("a.md")).await;
    assert!(back.replaced && embedded == first.chunks);
}

#[tokio::test]
async fn vectors_of_another_model_and_documents_of_an_earlier_release_are_not_the_same() {
    let mut counted = Counted::new();
    let (first, _) = counted.add(&space("default"), guide("a.md")).await;
    rusqlite::Connection::open(counted.house.database()).unwrap().execute("UPDATE documents SET content = ''", []).unwrap();
    let (again, embedded) = counted.add(&space("default"), guide("a.md")).await;
    assert!(again.replaced && embedded == first.chunks);
    let texts = Arc::clone(&counted.texts);
    counted.house.open(Arc::new(Counting { fake: Fake::named("other"), texts }), Limits::default());
    // The program's own model is another one now: what is there is embedded anew by itself, and refused until it is.
    counted.texts.store(0, Ordering::SeqCst);
    counted.house.knowledge().review().await;
    while counted.house.knowledge().reindexing(&space("default")).is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(counted.texts.load(Ordering::SeqCst), first.chunks, "no vector of the other model was taken for one of this");
    let (again, embedded) = counted.add(&space("default"), guide("a.md")).await;
    assert_eq!((again.unchanged, embedded), (true, 0));
}

#[tokio::test]
async fn a_full_namespace_still_knows_what_it_has() {
    let mut counted = Counted::new();
    let (first, _) = counted.add(&space("default"), guide("a.md")).await;
    let texts = Arc::clone(&counted.texts);
    let limits = Limits { chunks_per_namespace: first.chunks, ..Limits::default() };
    counted.house.open(Arc::new(Counting { fake: Fake::default(), texts }), limits);
    assert!(counted.add(&space("default"), guide("a.md")).await.0.unchanged);
    let other = counted.house.knowledge().add(&space("default"), guide("b.md"), &Client::Host).await;
    assert!(matches!(other, Err(Error::TooLarge { key: "limits.rag.chunks_per_namespace", .. })));
}
