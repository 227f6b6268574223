//! Embeddings: many inputs in one `batchEmbedContents`. Most models tell no usage. Must not know OpenAI's wire form.
//! Source: Gemini API reference, "Embeddings", <https://ai.google.dev/api/embeddings>.

use serde::{Deserialize, Serialize};

use super::model::Model;
use crate::chat::Embedded;
use crate::chat::codec::to_json;
use crate::llm::adapter::{DecodeError, EmbeddingsRequest, HttpRequest, UnsupportedField};

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<Request<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u32>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Text<'a>; 1],
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    embeddings: Vec<Embedding>,
    usage_metadata: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
}

/// OpenAI's `user` has no counterpart and changes no vector: it stays here.
pub(super) fn encode(request: &EmbeddingsRequest<'_>) -> Result<HttpRequest, UnsupportedField> {
    request.texts_only()?;
    let model = Model::named(request.model)?;
    let resource = model.resource();
    let one = |text| Request { model: &resource, content: Content { parts: [Text { text }] }, output_dimensionality: request.dimensions };
    let batch = Batch { requests: request.inputs.iter().map(|input| one(input)).collect() };
    Ok(HttpRequest { path: model.path("batchEmbedContents"), headers: Vec::new(), body: to_json(&batch) })
}

pub(super) fn vectors(inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| DecodeError::Malformed(format!("no list of embeddings: {error}")))?;
    if answer.embeddings.len() != inputs {
        return Err(DecodeError::Malformed(format!("{} embeddings for {inputs} inputs", answer.embeddings.len())));
    }
    let prompt_tokens = answer.usage_metadata.and_then(|usage| usage.prompt_token_count).unwrap_or(0);
    Ok(Embedded { vectors: answer.embeddings.into_iter().map(|embedding| embedding.values).collect(), prompt_tokens })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(model: &str, dimensions: Option<u32>) -> Result<HttpRequest, UnsupportedField> {
        let inputs = ["a".to_owned(), "b".to_owned()];
        encode(&EmbeddingsRequest { model, inputs: &inputs, tokens: None, dimensions, user: Some("someone") })
    }

    #[test]
    fn every_input_is_a_request_of_its_own_in_one_batch() {
        let wire = request("gemini-embedding-001", Some(256)).expect("fits");
        assert_eq!(wire.path, "/models/gemini-embedding-001:batchEmbedContents");
        let one = |text: &str| json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]}, "outputDimensionality": 256});
        assert_eq!(serde_json::from_slice::<Value>(&wire.body).expect("JSON"), json!({"requests": [one("a"), one("b")]}));
        let plain = request("models/x", None).expect("fits");
        assert!(!String::from_utf8_lossy(&plain.body).contains("outputDimensionality"));
        assert_eq!(request("", None).expect_err("no model").param, "model");
    }

    #[test]
    fn vectors_come_in_the_order_of_the_inputs_and_none_is_missing() {
        let body = br#"{"embeddings":[{"values":[0.5,1]},{"values":[-1.0,2e-1]}]}"#;
        let expected = Embedded { vectors: vec![vec![0.5, 1.0], vec![-1.0, 0.2]], prompt_tokens: 0 };
        assert_eq!(vectors(2, body), Ok(expected));
        let told = br#"{"embeddings":[],"usageMetadata":{"promptTokenCount":5}}"#;
        assert_eq!(vectors(0, told), Ok(Embedded { vectors: vec![], prompt_tokens: 5 }));
        assert!(matches!(vectors(3, body), Err(DecodeError::Malformed(text)) if text == "2 embeddings for 3 inputs"));
        assert!(matches!(vectors(1, b"{}"), Err(DecodeError::Malformed(_))));
    }
}
