//! The room as its callers see it, over a database on the disk.

mod agreement;
mod calibration;
mod hybrid;
mod limits;
mod reindex;
mod reranking;
mod same;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fake::Fake;
use super::*;
use crate::chat::Client;

/// A folder with a database and a room over it that can be closed and opened again.
struct House {
    folder: tempfile::TempDir,
    knowledge: Option<Knowledge>,
}

impl House {
    fn new() -> Self {
        Self::with(Arc::new(Fake::default()), Limits::default())
    }

    fn with(embedder: Arc<dyn Embedder>, limits: Limits) -> Self {
        let mut house = Self { folder: tempfile::tempdir().unwrap(), knowledge: None };
        house.open(embedder, limits);
        house
    }

    /// As after a restart: nothing in memory is left.
    fn open(&mut self, embedder: Arc<dyn Embedder>, limits: Limits) {
        self.open_all([(BUILTIN, embedder)], Embedders::default(), limits);
    }

    /// With embedders by their names.
    fn open_all<const N: usize>(&mut self, embedders: [(&str, Arc<dyn Embedder>); N], chosen: Embedders, limits: Limits) {
        self.knowledge = None;
        let documents = crate::storage::sqlite::open(&self.database()).unwrap().documents;
        let embedders = embedders.into_iter().map(|(name, embedder)| (name.to_owned(), embedder)).collect();
        let embedders = OpenEmbedders::start(embedders, chosen, &limits).unwrap();
        self.knowledge = Some(Knowledge::with(documents, embedders, limits));
    }

    fn restart(&mut self) {
        self.open(Arc::new(Fake::default()), Limits::default());
    }

    fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("cofferdam.db")
    }

    fn knowledge(&self) -> &Knowledge {
        self.knowledge.as_ref().expect("open")
    }

    async fn add(&self, name: &str, text: &str) -> Receipt {
        self.knowledge().add(&space("default"), document(name, text), &Client::Host).await.unwrap()
    }

    async fn search(&self, text: &str) -> Found {
        self.knowledge().search(&space("default"), query(text)).await.unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.database()).unwrap();
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}

fn space(name: &str) -> Namespace {
    Namespace { api: "support".into(), name: name.into() }
}

fn document(name: &str, text: &str) -> Document {
    let kind = if name.ends_with(".txt") { Kind::Text } else { Kind::Markdown };
    Document::new(name, kind, text)
}

/// By similarity alone.
fn query(text: &str) -> Query {
    let (mode, filter, earlier, rerank) = (Mode::Vector, Filter::default(), Vec::new(), None);
    Query { text: text.into(), earlier, mode, top_k: 5, score_threshold: 0.5, mmr: MMR, filter, rerank, client: Client::Host }
}

fn sources(found: &Found) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.source.as_str()).collect()
}

/// The fake, until it is set to fail.
#[derive(Default)]
struct Fragile {
    fake: Fake,
    broken: AtomicBool,
}

impl Embedder for Fragile {
    fn model(&self) -> &str {
        self.fake.model()
    }

    fn dimensions(&self) -> usize {
        self.fake.dimensions()
    }

    fn is_centred(&self) -> bool {
        self.fake.is_centred()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err("broken".into()),
            false => self.fake.embed(texts),
        }
    }
}

#[tokio::test]
async fn what_was_added_is_found_with_its_source_and_score() {
    let house = House::new();
    let receipt = house.add("pumps.txt", "The pump runs at night.").await;
    assert_eq!((receipt.chunks, receipt.bytes, receipt.replaced), (1, 23, false));
    house.add("walls.md", "# Walls\n\nCaulk the sheets.").await;
    let found = house.search("pump at night").await;
    let [hit] = &found.hits[..] else { panic!("{found:?}") };
    assert_eq!((hit.source.as_str(), hit.ordinal, hit.text.as_str()), ("pumps.txt", 0, "The pump runs at night."));
    assert!(hit.score > 0.7 && found.best_score == Some(hit.score));
}

#[tokio::test]
async fn the_real_embedder_finds_the_right_chunk_among_ten() {
    let house = House::with(Arc::new(Pocket::new()), Limits::default());
    let facts = [
        ("leave", "Employees receive thirty days of paid vacation per year."),
        ("parking", "Visitors may park their cars behind the main building."),
        ("invoice", "Invoices are paid within fourteen days of receipt."),
        ("password", "Passwords must be changed every ninety days and hold twelve characters."),
        ("canteen", "Lunch is served in the canteen between noon and two o'clock."),
        ("travel", "Train tickets are booked through the travel desk on the second floor."),
        ("fire", "In case of fire leave the building by the nearest stairway and do not use the lift."),
        ("printer", "The colour printer needs a badge and is next to the library."),
        ("doctor", "A sick note is needed from the third day of illness."),
        ("dogs", "Dogs are welcome in the office on Fridays."),
    ];
    for (name, text) in facts {
        house.add(&format!("{name}.txt"), text).await;
    }
    for (question, name) in [
        ("How much holiday do I get?", "leave.txt"),
        ("Where can guests leave their vehicle?", "parking.txt"),
        ("What should I do when the building is burning?", "fire.txt"),
        ("Can I bring my pet to work?", "dogs.txt"),
    ] {
        let found = house.search(question).await;
        assert_eq!(sources(&found).first(), Some(&name), "{question}");
    }
}

#[tokio::test]
async fn a_document_of_the_same_name_takes_the_place_of_the_old_one() {
    let house = House::new();
    let first = house.add("rules.txt", "The gate opens at seven.").await;
    let second = house.add("rules.txt", "The gate opens at nine.").await;
    assert!(second.replaced && first.document_id != second.document_id);
    let found = house.search("gate opens seven nine").await;
    assert_eq!(found.hits.iter().map(|hit| hit.text.as_str()).collect::<Vec<_>>(), ["The gate opens at nine."]);
    assert_eq!((house.count("documents"), house.count("chunks")), (1, 1));
}

#[tokio::test]
async fn namespaces_and_apis_do_not_see_each_other() {
    let house = House::new();
    let spaces = [("support", "default"), ("support", "other"), ("sales", "default"), ("supportd", "efault")];
    for (api, name) in spaces {
        let space = Namespace { api: api.into(), name: name.into() };
        house.knowledge().add(&space, document("a.txt", &format!("The secret of {api} {name}.")), &Client::Host).await.unwrap();
    }
    for (api, name) in spaces {
        let found = house.knowledge().search(&Namespace { api: api.into(), name: name.into() }, query("the secret")).await.unwrap();
        assert_eq!(found.hits.iter().map(|hit| hit.text.clone()).collect::<Vec<_>>(), [format!("The secret of {api} {name}.")]);
    }
}

#[tokio::test]
async fn the_threshold_hides_hits_but_not_the_best_score() {
    let house = House::new();
    house.add("a.txt", "pump valve pipe hose").await;
    let search =
        async |score_threshold| house.knowledge().search(&space("default"), Query { score_threshold, ..query("pump") }).await.unwrap();
    let hit = search(0.0).await.hits.remove(0);
    let (score, cosine) = (hit.score, hit.cosine.expect("it was computed"));
    assert!((cosine - 0.5).abs() < 0.01, "one word of four: {cosine}");
    assert_eq!(search(score).await.hits.len(), 1);
    let above = search(score.next_up()).await;
    assert_eq!((above.hits.len(), above.best_score), (0, Some(score)));
}

#[tokio::test]
async fn equal_chunks_come_in_the_order_they_were_added() {
    let mut house = House::new();
    for name in ["c.txt", "a.txt", "b.txt", "d.txt"] {
        house.add(name, "the same words").await;
    }
    assert_eq!(sources(&house.search("same words").await), ["c.txt", "a.txt", "b.txt", "d.txt"]);
    house.restart();
    assert_eq!(sources(&house.search("same words").await), ["c.txt", "a.txt", "b.txt", "d.txt"]);
}

#[tokio::test]
async fn if_there_is_nothing_to_find_the_embedder_is_not_asked() {
    let embedder = Arc::new(Fragile::default());
    let house = House::with(embedder.clone(), Limits::default());
    embedder.broken.store(true, Ordering::SeqCst);
    let nothing = || Found { top_k: 5, ..Found::default() };
    assert_eq!(house.search("anything").await, nothing());
    embedder.broken.store(false, Ordering::SeqCst);
    house.add("a.txt", "some words").await;
    embedder.broken.store(true, Ordering::SeqCst);
    assert_eq!(house.search(" \n ").await, nothing());
    assert!(matches!(house.knowledge().search(&space("default"), query("words")).await, Err(Error::Embed(_))));
}

#[tokio::test]
async fn a_document_that_cannot_be_embedded_leaves_nothing_behind() {
    let embedder = Arc::new(Fragile::default());
    let house = House::with(embedder.clone(), Limits::default());
    house.add("a.txt", "the old words").await;
    embedder.broken.store(true, Ordering::SeqCst);
    let error = house.knowledge().add(&space("default"), document("a.txt", "the new words"), &Client::Host).await.unwrap_err();
    assert!(matches!(error, Error::Embed(cause) if cause == "broken"));
    embedder.broken.store(false, Ordering::SeqCst);
    let found = house.search("old new words").await;
    assert_eq!(found.hits.iter().map(|hit| hit.text.as_str()).collect::<Vec<_>>(), ["the old words"]);
    assert_eq!((house.count("documents"), house.count("chunks")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_see_a_document_whole_while_many_tasks_write() {
    let house = Arc::new(House::new());
    let version = |n: usize| (0..4).map(|part| format!("shared words of version{n}, part{part}. ").repeat(10)).collect::<String>();
    let chunks = house.add("shared.txt", &version(0)).await.chunks;
    assert!(chunks > 3);
    let writers = (0..3).map(|writer| {
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            for n in 1..8 {
                house.add(&format!("own {writer} {n}.txt"), "nothing in common").await;
                house.add("shared.txt", &version(writer * 100 + n)).await;
            }
        })
    });
    let readers = (0..3).map(|_| {
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            for _ in 0..40 {
                let wanted = Query { top_k: 50, ..query("shared words of") };
                let found = house.knowledge().search(&space("default"), wanted).await.unwrap();
                let version = |text: &str| text.split_whitespace().find(|word| word.starts_with("version")).map(str::to_owned);
                let versions: std::collections::BTreeSet<_> = found.hits.iter().map(|hit| version(&hit.text)).collect();
                assert!(versions.len() == 1 && found.hits.len() >= 4, "{versions:?}, {} hits", found.hits.len());
            }
        })
    });
    for task in writers.chain(readers).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(house.count("documents"), 22);
}
