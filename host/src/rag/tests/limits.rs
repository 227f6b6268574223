//! Each limit of the room at its edge, as far as it is seen from outside; `chunk` and `embed` have tests of theirs.

use super::*;

fn limited(limits: Limits) -> House {
    House::with(Arc::new(Fake::default()), limits)
}

async fn refused(house: &House, document: Document) -> &'static str {
    match house.knowledge().add(&space("default"), document, &Client::Host).await {
        Err(Error::TooLarge { key, .. }) => key,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_document_over_its_limits_is_refused_and_not_stored() {
    let house = limited(Limits { document_bytes: 10, ..Limits::default() });
    house.add("a.txt", "ten bytes.").await;
    assert_eq!(refused(&house, document("b.txt", "eleven byte")).await, "limits.rag.document_bytes");
    let house = limited(Limits { chunks_per_document: 1, ..Limits::default() });
    assert_eq!(refused(&house, document("b.txt", &"A sentence of words. ".repeat(60))).await, "limits.rag.chunks_per_document");
    assert_eq!(house.count("documents"), 0);
    assert!(
        matches!(house.knowledge().add(&space("default"), document("c.md", " "), &Client::Host).await, Err(Error::Empty { name }) if name == "c.md")
    );
}

#[tokio::test]
async fn a_namespace_takes_just_its_chunks_and_a_replaced_document_makes_room() {
    let house = limited(Limits { chunks_per_namespace: 2, ..Limits::default() });
    house.add("a.txt", "one").await;
    house.add("b.txt", "two").await;
    assert_eq!(refused(&house, document("c.txt", "three")).await, "limits.rag.chunks_per_namespace");
    assert!(house.add("b.txt", "two again").await.replaced);
    house.knowledge().add(&space("other"), document("c.txt", "three"), &Client::Host).await.unwrap();
    assert_eq!(house.count("documents"), 3);
}

#[tokio::test]
async fn documents_that_come_at_once_do_not_pass_the_limit_together() {
    let house = Arc::new(limited(Limits { chunks_per_namespace: 3, ..Limits::default() }));
    let adds: Vec<_> = (0..8)
        .map(|n| {
            let house = Arc::clone(&house);
            tokio::spawn(async move {
                house.knowledge().add(&space("default"), document(&format!("{n}.txt"), "a chunk"), &Client::Host).await.is_ok()
            })
        })
        .collect();
    let mut taken = 0;
    for add in adds {
        taken += usize::from(add.await.unwrap());
    }
    assert_eq!((taken, house.count("chunks")), (3, 3));
    let found = house.search("a chunk").await;
    assert_eq!(found.hits.len(), 3, "what was refused is in no index");
}

#[tokio::test]
async fn no_more_hits_than_the_limit_are_given_whatever_is_asked_for() {
    let house = limited(Limits { top_k: 3, ..Limits::default() });
    for n in 0..5 {
        house.add(&format!("{n}.txt"), "the same words").await;
    }
    let nothing = house.knowledge().search(&space("default"), Query { top_k: 4, ..query(" ") }).await.unwrap();
    assert_eq!((nothing.hits.len(), nothing.top_k), (0, 3));
    for (top_k, expected) in [(0, 0), (2, 2), (3, 3), (4, 3), (usize::MAX, 3)] {
        let found = house.knowledge().search(&space("default"), Query { top_k, ..query("words") }).await.unwrap();
        assert_eq!((found.hits.len(), found.best_score.is_some(), found.top_k), (expected, true, expected), "{top_k}");
    }
}

#[tokio::test]
async fn a_long_query_is_read_from_its_start_up_to_the_limit_at_a_character() {
    let house = limited(Limits { query_bytes: 9, ..Limits::default() });
    house.add("pump.txt", "pump").await;
    house.add("hose.txt", "hose").await;
    assert_eq!(sources(&house.search("pump hose").await).len(), 2);
    assert_eq!(sources(&house.search("pumpé hose").await).len(), 0);
    assert_eq!(sources(&house.search("pump    hose").await), ["pump.txt"]);
    assert_eq!(sources(&house.search("pump    é hose").await), ["pump.txt"]);
}

/// Waits until it may go on.
struct Slow {
    fake: Fake,
    gate: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Embedder for Slow {
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
        self.gate.lock().unwrap().recv().map_err(|e| e.to_string())?;
        self.fake.embed(texts)
    }
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once_and_uploads_do_not_refuse_a_query() {
    let (open, gate) = std::sync::mpsc::channel();
    let slow = Slow { fake: Fake::default(), gate: std::sync::Mutex::new(gate) };
    let house = Arc::new(House::with(Arc::new(slow), Limits { queue: 1, embed_threads: 1, ..Limits::default() }));
    open.send(()).unwrap();
    house.add("a.txt", "the first words").await;

    let space = space("default");
    let mut add = Box::pin(house.knowledge().add(&space, document("b.txt", "more words"), &Client::Host));
    while house.knowledge().queued() == 0 {
        assert!(std::future::poll_fn(|context| std::task::Poll::Ready(add.as_mut().poll(context).is_pending())).await);
        tokio::task::yield_now().await;
    }
    assert!(matches!(house.knowledge().add(&space, document("c.txt", "no room"), &Client::Host).await, Err(Error::Busy)));
    let waiting = Arc::clone(&house);
    let search = tokio::spawn(async move { waiting.search("words").await });
    open.send(()).unwrap();
    open.send(()).unwrap();
    add.await.unwrap();
    assert!(!search.await.unwrap().hits.is_empty());
    open.send(()).unwrap();
    house.add("c.txt", "room again").await;
}

#[tokio::test]
async fn a_question_has_its_place_until_it_is_answered_however_it_is_looked_for() {
    let (open, gate) = std::sync::mpsc::channel();
    let slow = Slow { fake: Fake::default(), gate: std::sync::Mutex::new(gate) };
    let house = Arc::new(House::with(Arc::new(slow), Limits { queue: 1, embed_threads: 1, ..Limits::default() }));
    open.send(()).unwrap();
    house.add("a.txt", "the first words").await;
    // From now on its vector is remembered.
    open.send(()).unwrap();
    house.search("words").await;

    let waiting = Arc::clone(&house);
    let search = tokio::spawn(async move { waiting.search("first").await });
    while house.knowledge().queued() == 0 {
        tokio::task::yield_now().await;
    }
    for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
        let asked = house.knowledge().search(&space("default"), Query { mode, ..query("words") }).await;
        assert!(matches!(asked, Err(Error::Busy)), "{mode:?}");
    }
    open.send(()).unwrap();
    search.await.unwrap();
    house.search("words").await;
}
