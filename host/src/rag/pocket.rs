//! The embedder that is part of the program: a small sentence transformer, no network, no files.
//! Must not be loaded before the first text comes: its weights take 100 MB that an idle gateway must not pay.

use pocket_encoder::{Encoder, ModelInfo};

use super::Embedder;

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
        // The first call loads the weights, 0.1 s; later ones share them.
        let encoder = Encoder::new().map_err(|e| e.to_string())?;
        encoder.embed(texts).map_err(|e| e.to_string())
    }
}
