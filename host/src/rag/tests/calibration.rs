//! Scores mean the same for every model: what its vectors have in common is measured once, and falls out.

use std::sync::atomic::AtomicUsize;

use super::*;

/// The fake with a number that all its vectors have in common, and that it does not know of.
struct Tilted {
    fake: Fake,
    common: f32,
    texts: AtomicUsize,
    broken: AtomicBool,
}

impl Tilted {
    fn by(common: f32) -> Arc<Self> {
        Arc::new(Self { fake: Fake::default(), common, texts: AtomicUsize::new(0), broken: AtomicBool::new(false) })
    }
}

impl Embedder for Tilted {
    fn model(&self) -> &str {
        self.fake.model()
    }

    fn dimensions(&self) -> usize {
        self.fake.dimensions() + 1
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("broken".into());
        }
        self.texts.fetch_add(texts.len(), Ordering::SeqCst);
        let length = (1.0 + self.common * self.common).sqrt();
        let tilted = |vector: Vec<f32>| vector.into_iter().chain([self.common]).map(|x| x / length).collect();
        Ok(self.fake.embed(texts)?.into_iter().map(tilted).collect())
    }
}

async fn asked(embedder: Arc<Tilted>, mode: Mode) -> Vec<(String, f32, f32)> {
    let house = House::with(embedder, Limits::default());
    for (name, text) in [("a.txt", "pump valve"), ("b.txt", "pump hose rope clamp"), ("c.txt", "nothing of the kind")] {
        house.add(name, text).await;
    }
    let query = Query { mode, score_threshold: 0.0, ..query("pump valve") };
    let found = house.knowledge().search(&space("default"), query).await.unwrap();
    found.hits.into_iter().map(|hit| (hit.source, hit.score, hit.cosine.expect("it was computed"))).collect()
}

#[tokio::test]
async fn a_score_is_the_same_whatever_all_vectors_of_a_model_have_in_common() {
    for mode in [Mode::Vector, Mode::Hybrid] {
        let (plain, tilted) = (asked(Tilted::by(0.0), mode).await, asked(Tilted::by(3.0), mode).await);
        assert!(plain.len() >= 2 && plain.len() == tilted.len(), "{plain:?} {tilted:?}");
        for ((name, score, cosine), (of, same, other)) in plain.iter().zip(&tilted) {
            assert_eq!(name, of);
            assert!((score - same).abs() < 1e-3, "{mode:?} {name}: {score} {same}");
            assert!(*other > 0.89 && other - cosine > -1e-6, "{name}: {cosine} {other}");
        }
        assert!(plain[0].1 > 0.75 && plain[plain.len() - 1].1 < 0.75, "{plain:?}");
    }
}

#[tokio::test]
async fn what_is_common_is_measured_with_the_first_question_and_after_a_failure_with_the_next() {
    let embedder = Tilted::by(1.0);
    let house = House::with(embedder.clone(), Limits::default());
    house.add("a.txt", "pump valve").await;
    assert_eq!(embedder.texts.load(Ordering::SeqCst), 1);
    embedder.broken.store(true, Ordering::SeqCst);
    assert!(matches!(house.knowledge().search(&space("default"), query("pump")).await, Err(Error::Embed(_))));
    embedder.broken.store(false, Ordering::SeqCst);
    house.search("pump").await;
    let measured = embedder.texts.load(Ordering::SeqCst);
    assert!(measured > 40, "{measured}");
    house.search("valve").await;
    assert_eq!(embedder.texts.load(Ordering::SeqCst), measured + 1);
    let renewed = house.knowledge().renewed(Limits::default());
    renewed.search(&space("default"), query("hose")).await.unwrap();
    assert_eq!(embedder.texts.load(Ordering::SeqCst), measured + 2);
}

#[tokio::test]
async fn words_alone_measure_nothing() {
    let embedder = Tilted::by(1.0);
    let house = House::with(embedder.clone(), Limits::default());
    house.add("a.txt", "pump valve").await;
    let found = house.knowledge().search(&space("default"), Query { mode: Mode::Keyword, ..query("pump") }).await.unwrap();
    assert_eq!((found.hits[0].cosine, found.evidence[0].likeness), (None, None));
    assert_eq!(embedder.texts.load(Ordering::SeqCst), 1);
}
