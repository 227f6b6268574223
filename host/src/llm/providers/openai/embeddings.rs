//! OpenAI-shaped embeddings: the request, and the reply, whose vectors are lists of numbers or base64 of little-endian floats. There is one
//! vector for each input, in the order of the inputs, and all have one length. Source: OpenAI API reference, "Create embeddings".

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::errors::InBand;
use crate::chat::Embedded;
use crate::chat::codec::to_json;
use crate::llm::adapter::{DecodeError, EmbeddingsRequest};
use crate::llm::base64;
use crate::llm::error_body::tree;

/// The body of `POST /embeddings`.
pub(in crate::llm) fn embeddings_body(request: &EmbeddingsRequest<'_>) -> Bytes {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Input<'a> {
        Texts(&'a [String]),
        Tokens(&'a RawValue),
    }
    #[derive(Serialize)]
    struct Body<'a> {
        model: &'a str,
        input: Input<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        dimensions: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
    }
    let EmbeddingsRequest { model, inputs, tokens, dimensions, user } = *request;
    let input = tokens.map_or(Input::Texts(inputs), Input::Tokens);
    // Without `encoding_format` every server sends numbers; some do not know the field, and some refuse one of its values. Both forms are read.
    to_json(&Body { model, input, dimensions, user })
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    data: Option<Vec<Entry<'a>>>,
    usage: Option<Usage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    success: Option<bool>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    index: Option<usize>,
    /// Numbers, or base64. They are told apart by hand, because an untagged enum would first hold every number in a form several times as large.
    #[serde(borrow)]
    embedding: &'a RawValue,
}

/// The vectors for this many inputs.
///
/// # Errors
/// See [`DecodeError`]; `Malformed` also if there is not one vector for each input.
pub(in crate::llm) fn decode_embeddings(inputs: usize, body: &[u8], in_band: InBand) -> Result<Embedded, DecodeError> {
    let malformed = |error: serde_json::Error| DecodeError::Malformed(format!("no embeddings: {error}"));
    let reply: Reply<'_> = serde_json::from_slice(body).map_err(malformed)?;
    if reply.error.is_some() || reply.success == Some(false) {
        let (status, error) = in_band(&tree(body).map_err(malformed)?);
        return Err(DecodeError::Error(status, error));
    }
    let entries = reply.data.ok_or_else(|| DecodeError::Malformed("it has no `data`".into()))?;
    let mut placed: Vec<Option<Vec<f32>>> = vec![None; inputs];
    for (at, entry) in entries.into_iter().enumerate() {
        let index = entry.index.unwrap_or(at);
        let raw = entry.embedding.get();
        let vector = if raw.starts_with('"') {
            // `/` may be escaped.
            let text: String = serde_json::from_str(raw).map_err(malformed)?;
            floats(&text).ok_or_else(|| DecodeError::Malformed("a vector that is no base64 of floats".into()))?
        } else {
            serde_json::from_str(raw).map_err(malformed)?
        };
        match placed.get_mut(index) {
            Some(place @ None) => *place = Some(vector),
            _ => return Err(DecodeError::Malformed(format!("a vector for input {index}, which was not asked for or has one"))),
        }
    }
    let placed = placed.into_iter().collect::<Option<Vec<_>>>();
    let missing = || DecodeError::Malformed(format!("fewer vectors than the {inputs} inputs"));
    let prompt_tokens = reply.usage.and_then(|usage| usage.prompt_tokens).unwrap_or(0);
    vectors(inputs, placed.ok_or_else(missing)?, prompt_tokens)
}

/// Vectors that are one for each input, of one length, and all numbers.
///
/// # Errors
/// `Malformed` if they are not.
pub(in crate::llm) fn vectors(inputs: usize, vectors: Vec<Vec<f32>>, prompt_tokens: u64) -> Result<Embedded, DecodeError> {
    let length = vectors.first().map_or(0, Vec::len);
    let even = vectors.iter().all(|vector| vector.len() == length && vector.iter().all(|number| number.is_finite()));
    if vectors.len() != inputs || !even || (inputs > 0 && length == 0) {
        return Err(DecodeError::Malformed(format!("not one vector of one length for each of the {inputs} inputs")));
    }
    Ok(Embedded { vectors, prompt_tokens })
}

/// The floats in base64; none if it is something else.
fn floats(text: &str) -> Option<Vec<f32>> {
    let bytes = base64::decode(text)?;
    let (whole, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| whole.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::chat::codec::json;
    use crate::llm::providers::openai::in_band;

    fn read(inputs: usize, body: &str) -> Result<Embedded, DecodeError> {
        decode_embeddings(inputs, body.as_bytes(), in_band)
    }

    #[test]
    fn vectors_are_put_into_the_order_of_their_inputs() {
        let body = r#"{"object":"list","data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1.5,-2]}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#;
        assert_eq!(read(2, body), Ok(Embedded { vectors: vec![vec![1.5, -2.0], vec![3.0, 4.0]], prompt_tokens: 7 }));
        let bare = r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#;
        assert_eq!(read(2, bare), Ok(Embedded { vectors: vec![vec![1.0], vec![2.0]], prompt_tokens: 0 }));
    }

    #[test]
    fn base64_is_read_as_little_endian_floats() {
        // 1.0 is 00 00 80 3f, -2.5 is 00 00 20 c0.
        assert_eq!(floats("AACAPw=="), Some(vec![1.0]));
        assert_eq!(read(1, r#"{"data":[{"index":0,"embedding":"AACAPwAAIMA="}]}"#).expect("vectors").vectors, [[1.0, -2.5]]);
        for odd in ["AACAP!", "AACA", "A"] {
            assert_eq!(floats(odd).filter(|floats| !floats.is_empty()), None, "{odd}");
        }
    }

    #[test]
    fn a_reply_without_one_vector_for_each_input_is_malformed() {
        for (inputs, body) in [
            (2, r#"{"data":[{"index":0,"embedding":[1]}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1]}]}"#),
            (2, r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#),
            (2, r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":[]}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":[1e99]}]}"#),
            (1, r#"{"data":[{"index":0,"embedding":"no base64"}]}"#),
            (1, r#"{"data":null}"#),
            (1, "[]"),
            (1, "nothing"),
        ] {
            assert!(matches!(read(inputs, body), Err(DecodeError::Malformed(_))), "{body}");
        }
    }

    #[test]
    fn an_error_in_a_success_is_an_error() {
        for body in [r#"{"error":{"message":"m","code":429}}"#, r#"{"success":false,"errors":[{"message":"m","code":429}]}"#] {
            let Err(DecodeError::Error(StatusCode::TOO_MANY_REQUESTS, words)) = read(1, body) else { panic!("{body}") };
            assert_eq!(words.message.as_deref(), Some("m"));
        }
    }

    #[test]
    fn an_embeddings_request_says_only_what_is_known() {
        let inputs = ["a".to_owned(), "b".to_owned()];
        let request = EmbeddingsRequest { model: "m", inputs: &inputs, tokens: None, dimensions: None, user: None };
        assert_eq!(&embeddings_body(&request)[..], br#"{"model":"m","input":["a","b"]}"#);
        let tokens = json("[[1,2]]".into()).expect("JSON");
        let counted = EmbeddingsRequest { inputs: &[], tokens: Some(&tokens), ..request };
        assert_eq!(&embeddings_body(&counted)[..], br#"{"model":"m","input":[[1,2]]}"#);
        let request = EmbeddingsRequest { dimensions: Some(8), user: Some("u"), ..request };
        assert_eq!(&embeddings_body(&request)[..], br#"{"model":"m","input":["a","b"],"dimensions":8,"user":"u"}"#);
    }
}
