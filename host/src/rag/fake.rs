//! An embedder for tests: a normalised bag of words, each word hashed to a dimension. Deterministic, instant, no weights.
//! Texts that share words are similar, texts that share none are not; it knows nothing about meaning.

use super::Embedder;

/// Enough that two words of one test hardly ever share one.
const DIMENSIONS: usize = 1024;

/// The fake, under a model name of the test's choice.
pub struct Fake {
    model: String,
}

impl Fake {
    /// Two fakes of different names give different vectors, as two models do.
    pub fn named(model: &str) -> Self {
        Self { model: model.into() }
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0_f32; DIMENSIONS];
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let word = word.to_lowercase();
            // FNV-1a: the same on every machine and in every release of Rust, which `DefaultHasher` is not.
            let bytes = self.model.bytes().chain(word.bytes());
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            vector[(hash ^ (hash >> 32)) as usize % DIMENSIONS] += 1.0;
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length == 0.0 {
            // A text without words is like no other: a unit vector needs a direction.
            vector[0] = 1.0;
            return vector;
        }
        vector.iter().map(|x| x / length).collect()
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self::named("fake")
    }
}

impl Embedder for Fake {
    fn model(&self) -> &str {
        &self.model
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn is_centred(&self) -> bool {
        true
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        if texts.iter().any(|text| text.trim().is_empty()) {
            return Err("text must not be empty".into());
        }
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }
}
