//! The embedder that is part of the program: a small sentence transformer, no network, no files.
//! It is loaded when the first text comes: its weights take 30 MB, which an idle gateway need not spend. All of one process share them.

use std::sync::OnceLock;

use cofferdam_encoder::{Encoder, Purpose};

use super::Embedder;
use super::embed::BatchSize;

/// What goes through the model together without anybody noticing that it waited.
pub(super) const BATCH: BatchSize = BatchSize { texts: 16, bytes: 1_200 };

/// The bundled embedder.
pub struct Pocket {
    model: String,
    dimensions: usize,
}

impl Pocket {
    pub fn new() -> Self {
        let (model, dimensions) = Encoder::builtin_model();
        Self { model, dimensions }
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

    fn batch_size(&self) -> BatchSize {
        BATCH
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        static ENCODER: OnceLock<Result<Encoder, String>> = OnceLock::new();
        let encoder = ENCODER.get_or_init(|| Encoder::builtin().map_err(|e| e.to_string())).as_ref()?;
        encoder.embed(texts, Purpose::Document).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_are_unit_vectors_of_the_length_and_the_model_that_are_told_before_they_are_computed() {
        let pocket = Pocket::new();
        for vector in pocket.embed(&["pump", "a text of some more words"]).unwrap() {
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!(vector.len() == pocket.dimensions() && (length - 1.0).abs() < 1e-4);
        }
        assert!(pocket.model().contains("minilm") && pocket.model().contains("sha256:"), "{}", pocket.model());
    }
}
