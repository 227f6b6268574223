//! What one frame says of the one answer that counts, the choice with the index 0. Several pieces of a kind are put together, for they belong to
//! the same moment.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::extra::Extra;
use super::kept::EXTRA_CONTENT;
use crate::chat::{Delta, Fields, Json, Piece};

/// What a frame says.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) model: Option<String>,
    pub(super) service_tier: Option<String>,
    pub(super) usage: Option<Json>,
    pub(super) reasoning: Option<String>,
    pub(super) text: Option<String>,
    pub(super) refusal: Option<String>,
    /// Fields of the delta that are not modelled.
    pub(super) extra: Fields,
    pub(super) calls: Vec<CallDelta>,
    pub(super) finish_reason: Option<String>,
    pub(super) logprobs: Option<Json>,
}

/// More of a tool call.
#[derive(Debug, Default)]
pub(super) struct CallDelta {
    /// None if its provider does not count calls.
    pub(super) index: Option<u64>,
    /// Empty if the call has begun before.
    pub(super) id: String,
    pub(super) name: String,
    /// Of a custom tool: its input.
    pub(super) arguments: String,
    /// It is a custom tool's.
    pub(super) custom: bool,
    /// What the provider wants back with the call.
    pub(super) extra_content: Option<Json>,
}

impl Chunk {
    pub(super) fn of(deltas: &[Delta]) -> Self {
        let mut chunk = Self::default();
        for delta in deltas {
            match delta {
                Delta::Head { model, .. } => chunk.model = model.clone().or(chunk.model),
                Delta::Usage(usage) => chunk.usage = Some(usage.json()),
                Delta::UsageJson(json) => chunk.usage = Some(json.clone()),
                Delta::Fields(fields) => chunk.service_tier = Extra(fields).text("service_tier").or(chunk.service_tier),
                Delta::Piece { choice: 0, piece } => chunk.piece(piece),
                Delta::Piece { .. } => {}
            }
        }
        chunk
    }

    fn piece(&mut self, piece: &Piece) {
        let more = |known: &mut Option<String>, text: &str| {
            if !text.is_empty() {
                known.get_or_insert_default().push_str(text);
            }
        };
        match piece {
            Piece::Begin => {}
            Piece::Text(text) => more(&mut self.text, text),
            Piece::Reasoning(text) => more(&mut self.reasoning, text),
            // A response has one text of reasoning. Of two that a chunk has, this is not the one.
            Piece::Thought(text) => {
                if self.reasoning.is_none() {
                    more(&mut self.reasoning, text);
                }
            }
            Piece::Refusal(text) => more(&mut self.refusal, text),
            Piece::Call { index, id, name, extra } => {
                let index = Some(u64::from(*index));
                let extra_content = Extra(extra).field(EXTRA_CONTENT).map(ToOwned::to_owned);
                self.calls.push(CallDelta { index, id: id.clone(), name: name.clone(), extra_content, ..CallDelta::default() });
            }
            Piece::Arguments { index, text } => {
                let index = Some(u64::from(*index));
                match self.calls.last_mut().filter(|call| call.index == index) {
                    Some(call) => call.arguments.push_str(text),
                    None => self.calls.push(CallDelta { index, arguments: text.clone(), ..CallDelta::default() }),
                }
            }
            Piece::Fields(fields) => {
                let extra = Extra(fields);
                // A message that was whole before it became a stream has these beside what is modelled.
                if self.reasoning.is_none() {
                    more(&mut self.reasoning, &extra.reasoning().unwrap_or_default());
                }
                more(&mut self.refusal, &extra.refusal().unwrap_or_default());
                if let Some(content) = extra.field("content") {
                    more(&mut self.text, &text_of_parts(content));
                }
                self.calls.extend(extra.field("tool_calls").into_iter().flat_map(calls));
                self.extra.extend_from_slice(fields);
            }
            Piece::Beside(fields) => {
                let logprobs = Extra(fields).field("logprobs").filter(|json| json.get() != "null");
                self.logprobs = logprobs.map(ToOwned::to_owned).or(self.logprobs.take());
            }
            Piece::Finish(reason) => self.finish_reason = Some(reason.clone()),
        }
    }
}

/// The text of a list of parts in which there are others too.
fn text_of_parts(json: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Part {
        text: Option<String>,
    }
    let parts: Vec<Part> = serde_json::from_str(json.get()).unwrap_or_default();
    parts.into_iter().filter_map(|part| part.text).collect()
}

/// Entries of `tool_calls` that the decoder cannot place.
pub(super) fn calls(json: &RawValue) -> Vec<CallDelta> {
    #[derive(Deserialize)]
    struct Entry {
        index: Option<u64>,
        id: Option<String>,
        function: Option<Function>,
        custom: Option<Custom>,
        extra_content: Option<Json>,
    }
    #[derive(Deserialize)]
    struct Custom {
        name: Option<String>,
        input: Option<String>,
    }
    #[derive(Deserialize)]
    struct Function {
        name: Option<String>,
        arguments: Option<Value>,
    }
    let entries = serde_json::from_str::<Option<Vec<Entry>>>(json.get()).ok().flatten().unwrap_or_default();
    let call = |Entry { index, id, function, custom, extra_content }| {
        let (id, is_custom) = (id.unwrap_or_default(), custom.is_some());
        let (name, arguments) = match (custom, function) {
            (Some(Custom { name, input }), _) => (name, input.map(Value::String)),
            (None, Some(Function { name, arguments })) => (name, arguments),
            (None, None) => (None, None),
        };
        let arguments = match arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        CallDelta { index, id, name: name.unwrap_or_default(), arguments, custom: is_custom, extra_content }
    };
    entries.into_iter().map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::decode;

    fn read(data: &str) -> Chunk {
        Chunk::of(&decode::chunk(data.as_bytes()).expect("JSON"))
    }

    #[test]
    fn what_has_an_odd_form_says_nothing() {
        for data in ["{}", r#"{"choices":null}"#, r#"{"choices":[]}"#, r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#] {
            let chunk = read(data);
            assert!(chunk.text.is_none() && chunk.calls.is_empty() && chunk.finish_reason.is_none(), "{data}");
        }
        let late = read(r#"{"model":7,"choices":[{"finish_reason":null,"content_filter_results":{}}],"usage":null}"#);
        assert!(late.extra.is_empty() && late.usage.is_none() && late.model.is_none());
    }

    #[test]
    fn text_may_come_in_parts_and_arguments_as_json() {
        let data = r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],
            "tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":{"x":1}}}]}}]}"#;
        let chunk = read(data);
        assert_eq!(chunk.text.as_deref(), Some("ab"));
        assert_eq!(chunk.calls[0].arguments, "{\"x\":1}");
        let mixed = read(r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"other"},{"type":"text","text":"b"}]}}]}"#);
        assert_eq!(mixed.text.as_deref(), Some("ab"));
    }
}
