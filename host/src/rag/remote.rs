//! An embedder at a provider. It is asked from the threads that embed, so that no more requests are under way than there are threads, and
//! questions wait for none of documents'. Who asks, retries and keeps the secrets is behind a port.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Embedder;
use super::embed::BatchSize;
use super::spaces::VectorSpace;

/// The longest vectors.
pub const DIMENSIONS_MAX: usize = 8_192;
/// What is embedded only to learn how long the vectors are.
const PROBE: &str = "length";

/// What goes into one request: what all providers take, in a body that arrives before anybody wonders.
const BATCH: BatchSize = BatchSize { texts: 64, bytes: 64 << 10 };

/// Whose vectors are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteModel {
    pub provider: String,
    pub model: String,
    pub secret_key_name: Option<String>,
    /// The length of its vectors; without it, the first vector tells.
    pub dimensions: Option<usize>,
    /// For one request, with all that is tried again.
    pub time: Duration,
}

/// Asks providers for vectors.
pub trait AskVectors: Send + Sync + 'static {
    /// One vector for each text, in their order.
    ///
    /// # Errors
    /// Says what failed, without the texts.
    fn vectors<'a>(&'a self, model: &'a RemoteModel, texts: Vec<String>) -> BoxFuture<'a, Result<Vec<Vec<f32>>, String>>;
}

pub(super) struct Remote {
    model: RemoteModel,
    port: Arc<dyn AskVectors>,
    runtime: Handle,
    known: OnceLock<VectorSpace>,
}

impl Remote {
    /// Asks nobody yet.
    pub(super) fn new(model: RemoteModel, port: Arc<dyn AskVectors>, runtime: Handle) -> Self {
        let known = model.dimensions.map_or_else(OnceLock::new, |dimensions| space(&model, dimensions).into());
        Self { model, port, runtime, known }
    }

    fn ask(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        let texts = texts.iter().map(ToString::to_string).collect();
        let (port, model) = (Arc::clone(&self.port), self.model.clone());
        let (answer, answered) = oneshot::channel();
        // On the runtime's own threads: when it ends, the task does, and this thread hears of it.
        self.runtime.spawn(async move {
            // Nobody listens if the thread panicked.
            let _ = answer.send(port.vectors(&model, texts).await);
        });
        answered.blocking_recv().unwrap_or_else(|_| Err("the server is stopping".into()))
    }
}

/// With the length in its name: some models have several, which lie in spaces of their own.
fn space(RemoteModel { provider, model, .. }: &RemoteModel, dimensions: usize) -> VectorSpace {
    VectorSpace { model: format!("{provider}/{model} {dimensions}").into(), dimensions }
}

impl Embedder for Remote {
    fn model(&self) -> &str {
        self.known.get().map_or("", |known| &known.model)
    }

    fn dimensions(&self) -> usize {
        self.known.get().map_or(0, |known| known.dimensions)
    }

    fn makes(&self, wanted: &VectorSpace) -> bool {
        // If nobody said how long the vectors are, those of a namespace that it embedded tell, also while the provider is down.
        let is_its_own = space(&self.model, wanted.dimensions) == *wanted;
        is_its_own && self.known.get_or_init(|| wanted.clone()) == wanted
    }

    fn find_out(&self) -> Result<(), String> {
        if self.known.get().is_some() {
            return Ok(());
        }
        let length = self.ask(&[PROBE])?.first().map_or(0, Vec::len);
        if !(1..=DIMENSIONS_MAX).contains(&length) {
            let RemoteModel { provider, model, .. } = &self.model;
            return Err(format!("{provider}/{model} gives vectors of {length} numbers, and 1 to {DIMENSIONS_MAX} can be kept"));
        }
        self.known.get_or_init(|| space(&self.model, length));
        Ok(())
    }

    fn batch_size(&self) -> BatchSize {
        BATCH
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        let vectors = self.ask(texts)?;
        vectors.into_iter().map(|vector| self.unit(vector)).collect()
    }
}

impl Remote {
    fn unit(&self, mut vector: Vec<f32>) -> Result<Vec<f32>, String> {
        let (name, wanted) = (self.model(), self.dimensions());
        if vector.len() != wanted {
            let whose = if self.model.dimensions.is_some() { "and its `dimensions` are" } else { "and they were" };
            return Err(format!("{name} gives vectors of {} numbers, {whose} {wanted}", vector.len()));
        }
        let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() || length <= 0.0 {
            return Err(format!("{name} gave a vector without a direction"));
        }
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        Ok(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says what it is asked to say for each text.
    struct Said(Result<Vec<f32>, String>);

    impl AskVectors for Said {
        fn vectors<'a>(&'a self, _: &'a RemoteModel, texts: Vec<String>) -> BoxFuture<'a, Result<Vec<Vec<f32>>, String>> {
            let said = self.0.clone();
            Box::pin(async move { texts.iter().map(|_| said.clone()).collect() })
        }
    }

    fn embedded(dimensions: Option<usize>, said: Result<Vec<f32>, String>) -> Result<Vec<Vec<f32>>, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let remote = remote(dimensions, said, &runtime);
        remote.find_out()?;
        remote.embed(&["x", "y"])
    }

    fn remote(dimensions: Option<usize>, said: Result<Vec<f32>, String>, runtime: &tokio::runtime::Runtime) -> Remote {
        let time = Duration::from_secs(1);
        let model = RemoteModel { provider: "a".into(), model: "m".into(), secret_key_name: None, dimensions, time };
        Remote::new(model, Arc::new(Said(said)), runtime.handle().clone())
    }

    #[test]
    fn vectors_become_unit_vectors_and_others_than_the_operator_wrote_are_refused() {
        for dimensions in [Some(2), None] {
            assert_eq!(embedded(dimensions, Ok(vec![3.0, 4.0])).unwrap(), [[0.6, 0.8], [0.6, 0.8]]);
            assert!(embedded(dimensions, Ok(vec![0.0, 0.0])).unwrap_err().contains("without a direction"));
            assert_eq!(embedded(dimensions, Err("down".into())).unwrap_err(), "down");
        }
        assert_eq!(embedded(Some(2), Ok(vec![1.0; 3])).unwrap_err(), "a/m 2 gives vectors of 3 numbers, and its `dimensions` are 2");
        assert!(embedded(None, Ok(Vec::new())).unwrap_err().contains("0 numbers, and 1 to 8192 can be kept"));
        assert!(embedded(None, Ok(vec![1.0; DIMENSIONS_MAX + 1])).unwrap_err().contains("8193 numbers"));
        assert_eq!(embedded(None, Ok(vec![1.0; DIMENSIONS_MAX])).unwrap()[0].len(), DIMENSIONS_MAX);
    }

    #[test]
    fn the_length_that_nobody_wrote_is_that_of_the_first_vector_or_of_what_is_recorded() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let of = |model: &str, dimensions| VectorSpace { model: model.into(), dimensions };
        let asked = remote(None, Ok(vec![3.0, 4.0]), &runtime);
        asked.find_out().unwrap();
        assert_eq!((asked.model(), asked.dimensions()), ("a/m 2", 2));
        assert!(asked.makes(&of("a/m 2", 2)) && !asked.makes(&of("a/m 3", 3)));
        // Its provider is down.
        let recorded = remote(None, Err("down".into()), &runtime);
        assert!(!recorded.makes(&of("b/m 3", 3)) && !recorded.makes(&of("a/m 3", 4)) && recorded.find_out().is_err());
        assert!(recorded.makes(&of("a/m 3", 3)) && recorded.find_out().is_ok() && !recorded.makes(&of("a/m 2", 2)));
        assert_eq!((recorded.model(), recorded.dimensions()), ("a/m 3", 3));
        // What the operator wrote goes before what is recorded.
        let written = remote(Some(2), Err("down".into()), &runtime);
        assert!(!written.makes(&of("a/m 3", 3)) && written.makes(&of("a/m 2", 2)));
    }
}
