//! The dialect from end to end: golden files, and one test for each conformance item that concerns Anthropic.

use serde_json::json;

use super::*;
use crate::chat::codec::{ChatRequest, parse_request, to_json};
use crate::chat::{ChunkWriter, Completion, Delta, Name};
use crate::llm::adapter::{DecodeError, ReplyDecoder, Unsupported};
use crate::llm::golden;

mod fields;
mod history;
mod stream;

const MODEL: &str = "claude-sonnet-4-0";

#[test]
fn golden_files() {
    golden::check(&Anthropic::new(&AnthropicOptions::default()), "anthropic");
}

/// What becomes of an OpenAI body: the body on the wire, and the decoder of the reply.
fn asked(body: &Value, unsupported: Unsupported) -> Result<(Value, Box<dyn ReplyDecoder>), UnsupportedField> {
    let ChatRequest { model, messages, params, stream, .. } = parse_request(body.to_string().as_bytes()).expect("a request");
    let name = Name { id: "chatcmpl-ours".into(), model: model.clone(), created: 7 };
    let request = CompletionRequest { model: &model, messages: &messages, params: &params, stream, unsupported, name };
    let (wire, decoding) = Anthropic::new(&AnthropicOptions::default()).encode_chat(&request)?;
    let Decoding::Translated(decoder) = decoding else { panic!("Anthropic's replies are in its own shape") };
    Ok((serde_json::from_slice(&wire.body).expect("JSON"), decoder))
}

/// The body on the wire.
#[track_caller]
fn wire(body: &Value) -> Value {
    asked(body, Unsupported::Refuse).map(|(wire, _)| wire).unwrap_or_else(|unsupported| panic!("{unsupported:?}"))
}

/// Which field is refused.
#[track_caller]
fn refused(body: &Value) -> String {
    asked(body, Unsupported::Refuse).map(|(wire, _)| wire).expect_err("it is refused").param
}

/// The body on the wire if fields that the API cannot take are left out.
#[track_caller]
fn dropped(body: &Value) -> Value {
    asked(body, Unsupported::Drop).map(|(wire, _)| wire).unwrap_or_else(|unsupported| panic!("{unsupported:?}"))
}

/// A question with these fields.
fn with(fields: Value) -> Value {
    let mut body = json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]});
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    body.as_object_mut().expect("an object").extend(fields);
    body
}

/// A conversation of these messages.
fn of(messages: Value) -> Value {
    json!({"model": MODEL, "messages": messages})
}

fn plain_decoder() -> Box<dyn ReplyDecoder> {
    asked(&with(json!({})), Unsupported::Refuse).expect("fits").1
}

fn whole(reply: &Value) -> Result<Value, DecodeError> {
    let completion: Completion = plain_decoder().whole(reply.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&to_json(&completion)).expect("JSON"))
}

/// What a client gets of a stream: each delta and each finish reason, and whether the stream came to its end.
struct Collected {
    deltas: Vec<Value>,
    reasons: Vec<String>,
    usage: Option<crate::chat::Usage>,
    complete: bool,
    error: Option<DecodeError>,
}

fn collected(events: &[Value]) -> Collected {
    collected_from(plain_decoder(), events)
}

fn collected_from(mut decoder: Box<dyn ReplyDecoder>, events: &[Value]) -> Collected {
    let mut found: Vec<Delta> = Vec::new();
    let error = events.iter().find_map(|event| decoder.event(event.to_string().as_bytes(), &mut found).err());
    let complete = decoder.end(&mut found);
    let mut writer = ChunkWriter::new(Name { id: "chatcmpl-ours".into(), model: MODEL.into(), created: 7 }, false);
    let mut collected = Collected { deltas: Vec::new(), reasons: Vec::new(), usage: None, complete, error };
    let mut sink = |chunk: &str| {
        let chunk: Value = serde_json::from_str(chunk).expect("JSON");
        let choice = &chunk["choices"][0];
        collected.reasons.extend(choice["finish_reason"].as_str().map(str::to_owned));
        collected.deltas.push(choice["delta"].clone());
    };
    for delta in found {
        writer.write(delta, &mut sink);
    }
    collected.usage = writer.usage();
    collected
}

#[test]
fn a_key_goes_into_its_header_and_an_oauth_token_is_a_bearer_token() {
    let credentials = |key| Anthropic::new(&AnthropicOptions::default()).credentials(key);
    assert_eq!(credentials("sk-ant-api03-x"), (HeaderName::from_static("x-api-key"), "sk-ant-api03-x".to_owned()));
    assert_eq!(credentials("sk-ant-oat01-x"), (header::AUTHORIZATION, "Bearer sk-ant-oat01-x".to_owned()));
}

#[test]
fn the_operators_beta_features_are_named_once_in_one_header() {
    let header = |betas: &[&str], content: Value| {
        let options =
            AnthropicOptions { betas: betas.iter().map(|beta| (*beta).to_owned()).collect(), bearer: true, ..AnthropicOptions::default() };
        let anthropic = Anthropic::new(&options);
        assert_eq!(anthropic.credentials("k").1, "Bearer k");
        let ask = json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": content}]});
        let ChatRequest { model, messages, params, .. } = parse_request(ask.to_string().as_bytes()).expect("a request");
        let name = Name { id: "i".into(), model: "m".into(), created: 1 };
        let request = CompletionRequest {
            model: &model,
            messages: &messages,
            params: &params,
            stream: false,
            unsupported: Unsupported::Refuse,
            name,
        };
        let (wire, _) = anthropic.encode_chat(&request).expect("it fits");
        wire.headers.into_iter().find(|(name, _)| name == "anthropic-beta").map(|(_, value)| value)
    };
    let file = json!([{"type": "file", "file": {"file_id": "file_1"}}]);
    assert_eq!(header(&[], json!("hi")), None);
    assert_eq!(header(&["context-1m-2025-08-07", "b"], json!("hi")).as_deref(), Some("context-1m-2025-08-07,b"));
    assert_eq!(header(&["b"], file.clone()).as_deref(), Some("b,files-api-2025-04-14"));
    assert_eq!(header(&["files-api-2025-04-14"], file).as_deref(), Some("files-api-2025-04-14"));
}

#[test]
fn there_are_no_embeddings() {
    assert!(Anthropic::new(&AnthropicOptions::default()).embeddings().is_none());
}
