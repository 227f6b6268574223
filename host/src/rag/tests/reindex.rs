//! Embedders by namespace, and the way from one to another: one serves until the other has embedded everything, and nothing is ever compared
//! with what another one made.

use std::sync::{Condvar, Mutex};

use super::*;

/// The fake, which remembers what it embedded, and stops when it embedded as many texts as it may.
struct Gated {
    fake: Fake,
    texts: Mutex<Vec<String>>,
    questions: Mutex<Vec<String>>,
    may: Mutex<usize>,
    more: Condvar,
    /// Somebody asked.
    asked: AtomicBool,
    broken: AtomicBool,
}

/// More than any test has.
const ALL: usize = 1 << 20;

impl Gated {
    fn new(model: &str, may: usize) -> Arc<Self> {
        let (texts, questions, more, asked, broken) = Default::default();
        Arc::new(Self { fake: Fake::named(model), texts, questions, may: Mutex::new(may), more, asked, broken })
    }

    fn allow(&self, more: usize) {
        *self.may.lock().unwrap() += more;
        self.more.notify_all();
    }

    fn count(&self) -> usize {
        self.texts.lock().unwrap().len()
    }
}

impl Embedder for Gated {
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
        self.asked.store(true, Ordering::SeqCst);
        {
            let may = self.may.lock().unwrap();
            let mut may = self.more.wait_while(may, |may| *may < texts.len()).unwrap();
            *may -= texts.len();
        }
        if self.broken.load(Ordering::SeqCst) {
            return Err("broken".into());
        }
        self.texts.lock().unwrap().extend(texts.iter().map(ToString::to_string));
        self.fake.embed(texts)
    }

    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        self.questions.lock().unwrap().extend(texts.iter().map(ToString::to_string));
        self.fake.embed(texts)
    }
}

/// The operator's wish: `docs` by that one, everything else by the one inside the program.
fn docs_by(name: &str) -> Embedders {
    Embedders { namespaces: [("docs".to_owned(), name.to_owned())].into(), ..Embedders::default() }
}

/// A house with two embedders, `builtin` and `far`, that may embed everything.
fn two(wanted: &str) -> (House, Arc<Gated>, Arc<Gated>) {
    let (near, far) = (Gated::new("near", ALL), Gated::new("far", ALL));
    let mut house = House::new();
    house.open_all([(BUILTIN, near.clone() as Arc<dyn Embedder>), ("far", far.clone())], docs_by(wanted), Limits::default());
    (house, near, far)
}

async fn add_to(house: &House, namespace: &str, name: &str, text: &str) -> Receipt {
    house.knowledge().add(&space(namespace), document(name, text), &Client::Host).await.unwrap()
}

async fn find(house: &House, text: &str) -> Vec<String> {
    let found = house.knowledge().search(&space("docs"), query(text)).await.unwrap();
    found.hits.into_iter().map(|hit| hit.source).collect()
}

async fn state(house: &House) -> NamespaceState {
    let page = Page { after: "", count: 9 };
    let all = house.knowledge().namespaces("support", page).await.unwrap();
    all.into_iter().find(|state| state.name == "docs").expect("it holds documents")
}

/// Waits until the namespace is not being embedded anew any more, or could not be.
async fn ended(house: &House) -> Option<Progress> {
    loop {
        let progress = house.knowledge().reindexing(&space("docs"));
        if progress.as_ref().is_none_or(|progress| matches!(progress.state, Reindexed::Failed(_))) {
            return progress;
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until so many chunks have a new vector.
async fn has_done(house: &House, done: usize) {
    while house.knowledge().reindexing(&space("docs")).expect("it is under way").done < done {
        tokio::task::yield_now().await;
    }
}

async fn reindex(house: &House) -> Result<Option<ReindexStart>, Error> {
    house.knowledge().reindex(&space("docs")).await
}

#[tokio::test]
async fn each_namespace_is_embedded_and_searched_by_its_own_embedder() {
    let (house, near, far) = two("far");
    add_to(&house, "docs", "pump.txt", "The pump runs.").await;
    add_to(&house, "other", "wall.txt", "Caulk the wall.").await;
    assert_eq!(
        (&*near.texts.lock().unwrap(), &*far.texts.lock().unwrap()),
        (&vec!["Caulk the wall.".into()], &vec!["The pump runs.".into()])
    );
    for _ in 0..2 {
        assert_eq!(find(&house, "the pump").await, ["pump.txt"]);
    }
    let found = house.knowledge().search(&space("other"), query("the pump")).await.unwrap();
    assert_eq!(sources(&found), ["wall.txt"]);
    // Each as a question, and each remembered by itself.
    assert_eq!((near.questions.lock().unwrap().len(), far.questions.lock().unwrap().len()), (1, 1));
    let NamespaceState { embedder, model, wanted, searchable, reindexing, .. } = state(&house).await;
    assert_eq!((embedder.as_str(), model.as_str(), wanted.as_str(), searchable, reindexing), ("far", "far", "far", true, None));
}

#[tokio::test]
async fn an_embedder_that_is_slow_holds_up_no_other_one() {
    let (near, far) = (Gated::new("near", ALL), Gated::new("far", 0));
    let mut house = House::new();
    let limits = Limits { queue: 1, embed_threads: 1, ..Limits::default() };
    house.open_all([(BUILTIN, near as Arc<dyn Embedder>), ("far", far.clone())], docs_by("far"), limits);
    let docs = space("docs");
    let mut add = Box::pin(house.knowledge().add(&docs, document("slow.txt", "slow"), &Client::Host));
    while house.knowledge().queued() == 0 {
        assert!(std::future::poll_fn(|context| std::task::Poll::Ready(add.as_mut().poll(context).is_pending())).await);
        tokio::task::yield_now().await;
    }
    add_to(&house, "other", "quick.txt", "quick").await;
    let found = house.knowledge().search(&space("other"), query("quick")).await.unwrap();
    assert_eq!(sources(&found), ["quick.txt"]);
    far.allow(1);
    add.await.unwrap();
}

#[tokio::test]
async fn what_was_embedded_by_one_is_served_by_it_until_a_reindex_whatever_is_wanted() {
    let (mut house, near, far) = two(BUILTIN);
    add_to(&house, "docs", "pump.txt", "The pump runs.").await;
    house.open_all([(BUILTIN, near.clone() as Arc<dyn Embedder>), ("far", far.clone())], docs_by("far"), Limits::default());
    house.knowledge().review().await;
    assert_eq!(find(&house, "the pump").await, ["pump.txt"]);
    add_to(&house, "docs", "hose.txt", "The hose of the pump.").await;
    assert_eq!((near.count(), far.count()), (2, 0), "uploads too: a namespace has one space");
    let before = state(&house).await;
    assert_eq!((before.embedder.as_str(), before.wanted.as_str(), before.searchable), (BUILTIN, "far", true));
    assert_eq!(reindex(&house).await.unwrap(), Some(ReindexStart::Begun));
    assert_eq!(ended(&house).await, None);
    assert_eq!((far.count(), far.questions.lock().unwrap().len()), (2, 0));
    assert_eq!(find(&house, "the hose of the pump").await, ["hose.txt", "pump.txt"]);
    assert_eq!(far.questions.lock().unwrap().len(), 1);
    add_to(&house, "docs", "valve.txt", "The valve of the pump.").await;
    assert_eq!((near.count(), far.count()), (2, 3));
    assert_eq!(state(&house).await.embedder, "far");
    assert_eq!(reindex(&house).await.unwrap(), Some(ReindexStart::NothingToDo));
    assert_eq!(house.knowledge().reindex(&space("nothing")).await.unwrap(), None);
    assert_eq!(
        (house.count("next_vectors"), house.count("spaces WHERE settled = 0"), house.count("documents WHERE model = 'near'")),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn without_its_embedder_a_namespace_is_searched_by_words_alone_until_it_is_back_or_another_one_has_embedded_it() {
    let (mut house, near, far) = two("far");
    add_to(&house, "docs", "pump.txt", "The pump runs.").await;
    house.open_all([(BUILTIN, near.clone() as Arc<dyn Embedder>)], Embedders::default(), Limits::default());
    house.knowledge().review().await;
    for mode in [Mode::Vector, Mode::Hybrid] {
        let error = house.knowledge().search(&space("docs"), Query { mode, ..query("the pump") }).await.unwrap_err();
        let Error::EmbedderGone { namespace, embedder, wanted } = &error else { panic!("{error}") };
        assert_eq!((namespace.as_str(), embedder.as_str(), wanted.as_str()), ("docs", "far", BUILTIN));
    }
    let upload = house.knowledge().add(&space("docs"), document("hose.txt", "The hose."), &Client::Host).await;
    assert!(matches!(upload, Err(Error::EmbedderGone { .. })), "{upload:?}");
    let by_words = house.knowledge().search(&space("docs"), Query { mode: Mode::Keyword, ..query("pump") }).await.unwrap();
    assert_eq!(sources(&by_words), ["pump.txt"]);
    let NamespaceState { embedder, searchable, .. } = state(&house).await;
    assert_eq!((embedder.as_str(), searchable), ("far", false));
    // Back under another name.
    house.open_all([(BUILTIN, near.clone() as Arc<dyn Embedder>), ("renamed", far)], Embedders::default(), Limits::default());
    house.knowledge().review().await;
    assert_eq!(find(&house, "the pump").await, ["pump.txt"]);
    assert_eq!(state(&house).await.embedder, "renamed");
    house.open_all([(BUILTIN, near.clone() as Arc<dyn Embedder>)], Embedders::default(), Limits::default());
    let gone = house.knowledge().search(&space("docs"), query("pump")).await.unwrap_err();
    assert!(matches!(&gone, Error::EmbedderGone { embedder, .. } if embedder == "renamed"), "{gone}");
    assert_eq!(reindex(&house).await.unwrap(), Some(ReindexStart::Begun));
    assert_eq!(ended(&house).await, None);
    assert_eq!(find(&house, "the pump").await, ["pump.txt"]);
    add_to(&house, "docs", "hose.txt", "The hose.").await;
}

#[tokio::test]
async fn a_new_model_of_the_program_embeds_by_itself_what_the_old_one_did() {
    let (mut house, _, _) = two(BUILTIN);
    add_to(&house, "docs", "pump.txt", "The pump runs.").await;
    add_to(&house, "other", "wall.txt", "Caulk the wall.").await;
    let newer = Gated::new("newer", 0);
    house.open(newer.clone(), Limits::default());
    house.knowledge().review().await;
    let refused = house.knowledge().search(&space("docs"), query("pump")).await.unwrap_err();
    assert!(matches!(refused, Error::BeingReindexed { .. }), "{refused}");
    let upload = house.knowledge().add(&space("docs"), document("hose.txt", "The hose."), &Client::Host).await;
    assert!(matches!(upload, Err(Error::BeingReindexed { .. })), "{upload:?}");
    newer.allow(ALL);
    assert_eq!(ended(&house).await, None);
    assert_eq!(find(&house, "the pump").await, ["pump.txt"]);
    // One after the other; the other namespace may be the one that waited.
    while house.count("spaces WHERE model <> 'newer'") > 0 {
        tokio::task::yield_now().await;
    }
    // Also if nobody looked at what was there when the server started.
    let newest = Gated::new("newest", ALL);
    house.open(newest, Limits::default());
    let refused = house.knowledge().search(&space("docs"), query("pump")).await.unwrap_err();
    assert!(matches!(refused, Error::BeingReindexed { .. }), "{refused}");
    assert_eq!(ended(&house).await, None);
    assert_eq!(find(&house, "the pump").await, ["pump.txt"]);
}

#[tokio::test]
async fn what_an_earlier_release_left_in_two_spaces_is_embedded_by_itself() {
    let mut house = House::with(Arc::new(Fake::named("near")), Limits::default());
    add_to(&house, "docs", "pump.txt", "The pump runs.").await;
    add_to(&house, "docs", "hose.txt", "The hose.").await;
    house.knowledge = None;
    // What it wrote is what the migration makes of it.
    let connection = rusqlite::Connection::open(house.database()).unwrap();
    connection
        .execute_batch(
            "UPDATE documents SET model = 'older' WHERE name = 'hose.txt'; UPDATE spaces SET embedder = '', model = '', dimensions = 0",
        )
        .unwrap();
    drop(connection);
    let near = Gated::new("near", ALL);
    house.open(near.clone(), Limits::default());
    house.knowledge().review().await;
    assert_eq!(ended(&house).await, None);
    assert_eq!(find(&house, "the pump hose").await, ["hose.txt", "pump.txt"]);
    assert_eq!(*near.texts.lock().unwrap(), ["The hose."], "what was of the right model stays");
}

#[tokio::test]
async fn what_is_written_during_a_reindex_is_found_before_and_after_it() {
    let (mut house, near, _) = two(BUILTIN);
    for name in ["a", "b", "c", "d"] {
        add_to(&house, "docs", name, &format!("The pump of house {name}.")).await;
    }
    let far = Gated::new("far", 2);
    house.open_all([(BUILTIN, near as Arc<dyn Embedder>), ("far", far.clone())], docs_by("far"), Limits::default());
    assert_eq!(reindex(&house).await.unwrap(), Some(ReindexStart::Begun));
    while far.count() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(reindex(&house).await, Err(Error::ReindexRuns { namespace }) if namespace == "docs"));
    add_to(&house, "docs", "new", "The newest pump.").await;
    assert!(add_to(&house, "docs", "a", "The pump in another house.").await.replaced);
    let id = house.knowledge().documents("support", Some("docs"), Page { after: "", count: 9 }).await.unwrap()[0].info.id.clone();
    assert!(house.knowledge().delete("support", &id).await.unwrap());
    let expected = ["a", "c", "d", "new"];
    let all = async |house: &House| {
        let mut found = find(house, "pump").await;
        found.sort();
        found
    };
    assert_eq!(all(&house).await, expected);
    let during = state(&house).await;
    assert_eq!((during.embedder.as_str(), during.searchable), (BUILTIN, true));
    let progress = during.reindexing.unwrap();
    assert_eq!((progress.state, progress.embedder.as_str(), progress.of), (Reindexed::Running, "far", 4));
    far.allow(ALL);
    assert_eq!(ended(&house).await, None);
    assert_eq!((all(&house).await, state(&house).await.embedder), (expected.map(str::to_owned).to_vec(), "far".into()));
    assert!(far.texts.lock().unwrap().iter().any(|text| text == "The pump in another house."));
    assert_eq!(house.count("chunks"), 4);
}

#[tokio::test]
async fn an_upload_that_a_swap_overtakes_is_embedded_again_and_stored() {
    let (mut house, _, far) = two(BUILTIN);
    add_to(&house, "docs", "a", "The pump of house a.").await;
    let near = Gated::new("near", 0);
    house.open_all([(BUILTIN, near.clone() as Arc<dyn Embedder>), ("far", far.clone())], docs_by("far"), Limits::default());
    let docs = space("docs");
    let mut add = Box::pin(house.knowledge().add(&docs, document("b", "The pump of house b."), &Client::Host));
    while house.knowledge().queued() == 0 {
        assert!(std::future::poll_fn(|context| std::task::Poll::Ready(add.as_mut().poll(context).is_pending())).await);
        tokio::task::yield_now().await;
    }
    assert_eq!(reindex(&house).await.unwrap(), Some(ReindexStart::Begun));
    assert_eq!(ended(&house).await, None);
    near.allow(ALL);
    add.await.unwrap();
    assert_eq!((near.count(), far.count()), (1, 2));
    assert_eq!(find(&house, "the pump of house b").await, ["b", "a"]);
}

#[tokio::test]
async fn a_reindex_that_failed_or_was_cut_short_serves_the_old_vectors_and_goes_on_with_what_it_has() {
    let (mut house, near, _) = two(BUILTIN);
    for n in 0..100 {
        add_to(&house, "docs", &n.to_string(), &format!("Fact {n} about the pump.")).await;
    }
    let far = Gated::new("far", 64);
    let open = |house: &mut House, far: &Arc<Gated>| {
        let embedders = [(BUILTIN, near.clone() as Arc<dyn Embedder>), ("far", far.clone() as Arc<dyn Embedder>)];
        house.open_all(embedders, docs_by("far"), Limits::default());
    };
    open(&mut house, &far);
    reindex(&house).await.unwrap();
    has_done(&house, 64).await;
    // As a kill leaves it.
    let far = Gated::new("far", ALL);
    far.broken.store(true, Ordering::SeqCst);
    open(&mut house, &far);
    assert_eq!(house.count("next_vectors"), 64);
    assert_eq!(find(&house, "fact 7 about the pump").await.len(), 5);
    house.knowledge().review().await;
    let failed = ended(&house).await.expect("it failed");
    assert_eq!((failed.state, failed.done, failed.of), (Reindexed::Failed("the embedder failed: broken".into()), 64, 100));
    assert_eq!(find(&house, "fact 7 about the pump").await.len(), 5);
    assert_eq!(state(&house).await.embedder, BUILTIN);
    far.broken.store(false, Ordering::SeqCst);
    assert_eq!(reindex(&house).await.unwrap(), Some(ReindexStart::Begun));
    assert_eq!(ended(&house).await, None);
    assert_eq!((far.count(), state(&house).await.embedder), (36, "far".into()));
    assert_eq!(find(&house, "fact 7 about the pump").await.len(), 5);
}

/// An embedder whose space is not known before it was asked, and that cannot be asked at first.
struct Unknown {
    embedder: Arc<Gated>,
    known: AtomicBool,
    down: AtomicBool,
}

impl Embedder for Unknown {
    fn model(&self) -> &str {
        if self.known.load(Ordering::SeqCst) { self.embedder.model() } else { "" }
    }

    fn dimensions(&self) -> usize {
        if self.known.load(Ordering::SeqCst) { self.embedder.dimensions() } else { 0 }
    }

    fn find_out(&self) -> Result<(), String> {
        if self.down.load(Ordering::SeqCst) {
            return Err("down".into());
        }
        self.known.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        self.embedder.embed(texts)
    }
}

#[tokio::test]
async fn a_reindex_that_was_begun_goes_on_at_the_next_start_even_if_its_embedder_had_not_been_reached() {
    let (mut house, near, far) = two(BUILTIN);
    add_to(&house, "docs", "a", "The pump.").await;
    for down in [true, false] {
        let unknown = Unknown { embedder: far.clone(), known: AtomicBool::new(false), down: AtomicBool::new(down) };
        house.open_all([(BUILTIN, near.clone() as Arc<dyn Embedder>), ("far", Arc::new(unknown))], docs_by("far"), Limits::default());
        house.knowledge().review().await;
        if down {
            assert_eq!(house.knowledge().reindexing(&space("docs")), None);
            assert_eq!(reindex(&house).await.unwrap(), Some(ReindexStart::Begun));
            let failed = ended(&house).await.expect("it failed");
            assert_eq!((failed.state, failed.of), (Reindexed::Failed("the embedder failed: down".into()), 1));
            assert_eq!(find(&house, "the pump").await, ["a"]);
        }
    }
    assert_eq!(ended(&house).await, None);
    assert_eq!((state(&house).await.embedder, find(&house, "the pump").await), ("far".into(), vec!["a".to_owned()]));
}

#[tokio::test]
async fn what_is_being_filled_is_given_up_if_it_is_wanted_no_more() {
    let (mut house, near, _) = two(BUILTIN);
    add_to(&house, "docs", "a", "The pump.").await;
    add_to(&house, "docs", "b", "The hose.").await;
    let far = Gated::new("far", 0);
    house.open_all([(BUILTIN, near.clone() as Arc<dyn Embedder>), ("far", far)], docs_by("far"), Limits::default());
    reindex(&house).await.unwrap();
    while house.count("spaces WHERE serves = 0") == 0 {
        tokio::task::yield_now().await;
    }
    house.open_all([(BUILTIN, near as Arc<dyn Embedder>)], Embedders::default(), Limits::default());
    house.knowledge().review().await;
    assert_eq!(
        (house.count("spaces WHERE serves = 0"), house.count("next_vectors"), house.knowledge().reindexing(&space("docs"))),
        (0, 0, None)
    );
    assert_eq!(find(&house, "the pump").await.len(), 2);
}

#[tokio::test]
async fn no_more_namespaces_are_embedded_anew_at_once_than_the_limit_says() {
    let (mut house, near, _) = two(BUILTIN);
    for namespace in ["docs", "more", "most"] {
        add_to(&house, namespace, "a", "The pump.").await;
    }
    let far = Gated::new("far", 0);
    let wanted = Embedders { embedder: "far".into(), ..Embedders::default() };
    house.open_all([(BUILTIN, near as Arc<dyn Embedder>), ("far", far.clone())], wanted, Limits { reindexes: 2, ..Limits::default() });
    assert_eq!(reindex(&house).await.unwrap(), Some(ReindexStart::Begun));
    assert_eq!(house.knowledge().reindex(&space("more")).await.unwrap(), Some(ReindexStart::Begun));
    let refused = house.knowledge().reindex(&space("most")).await.unwrap_err();
    assert!(matches!(refused, Error::TooManyReindexes { running: 2 }), "{refused}");
    let renewed = house.knowledge().renewed(Limits { reindexes: 3, ..Limits::default() });
    renewed.take_effect();
    assert_eq!(house.knowledge().reindex(&space("most")).await.unwrap(), Some(ReindexStart::Begun));
    far.allow(ALL);
    assert_eq!(ended(&house).await, None);
    while house.count("spaces WHERE model = 'near'") > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn after_a_handover_nothing_is_written_any_more() {
    let (mut house, near, _) = two(BUILTIN);
    add_to(&house, "docs", "a", "The pump.").await;
    let far = Gated::new("far", 0);
    house.open_all([(BUILTIN, near as Arc<dyn Embedder>), ("far", far.clone())], docs_by("far"), Limits::default());
    reindex(&house).await.unwrap();
    while !far.asked.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    house.knowledge().hand_over().await;
    far.allow(ALL);
    while far.count() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((house.count("next_vectors"), find(&house, "the pump").await), (0, vec!["a".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_and_writers_never_fail_and_never_see_two_spaces_during_reindexes() {
    let (near, far) = (Gated::new("near", ALL), Gated::new("far", ALL));
    let mut house = House::new();
    let open = |house: &mut House, wanted: &str| {
        let embedders = [(BUILTIN, near.clone() as Arc<dyn Embedder>), ("far", far.clone() as Arc<dyn Embedder>)];
        house.open_all(embedders, docs_by(wanted), Limits::default());
    };
    open(&mut house, BUILTIN);
    for n in 0..30 {
        add_to(&house, "docs", &n.to_string(), &format!("The pump of house {n}.")).await;
    }
    for (round, wanted) in ["far", BUILTIN, "far"].into_iter().enumerate() {
        open(&mut house, wanted);
        let shared = Arc::new(std::mem::replace(&mut house, House { folder: tempfile::tempdir().unwrap(), knowledge: None }));
        assert_eq!(reindex(&shared).await.unwrap(), Some(ReindexStart::Begun));
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn({
            let (house, stop) = (Arc::clone(&shared), Arc::clone(&stop));
            async move {
                for n in (0..).take_while(|_| !stop.load(Ordering::SeqCst)) {
                    add_to(&house, "docs", &format!("new {round}"), &format!("Number {n} of another thing.")).await;
                }
            }
        });
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (house, stop) = (Arc::clone(&shared), Arc::clone(&stop));
                tokio::spawn(async move {
                    while !stop.load(Ordering::SeqCst) {
                        let wanted = Query { top_k: 50, score_threshold: 0.99, ..query("the pump of house") };
                        let found = house.knowledge().search(&space("docs"), wanted).await.unwrap();
                        assert_eq!(found.hits.len(), 30, "all of them, and by the same vectors");
                    }
                })
            })
            .collect();
        assert_eq!(ended(&shared).await, None);
        assert_eq!(state(&shared).await.embedder, wanted);
        stop.store(true, Ordering::SeqCst);
        for task in readers.into_iter().chain([writer]) {
            task.await.unwrap();
        }
        house = Arc::into_inner(shared).expect("all tasks have ended");
    }
}
