//! The embedder that is part of the program: a small sentence transformer, no network, no files.
//! It is loaded when the first text comes: its weights take 100 MB, which an idle gateway need not spend.
//! A thread that embeds computes alone: what it gains from others in one text, it loses by waiting for theirs.

use pocket_encoder::{Encoder, ModelInfo};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::Embedder;

/// What the encoder takes of one text; it reads 128 tokens of it.
const TEXT_BYTES: usize = 64 << 10;

thread_local! {
    /// A pool of this thread alone. The encoder has each product of matrices computed by the pool that its thread belongs to, and without one by
    /// the process's, where those of a question would queue behind those of all documents, at the priority of whoever came first.
    static ALONE: Option<ThreadPool> = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().ok();
}

/// The bundled embedder.
pub struct Pocket {
    model: String,
    dimensions: usize,
}

impl Pocket {
    pub fn new() -> Self {
        let ModelInfo { id, revision, dimensions, .. } = pocket_encoder::model_info();
        Self { model: format!("{id} {revision}"), dimensions }
    }
}

impl Default for Pocket {
    fn default() -> Self {
        Self::new()
    }
}

impl Embedder for Pocket {
    fn model(&self) -> &str {
        &self.model
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        // Without it, as on a thread that is in a pool already, the result is the same.
        ALONE.with(|_| ());
        // The first call loads the weights, 0.1 s; later ones share them.
        let encoder = Encoder::new().map_err(|e| e.to_string())?;
        let start = |text: &&str| {
            let text = text.trim_start();
            text[..text.floor_char_boundary(TEXT_BYTES)].to_owned()
        };
        encoder.embed(&texts.iter().map(start).collect::<Vec<_>>()).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_gives_a_unit_vector_that_names_its_model() {
        let pocket = Pocket::new();
        let long = format!("{}pump{}", " ".repeat(2 * TEXT_BYTES), " é".repeat(TEXT_BYTES));
        for vector in pocket.embed(&["pump", &long]).unwrap() {
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!(vector.len() == pocket.dimensions() && (length - 1.0).abs() < 1e-4);
        }
        assert!(pocket.model().contains("minilm") && pocket.model().contains("sha256:"), "{}", pocket.model());
    }
}
