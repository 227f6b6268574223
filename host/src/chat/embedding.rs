//! What an embeddings request asks for, and what comes back. Pure values.
//! Vectors stand in the order of their inputs. Source: OpenAI API reference, "Create embeddings".

use super::Json;

/// One request for vectors.
#[derive(Clone, Debug)]
pub struct Embed {
    pub inputs: Inputs,
    /// The length of the vectors, if the model lets the client choose.
    pub dimensions: Option<u32>,
    pub user: Option<String>,
}

/// What is to be turned into vectors, one each.
#[derive(Clone, Debug)]
pub enum Inputs {
    Texts(Vec<String>),
    /// Lists of token ids of the vendor's own tokeniser, as their JSON: some clients count and cut tokens themselves.
    Tokens {
        json: Json,
        count: usize,
    },
}

impl Inputs {
    /// Bytes of the texts, or of the lists of tokens as JSON.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.iter().map(String::len).sum(),
            Self::Tokens { json, .. } => json.get().len(),
        }
    }

    pub fn count(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Tokens { count, .. } => *count,
        }
    }
}

/// Vectors in the order of the inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedded {
    pub vectors: Vec<Vec<f32>>,
    /// 0 if the provider reports no count.
    pub prompt_tokens: u64,
}
