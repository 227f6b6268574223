//! What fuzzers and tests hold every decoder of provider bytes to: one function for each, which takes any bytes and panics if a promise is
//! broken. Compiled for tests and under `cfg(fuzzing)` only; the targets in `tests/fuzz` call it. Input has no header: how it is cut into reads
//! follows from a hash of it, so that a recorded stream is a seed as it is.

mod drive;
mod judge;

use bytes::Bytes;
use http::StatusCode;

use super::adapter::{CompletionRequest, Decoding, Dialect, Unsupported};
use super::providers::{anthropic, azure, gemini, openai, workers};
use crate::chat::codec::{ChatRequest, json, parse_completion, parse_request, to_json};
use crate::chat::sse::{End, Framer, events};
use crate::chat::stream::{frames, name_of};
use crate::chat::{ChunkWriter, Completion, Frames, Name, Whole};
use drive::{Decoded, EVENT_BYTES, Ended, cuts, decoded};
use judge::{Kind, judge};

/// Where no target listens; the dialects only look at it.
const URL: &str = "http://127.0.0.1/openai/v1";

fn like_openai() -> openai::OpenAi {
    openai::OpenAi::at(URL, &openai::OpenAiOptions::default())
}

fn like_azure() -> azure::Azure {
    azure::Azure::at(URL, &azure::AzureOptions::default())
}

/// A question that every dialect takes.
const PLAIN: &str = r#"{"model": "some-model", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}"#;

/// A question whose answer an older model of Anthropic's gives as the input of a tool, which is made content again.
const HELD: &str = r#"{"model": "claude-3-5-sonnet-20241022", "stream": true, "messages": [{"role": "user", "content": "Hi"}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array", "items": {"type": "string"}}}}}"#;

/// Any bytes as the stream of a server that speaks as OpenAI does.
pub fn openai(input: &[u8]) {
    stream(&like_openai(), PLAIN, input);
}

/// Any bytes as Azure's stream.
pub fn azure(input: &[u8]) {
    stream(&like_azure(), PLAIN, input);
}

/// Any bytes as Anthropic's stream, as a plain answer and as one that comes as a tool's input.
pub fn anthropic(input: &[u8]) {
    let dialect = anthropic::Anthropic::new(&anthropic::AnthropicOptions::default());
    stream(&dialect, PLAIN, input);
    stream(&dialect, HELD, input);
}

/// Any bytes as Gemini's stream.
pub fn gemini(input: &[u8]) {
    stream(&gemini::Gemini::new(), PLAIN, input);
}

/// Any bytes as the stream of Cloudflare's own API and of its OpenAI-compatible one.
pub fn workers(input: &[u8]) {
    stream(&workers::Workers { native: true }, PLAIN, input);
    stream(&workers::Workers { native: false }, PLAIN, input);
}

/// Any bytes as events: no split changes them, nothing is lost or made up, and the limit holds.
pub fn framer(input: &[u8]) {
    for event_bytes in [EVENT_BYTES, 64] {
        let whole = framed(input, &[], event_bytes);
        let every: Vec<usize> = (1..input.len()).collect();
        for cuts in [every, cuts(input)] {
            let (found, end) = framed(input, &cuts, event_bytes);
            assert_eq!((&found, end), (&whole.0, whole.1), "other events when cut at {cuts:?}");
        }
        assert!(whole.0.iter().all(|data| data.len() <= event_bytes), "an event over the limit");
    }
}

/// Any bytes as a whole reply, as an error's body and as vectors, of every vendor. A reply that is taken makes a stream that keeps the promises.
pub fn whole(input: &[u8]) {
    let openai = like_openai();
    let (azure, anthropic, gemini) =
        (like_azure(), anthropic::Anthropic::new(&anthropic::AnthropicOptions::default()), gemini::Gemini::new());
    let (native, compatible) = (workers::Workers { native: true }, workers::Workers { native: false });
    let dialects: [&dyn Dialect; 6] = [&openai, &azure, &anthropic, &gemini, &native, &compatible];
    let error = serde_json::from_slice(input).ok();
    for dialect in dialects {
        let found = match reading(dialect, PLAIN, false) {
            Decoding::OpenAi(mut normalizer) => normalizer.whole(&Bytes::copy_from_slice(input)).ok(),
            Decoding::Translated(mut reader) => reader.whole(input).ok().map(Whole::Parsed),
        };
        let completion = match found {
            Some(Whole::Raw(bytes)) => parse_completion(&bytes).ok(),
            Some(Whole::Parsed(completion)) => Some(completion),
            None => None,
        };
        if let Some(completion) = completion {
            completed(&completion);
        }
        let _ = dialect.embeddings().map(|embeddings| embeddings.decode_embeddings(1, input));
        let _ = dialect.reranking().map(|reranking| reranking.decode_rerank(1, input));
        if let Some(error) = &error {
            dialect.provider_error(StatusCode::BAD_REQUEST, error);
        }
    }
}

/// A stream in every way of reading it.
fn stream(dialect: &dyn Dialect, ask: &str, input: &[u8]) {
    for include_usage in [false, true] {
        let whole = decoded(reading(dialect, ask, include_usage), named(), include_usage, input, &[]);
        let kind = if matches!(reading(dialect, ask, include_usage), Decoding::OpenAi(_)) { Kind::Forwarded } else { Kind::Written };
        let expected = judge(&whole, kind, include_usage);
        // At every byte once is enough, for it takes the longest.
        let cuts = if include_usage { (1..input.len()).collect() } else { cuts(input) };
        let found = decoded(reading(dialect, ask, include_usage), named(), include_usage, input, &cuts);
        assert_eq!(found.ended, whole.ended, "another end when cut at {cuts:?}");
        assert_eq!(judge(&found, kind, include_usage), expected, "another reply when cut at {cuts:?}");
    }
}

/// A completion is JSON, and its stream is one.
fn completed(completion: &Completion) {
    assert!(parse_completion(&to_json(completion)).is_ok(), "a completion that is none: {completion:?}");
    for include_usage in [false, true] {
        let mut writer = ChunkWriter::new(name_of(completion), include_usage);
        let whole = frames(completion.clone()).collect::<Frames>().ending();
        let out = writer.encode(whole).into();
        judge(&Decoded { out, ended: Ended::Well }, Kind::Completion, include_usage);
    }
}

/// How the reply to a question is read.
fn reading(dialect: &dyn Dialect, ask: &str, include_usage: bool) -> Decoding {
    let ChatRequest { model, messages, mut params, stream, .. } = parse_request(ask.as_bytes()).expect("a question of ours");
    if include_usage {
        params.push(("stream_options".to_owned(), json("{\"include_usage\":true}".to_owned()).expect("JSON")));
    }
    let ask =
        CompletionRequest { model: &model, messages: &messages, params: &params, stream, unsupported: Unsupported::Drop, name: named() };
    dialect.encode_chat(&ask).expect("every dialect takes the question").1
}

fn named() -> Name {
    Name { id: "chatcmpl-ours".to_owned(), model: "some-model".to_owned(), created: 7 }
}

/// The data of all events, and how they ended.
fn framed(input: &[u8], cuts: &[usize], event_bytes: usize) -> (Vec<Vec<u8>>, Option<End>) {
    let mut framer = Framer::new(event_bytes);
    let mut found = Vec::new();
    for block in drive::reads(input, cuts).map(Some).chain([None]) {
        let whole = match block {
            Some(read) => framer.push(read),
            None if framer.end().is_none() => framer.finish(),
            None => None,
        };
        let Some(whole) = whole else { continue };
        assert_eq!(events(&whole).map(|event| event.raw.len()).sum::<usize>(), whole.len(), "half an event came out");
        found.extend(events(&whole).filter_map(|event| event.data).map(std::borrow::Cow::into_owned));
    }
    (found, framer.end())
}

#[cfg(test)]
mod tests;
