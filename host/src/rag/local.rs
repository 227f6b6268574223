//! An embedder from a folder of the operator's: a sentence transformer or a static model, loaded when the server starts, so that what is wrong
//! with it is said then. It names itself by what its files hold: other files are another model.

use std::path::Path;

use cofferdam_encoder::{Encoder, Purpose, Settings};

use super::embed::BatchSize;
use super::pocket::BATCH;
use super::{Embedder, Error};

pub(super) struct Local {
    encoder: Encoder,
}

impl Local {
    /// # Errors
    /// `Embed`: a file is missing or damaged, or the model is none that can be computed here.
    pub(super) fn open(dir: &Path, settings: &Settings) -> Result<Self, Error> {
        Encoder::open(dir, settings).map(|encoder| Self { encoder }).map_err(|error| Error::Embed(crate::telemetry::chain(&error)))
    }

    /// # Errors
    /// As for `open`.
    pub(super) fn open_static(dir: &Path) -> Result<Self, Error> {
        Encoder::open_static(dir).map(|encoder| Self { encoder }).map_err(|error| Error::Embed(crate::telemetry::chain(&error)))
    }
}

impl Embedder for Local {
    fn model(&self) -> &str {
        self.encoder.fingerprint()
    }

    fn dimensions(&self) -> usize {
        self.encoder.dimensions()
    }

    fn batch_size(&self) -> BatchSize {
        BATCH
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        self.encoder.embed(texts, Purpose::Document).map_err(|e| e.to_string())
    }

    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        self.encoder.embed(texts, Purpose::Query).map_err(|e| e.to_string())
    }
}
