//! Static models (model2vec): a table with a vector for each token, whose mean is a text's. No neural network, thousands of texts a second.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::folder::{bytes, fingerprint, weights};
use crate::weights::{numbers, tensor};
use crate::{Encoder, Error, Model, Prefixes, tokenizer, unit};

/// Tokens that are read of a text.
const TOKENS: usize = 512;
/// The largest tokenizer.
const TOKENIZER_BYTES_MAX: u64 = 64 << 20;

pub(crate) struct Lookup {
    rows: Vec<f32>,
    width: usize,
    /// The row of each token, if some share one.
    mapping: Option<Vec<usize>>,
    /// How much each token counts; all the same if there are none.
    weights: Option<Vec<f32>>,
    /// The token that stands for words that the model does not know; it says nothing.
    unknown: Option<u32>,
}

pub(crate) fn open(dir: &Path) -> Result<Encoder, Error> {
    let refused = |name: &str, why: String| Error::Refused { path: dir.join(name), why };
    let cut = bytes(dir, "tokenizer.json", TOKENIZER_BYTES_MAX)?;
    let tokenizer = tokenizer(&cut, TOKENS).map_err(|why| refused("tokenizer.json", why))?;
    let file = weights(dir)?;
    let mut table = Lookup::read(&file).map_err(|why| refused("model.safetensors", why))?;
    let json: serde_json::Value = serde_json::from_slice(&cut).map_err(|e| refused("tokenizer.json", e.to_string()))?;
    let unknown = &json["model"];
    table.unknown = match (unknown["unk_token"].as_str(), unknown["unk_id"].as_u64()) {
        (Some(token), _) => tokenizer.token_to_id(token),
        (None, id) => id.and_then(|id| u32::try_from(id).ok()),
    };
    let fingerprint = fingerprint("static", &[&file, &cut]);
    Ok(Encoder { tokenizer, model: Model::Lookup(table), prefixes: Prefixes::default(), fingerprint })
}

impl Lookup {
    fn read(file: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let embeddings = tensor(&file, "embeddings")?;
        let &[count, width] = embeddings.shape() else { return Err("its `embeddings` are no table".into()) };
        if count == 0 || width == 0 {
            return Err("its `embeddings` are empty".into());
        }
        let rows = numbers(&embeddings, "embeddings", &[count, width])?;
        let list = |name: &str| file.tensor(name).ok().map(|tensor| (tensor.shape().iter().product::<usize>(), tensor));
        let weights = list("weights").map(|(length, tensor)| numbers(&tensor, "weights", &[length])).transpose()?;
        let mapping = list("mapping").map(|(_, tensor)| match tensor.dtype() {
            Dtype::I64 => Ok(tensor.data().as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b) as usize).collect()),
            Dtype::I32 => Ok(tensor.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b) as usize).collect()),
            other => Err(format!("its `mapping` is of {other:?}; i64 and i32 can be read")),
        });
        Ok(Self { rows, width, mapping: mapping.transpose()?, weights, unknown: None })
    }

    /// The length of every vector.
    pub(crate) fn dimensions(&self) -> usize {
        self.width
    }

    /// The mean of the tokens' vectors, as a unit vector. A text of which the model knows no word has a direction of its own: it is like no other.
    pub(crate) fn vector(&self, ids: &[u32]) -> Result<Vec<f32>, Error> {
        let mut vector = vec![0.0_f32; self.width];
        for id in ids.iter().filter(|id| Some(**id) != self.unknown) {
            let id = *id as usize;
            let row = self.mapping.as_ref().map_or(Some(id), |mapping| mapping.get(id).copied());
            let row = row.and_then(|row| self.rows.chunks_exact(self.width).nth(row));
            let weight = self.weights.as_ref().map_or(Some(1.0), |weights| weights.get(id).copied());
            let (Some(row), Some(weight)) = (row, weight) else {
                return Err(Error::Text("the tokenizer gives tokens that the model does not know".into()));
            };
            vector.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
        }
        if vector.iter().all(|x| *x == 0.0) {
            vector[0] = 1.0;
        }
        unit(vector)
    }
}
