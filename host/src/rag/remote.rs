//! An embedder at a provider. It is asked from the threads that embed, so that no more requests are under way than there are threads, and
//! questions wait for none of documents'. Who asks, retries and keeps the secrets is behind a port.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::Embedder;
use super::embed::BatchSize;

/// What goes into one request: what all providers take, in a body that arrives before anybody wonders.
const BATCH: BatchSize = BatchSize { texts: 64, bytes: 64 << 10 };

/// Whose vectors are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteModel {
    pub provider: String,
    pub model: String,
    pub secret_key_name: Option<String>,
    /// The length of its vectors.
    pub dimensions: usize,
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
    name: String,
    model: RemoteModel,
    port: Arc<dyn AskVectors>,
    runtime: Handle,
}

impl Remote {
    /// Asks nobody yet.
    pub(super) fn new(model: RemoteModel, port: Arc<dyn AskVectors>, runtime: Handle) -> Self {
        // With the length: some models have several, which lie in spaces of their own.
        let name = format!("{}/{} {}", model.provider, model.model, model.dimensions);
        Self { name, model, port, runtime }
    }
}

impl Embedder for Remote {
    fn model(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.model.dimensions
    }

    fn batch_size(&self) -> BatchSize {
        BATCH
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        let texts = texts.iter().map(ToString::to_string).collect();
        let vectors = self.runtime.block_on(self.port.vectors(&self.model, texts))?;
        vectors.into_iter().map(|vector| self.unit(vector)).collect()
    }
}

impl Remote {
    fn unit(&self, mut vector: Vec<f32>) -> Result<Vec<f32>, String> {
        if vector.len() != self.model.dimensions {
            let wanted = self.model.dimensions;
            return Err(format!("{} gives vectors of {} numbers, and its `dimensions` are {wanted}", self.name, vector.len()));
        }
        let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() || length <= 0.0 {
            return Err(format!("{} gave a vector without a direction", self.name));
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

    fn embedded(said: Result<Vec<f32>, String>) -> Result<Vec<Vec<f32>>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let time = Duration::from_secs(1);
        let model = RemoteModel { provider: "a".into(), model: "m".into(), secret_key_name: None, dimensions: 2, time };
        Remote::new(model, Arc::new(Said(said)), runtime.handle().clone()).embed(&["x", "y"])
    }

    #[test]
    fn vectors_become_unit_vectors_and_others_than_the_operator_wrote_are_refused() {
        assert_eq!(embedded(Ok(vec![3.0, 4.0])).unwrap(), [[0.6, 0.8], [0.6, 0.8]]);
        assert_eq!(embedded(Ok(vec![1.0; 3])).unwrap_err(), "a/m 2 gives vectors of 3 numbers, and its `dimensions` are 2");
        assert!(embedded(Ok(vec![0.0, 0.0])).unwrap_err().contains("without a direction"));
        assert_eq!(embedded(Err("down".into())).unwrap_err(), "down");
    }
}
