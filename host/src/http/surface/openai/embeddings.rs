//! `POST /v1/embeddings`: texts to vectors, by a provider or by the embedder inside this program.
//! Invariant: there are as many vectors as inputs, in their order. Source: OpenAI API reference, "Create embeddings".

use std::fmt;
use std::marker::PhantomData;

use data_encoding::BASE64;
use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::chat::codec::{self, Form};
use crate::chat::{Deadline, Embed, Embedded, Inputs, Kept};
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::json_body::{self, Reading};
use crate::http::respond;
use crate::http::route::Call;
use crate::llm::Asker;

/// The body. A field that must be there is optional here, so that the error for its absence can name a remedy.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "EmbeddingsRequest")]
pub(super) struct Wire<'a> {
    #[schemars(required, with = "String")]
    model: Option<String>,
    #[schemars(required, with = "InputForms")]
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    dimensions: Option<u32>,
    /// `float`, the default, or `base64`
    encoding_format: Option<String>,
    user: Option<String>,
}

/// What `input` may be.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by hand; here for its schema")]
enum InputForms {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

/// The form in which the client wants its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Float,
    /// Little-endian f32, which OpenAI's own client asks for.
    Base64,
}

/// A request, read.
struct Asked {
    model: String,
    embed: Embed,
    format: Format,
}

pub(super) async fn create(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, .. } = call;
    let most = shared.limits.embedding_inputs;
    let reading = Reading { shared, head, body, log: &mut *log };
    let Asked { model, embed, format } = reading.parsed(Form::Embeddings, move |text| Ok(asked(&text, most)?)).await?;
    let Some(target) = shared.state.catalog.embedding(&model) else {
        return Err(Refusal::NoEmbedding(model.into()).into());
    };
    log.pipeline = Some(model.as_str().into());
    log.meter_end_user(&head.headers, embed.user.as_deref())?;
    let deadline = Deadline::after(shared.limits.request_time.saturating_sub(log.began.elapsed()));
    let (caller, end_user) = (log.caller.as_deref(), log.end_user.as_ref());
    let kept = Kept::default();
    let asker = Asker { id: &log.id, model: &model, caller, end_user, client: &log.client, deadline, tries: &log.tries, kept: &kept };
    let embedded = shared.state.runner.embed(&target, embed, &asker).await?;
    Ok(respond::json(StatusCode::OK, &answer(&model, &embedded, format)))
}

fn asked(text: &[u8], most: usize) -> Result<Asked, Refusal> {
    let wire: Wire<'_> = json_body::value(text)?;
    let model = wire.model.ok_or_else(|| Refusal::field("model", "is missing; GET /v1/models lists the ids"))?;
    let input = wire.input.ok_or_else(|| Refusal::field("input", "is missing: a text, or a list of texts"))?;
    let format = match wire.encoding_format.as_deref() {
        None | Some("float") => Format::Float,
        Some("base64") => Format::Base64,
        Some(_) => return Err(Refusal::field("encoding_format", "must be \"float\" or \"base64\"")),
    };
    if wire.dimensions == Some(0) {
        return Err(Refusal::field("dimensions", "must be at least 1"));
    }
    let embed = Embed { inputs: inputs(input, most)?, dimensions: wire.dimensions, user: wire.user };
    Ok(Asked { model, embed, format })
}

/// A text, a list of texts, a list of token ids, or a list of such lists.
fn inputs(json: &RawValue, most: usize) -> Result<Inputs, Refusal> {
    let field = |message: String| Refusal::field("input", message);
    let forms = || field("must be a text, a list of texts, or lists of token ids".into());
    let first = json.get().trim_start_matches(['[', ' ', '\t', '\r', '\n']).chars().next();
    let inputs = if first.is_some_and(|c| c == '-' || c.is_ascii_digit()) {
        let (count, json) = tokens(json.get()).ok_or_else(forms)?;
        if json.contains("[]") {
            return Err(field("has an empty list of tokens".into()));
        }
        Inputs::Tokens { count, json: codec::json(json).expect("lists of numbers are JSON") }
    } else if json.get().starts_with('"') {
        Inputs::Texts(vec![serde_json::from_str(json.get()).map_err(|_| forms())?])
    } else {
        Inputs::Texts(serde_json::from_str(json.get()).map_err(|_| forms())?)
    };
    if let Inputs::Texts(texts) = &inputs
        && let Some(at) = texts.iter().position(|text| text.trim().is_empty())
    {
        return Err(Refusal::field(if texts.len() == 1 { "input".into() } else { format!("input[{at}]") }, "must hold text"));
    }
    match inputs.count() {
        0 => Err(field("must hold at least one text".into())),
        count if count > most => Err(field(format!("has more than {most} texts (`limits.http.embedding_inputs`)"))),
        _ => Ok(inputs),
    }
}

/// The number of lists and their JSON without blanks. The numbers are looked at and not kept: there may be millions.
fn tokens(text: &str) -> Option<(usize, String)> {
    #[derive(Deserialize)]
    struct Lists(#[serde(deserialize_with = "counted::<Tokens, _>")] usize);
    #[derive(Deserialize)]
    struct Tokens(
        #[expect(dead_code, reason = "only looked at")]
        #[serde(deserialize_with = "counted::<u32, _>")]
        usize,
    );
    let mut json = String::with_capacity(text.len() + "[]".len());
    let lists = serde_json::from_str::<Lists>(text).map(|Lists(count)| count);
    if lists.is_err() {
        serde_json::from_str::<Tokens>(text).ok()?;
        json.push('[');
    }
    json.extend(text.split_ascii_whitespace());
    if lists.is_err() {
        json.push(']');
    }
    Some((lists.unwrap_or(1), json))
}

/// The length of a list whose elements are none the less what they must be.
fn counted<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    struct Elements<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
        type Value = usize;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while list.next_element::<T>()?.is_some() {
                count += 1;
            }
            Ok(count)
        }
    }
    deserializer.deserialize_seq(Elements(PhantomData::<T>))
}

/// The answer, written straight from the vectors: a tree of JSON values would be many times their size.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Embeddings")]
pub(super) struct Answer<'a> {
    object: &'static str,
    data: Vec<Row<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Embedding")]
struct Row<'a> {
    object: &'static str,
    index: usize,
    embedding: Numbers<'a>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "EmbeddingNumbers")]
enum Numbers<'a> {
    Float(&'a [f32]),
    Base64(String),
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EmbeddingUsage")]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

fn answer<'a>(model: &'a str, embedded: &'a Embedded, format: Format) -> Answer<'a> {
    let numbers = |vector: &'a Vec<f32>| match format {
        Format::Float => Numbers::Float(vector),
        Format::Base64 => Numbers::Base64(BASE64.encode(&vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())),
    };
    let row = |(index, vector)| Row { object: "embedding", index, embedding: numbers(vector) };
    let tokens = embedded.prompt_tokens;
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    Answer { object: "list", data: embedded.vectors.iter().enumerate().map(row).collect(), model, usage }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(json: &str, most: usize) -> Result<Inputs, Refusal> {
        inputs(serde_json::from_str(json).expect("JSON"), most)
    }

    #[test]
    fn every_form_of_input_is_read() {
        let texts = |json| match read(json, 9) {
            Ok(Inputs::Texts(texts)) => texts,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!((texts(r#""a""#), texts(r#"["a", "b"]"#)), (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
        for (json, tokens) in [("[1, 2]", "[[1,2]]"), (" [ [1],[2,3] ]", "[[1],[2,3]]")] {
            let Ok(Inputs::Tokens { json: kept, .. }) = read(json, 9) else { panic!("{json}") };
            assert_eq!(kept.get(), tokens);
        }
    }

    #[test]
    fn an_input_that_cannot_be_is_refused_and_their_number_has_an_edge() {
        for (json, param) in [
            ("7", "input"),
            ("{}", "input"),
            ("[]", "input"),
            ("\" \"", "input"),
            (r#"["a",""]"#, "input[1]"),
            (r#"["a",1]"#, "input"),
            ("[[1],[]]", "input"),
            ("[-1]", "input"),
            (r#"["a","b","c"]"#, "input"),
            ("[[1],[2],[3]]", "input"),
        ] {
            assert!(matches!(read(json, 2), Err(Refusal::Field { param: found, .. }) if found == param), "{json}");
        }
        assert!(read(r#"["a","b"]"#, 2).is_ok());
    }

    #[test]
    fn vectors_are_written_as_numbers_or_as_their_bytes() {
        let embedded = Embedded { vectors: vec![vec![1.0, -0.5]], prompt_tokens: 3 };
        let answer = |format| -> Value { serde_json::to_value(answer("m", &embedded, format)).expect("JSON") };
        let float = answer(Format::Float);
        let expected = json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3},
            "data": [{"object": "embedding", "index": 0, "embedding": [1.0, -0.5]}]});
        assert_eq!(float, expected);
        assert_eq!(answer(Format::Base64)["data"][0]["embedding"], json!("AACAPwAAAL8="));
    }
}
