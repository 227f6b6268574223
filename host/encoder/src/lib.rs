//! Texts to vectors: sentence transformers of BERT's family and static models, on the processor, without network and without other processes.
//! A text's vector depends on the text and the model alone, not on the batch that it came in. Calls from several threads share the weights.

mod bert;
mod folder;
mod lookup;
mod matrix;
mod rows;
mod weights;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use tokenizers::{Tokenizer, TruncationParams};

use bert::{Bert, Scratch, Shape};
pub use folder::Settings;
use lookup::Lookup;
use weights::Weights;

/// What is read of one text before it is cut into tokens.
const TEXT_BYTES: usize = 64 << 10;
/// Tokens that go through the model together: enough that weights are fetched seldom, few enough that the numbers stay in the core's cache.
const BATCH_TOKENS: usize = 256;

/// A model's file, as the package has it.
macro_rules! asset {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

/// Why there is no encoder, or no vector.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {why}", path.display())]
    Refused { path: PathBuf, why: String },
    /// Without the text.
    #[error("{0}")]
    Text(String),
}

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    Mean,
    /// The first token's, `[CLS]`.
    Cls,
}

/// What a text is for. Some models want to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Query,
    Document,
}

/// What stands before each text, by its purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Prefixes {
    query: String,
    document: String,
}

/// A model and its tokenizer.
pub struct Encoder {
    tokenizer: Tokenizer,
    model: Model,
    prefixes: Prefixes,
    fingerprint: String,
}

enum Model {
    Bert { bert: Bert, pooling: Pooling },
    Lookup(Lookup),
}

thread_local! {
    /// What a thread works in, kept for its next call.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Encoder {
    /// The model that is part of the program; loading it takes 0.2 s and 30 MB.
    ///
    /// # Errors
    /// The program was built from damaged files.
    pub fn builtin() -> Result<Self, Error> {
        let refused = |why: String| Error::Refused { path: "the built-in model".into(), why };
        let config = serde_json::from_slice(asset!("config.json")).map_err(|e| refused(e.to_string()))?;
        let shape = Shape::read(&config).map_err(refused)?;
        let weights = Weights::packed(asset!("model.safetensors"), asset!("shapes.json")).map_err(refused)?;
        let bert = Bert::load(&weights, shape).map_err(refused)?;
        let tokenizer = tokenizer(asset!("tokenizer.json"), Self::BUILTIN_TOKENS).map_err(refused)?;
        let (fingerprint, _) = Self::builtin_model();
        Ok(Self { tokenizer, model: Model::Bert { bert, pooling: Pooling::Mean }, prefixes: Prefixes::default(), fingerprint })
    }

    /// Tokens that the built-in model reads of a text.
    pub const BUILTIN_TOKENS: usize = 128;

    /// The built-in model's name with its weights' hash, and the length of its vectors, without loading it. The package's own embedder has the
    /// same name, since its vectors are the same.
    pub fn builtin_model() -> (String, usize) {
        let pocket_encoder::ModelInfo { id, revision, dimensions, .. } = pocket_encoder::model_info();
        (format!("{id} {revision}"), dimensions)
    }

    /// A sentence transformer in a folder, as its publisher gives it: `model.safetensors`, `tokenizer.json`, `config.json`.
    ///
    /// # Errors
    /// A file is missing, damaged, or of a model that cannot be computed here.
    pub fn open(dir: &Path, settings: &Settings) -> Result<Self, Error> {
        folder::open(dir, settings)
    }

    /// A static model in a folder (model2vec): a table with a vector for each token.
    ///
    /// # Errors
    /// As for `open`.
    pub fn open_static(dir: &Path) -> Result<Self, Error> {
        lookup::open(dir)
    }

    /// Names what the vectors depend on: two encoders of one fingerprint give the same.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The length of every vector.
    pub fn dimensions(&self) -> usize {
        match &self.model {
            Model::Bert { bert, .. } => bert.dimensions(),
            Model::Lookup(table) => table.dimensions(),
        }
    }

    /// One unit vector for each text, in their order. What a text has beyond the model's length is not read.
    ///
    /// # Errors
    /// A text is blank, or the tokenizer and the model do not fit together.
    pub fn embed(&self, texts: &[&str], purpose: Purpose) -> Result<Vec<Vec<f32>>, Error> {
        let ids = texts.iter().map(|text| self.tokens(text, purpose)).collect::<Result<Vec<_>, _>>()?;
        match &self.model {
            Model::Lookup(table) => ids.iter().map(|ids| table.vector(ids)).collect(),
            Model::Bert { bert, pooling } => {
                let mut vectors = Vec::with_capacity(texts.len());
                let mut rest = &ids[..];
                while !rest.is_empty() {
                    let (batch, later) = rest.split_at(batch(rest));
                    SCRATCH.with_borrow_mut(|scratch| {
                        bert.run(batch, scratch).map(|rows| pool(*pooling, bert.dimensions(), rows, batch, &mut vectors))
                    })??;
                    rest = later;
                }
                Ok(vectors)
            }
        }
    }

    fn tokens(&self, text: &str, purpose: Purpose) -> Result<Vec<u32>, Error> {
        let text = text.trim_start();
        if text.is_empty() {
            return Err(Error::Text("a text is blank".into()));
        }
        let text = &text[..text.floor_char_boundary(TEXT_BYTES)];
        let prefix = match purpose {
            Purpose::Query => &self.prefixes.query,
            Purpose::Document => &self.prefixes.document,
        };
        let marks = matches!(self.model, Model::Bert { .. });
        let encoded = if prefix.is_empty() {
            self.tokenizer.encode_fast(text, marks)
        } else {
            self.tokenizer.encode_fast(format!("{prefix}{text}"), marks)
        };
        Ok(encoded.map_err(|e| Error::Text(e.to_string()))?.get_ids().to_vec())
    }
}

/// How many of the texts go through the model together; at least one.
fn batch(texts: &[Vec<u32>]) -> usize {
    let mut tokens = 0;
    let fits = texts.iter().take_while(|ids| {
        tokens += ids.len();
        tokens <= BATCH_TOKENS
    });
    fits.count().max(1)
}

/// Adds each text's vector.
fn pool(pooling: Pooling, width: usize, mut rows: &[f32], texts: &[Vec<u32>], vectors: &mut Vec<Vec<f32>>) -> Result<(), Error> {
    for ids in texts {
        let (own, later) = rows.split_at(ids.len() * width);
        rows = later;
        let mut vector = vec![0.0_f32; width];
        let taken = if pooling == Pooling::Cls { &own[..width] } else { own };
        for row in taken.chunks_exact(width) {
            vector.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        vectors.push(unit(vector)?);
    }
    Ok(())
}

fn unit(mut vector: Vec<f32>) -> Result<Vec<f32>, Error> {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if !length.is_finite() || length <= 0.0 {
        return Err(Error::Text("the model gave no direction for a text".into()));
    }
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    Ok(vector)
}

/// A tokenizer that cuts texts off at so many tokens.
fn tokenizer(json: &[u8], max_length: usize) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| e.to_string())?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(Some(TruncationParams { max_length, ..TruncationParams::default() })).map_err(|e| e.to_string())?;
    Ok(tokenizer)
}

#[cfg(test)]
mod tests;
