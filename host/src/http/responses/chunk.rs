//! One `chat.completion.chunk` as a provider sends it, read with patience: what has an odd form says nothing, what is no JSON is an error.
//! Must not know what becomes of it. Source: OpenAI API reference, "Chat completion chunk".

use serde::Deserialize;
use serde_json::Value;

use super::said::Said;
use crate::chat::codec::parse_fields;
use crate::chat::{Fields, Json, StreamError};

/// What a chunk says of the one answer that counts.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) model: Option<String>,
    pub(super) service_tier: Option<String>,
    pub(super) usage: Option<Json>,
    pub(super) delta: Fields,
    pub(super) calls: Vec<CallDelta>,
    pub(super) finish_reason: Option<String>,
    pub(super) logprobs: Option<Json>,
}

/// More of a tool call.
#[derive(Debug, Deserialize)]
pub(super) struct CallDelta {
    pub(super) index: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) function: Option<FunctionDelta>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FunctionDelta {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    delta: Option<Json>,
    finish_reason: Option<String>,
    logprobs: Option<Json>,
}

impl Chunk {
    /// The data of one event.
    ///
    /// # Errors
    /// Where it is an error of the provider's, or no JSON object.
    pub(super) fn read(data: &[u8]) -> Result<Self, StreamError> {
        let fields = parse_fields(data)
            .map_err(|_| StreamError { message: "the provider sent an event that cannot be read".into(), code: "upstream_garbled" })?;
        let said = Said(&fields);
        if let Some(error) = said.field("error").filter(|json| json.get() != "null") {
            return Err(reported(error.get()));
        }
        let mut chunk = Self { model: said.text("model"), service_tier: said.text("service_tier"), ..Self::default() };
        chunk.usage = said.field("usage").filter(|json| json.get() != "null").map(ToOwned::to_owned);
        let choices = said.field("choices").and_then(|json| serde_json::from_str::<Option<Vec<Choice>>>(json.get()).ok());
        let first = choices.flatten().unwrap_or_default().into_iter().find(|choice| choice.index.unwrap_or(0) == 0);
        if let Some(Choice { delta, finish_reason, logprobs, .. }) = first {
            chunk.finish_reason = finish_reason;
            chunk.logprobs = logprobs;
            chunk.delta = delta.and_then(|json| parse_fields(json.get().as_bytes()).ok()).unwrap_or_default();
            let calls = Said(&chunk.delta).field("tool_calls").and_then(|json| serde_json::from_str::<Option<Vec<_>>>(json.get()).ok());
            chunk.calls = calls.flatten().unwrap_or_default();
        }
        Ok(chunk)
    }

    /// More text; parts of a list are put together.
    pub(super) fn text(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Part {
            text: Option<String>,
        }
        let said = Said(&self.delta);
        said.text("content").or_else(|| {
            let parts: Vec<Part> = serde_json::from_str(said.field("content")?.get()).ok()?;
            Some(parts.into_iter().filter_map(|part| part.text).collect()).filter(|text: &String| !text.is_empty())
        })
    }
}

impl FunctionDelta {
    /// A text that should be JSON once it is whole; some servers send the JSON itself.
    pub(super) fn arguments(&self) -> String {
        match &self.arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

fn reported(json: &str) -> StreamError {
    #[derive(Deserialize)]
    struct Reported {
        message: String,
    }
    let message = serde_json::from_str(json).map_or_else(|_| "the provider reported an error".into(), |Reported { message }| message);
    StreamError { message, code: "upstream_error" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_an_odd_form_says_nothing() {
        for data in ["{}", r#"{"choices":null}"#, r#"{"choices":[]}"#, r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#] {
            let chunk = Chunk::read(data.as_bytes()).expect("JSON");
            assert!(chunk.text().is_none() && chunk.calls.is_empty() && chunk.finish_reason.is_none(), "{data}");
        }
        let late =
            Chunk::read(br#"{"model":7,"choices":[{"finish_reason":null,"content_filter_results":{}}],"usage":null}"#).expect("JSON");
        assert!(late.delta.is_empty() && late.usage.is_none() && late.model.is_none());
    }

    #[test]
    fn text_may_come_in_parts_and_arguments_as_json() {
        let data = br#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],
            "tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":{"x":1}}}]}}]}"#;
        let chunk = Chunk::read(data).expect("JSON");
        assert_eq!(chunk.text().as_deref(), Some("ab"));
        assert_eq!(chunk.calls[0].function.as_ref().map(FunctionDelta::arguments).as_deref(), Some("{\"x\":1}"));
    }

    #[test]
    fn an_error_and_what_is_no_json_end_the_stream() {
        let code = |data: &str| Chunk::read(data.as_bytes()).expect_err("broken").code;
        assert_eq!((code("{\"error\":{\"message\":\"m\"}}"), code("{\"error\":1}")), ("upstream_error", "upstream_error"));
        assert_eq!((code("no"), code("[]")), ("upstream_garbled", "upstream_garbled"));
        assert!(Chunk::read(b"{\"error\":null}").is_ok());
    }
}
