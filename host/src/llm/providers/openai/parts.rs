//! What stands in place of a text: a list of parts, as Mistral's reasoning models give it, or some other value. OpenAI's clients take a string and
//! fail at anything else, or print it. Source: Mistral's documentation, "Reasoning"; OpenAI API reference, "Create chat completion".

use serde_json::Value;
use serde_json::value::RawValue;

use super::shape::{Said, TextField};
use super::splice::Splice;
use crate::chat::codec::{json_string, raw_json};

/// Notes in `splice` what makes texts of the fields of a delta or a message that should hold one. A thought among the content goes where thoughts
/// are, unless there is one.
pub(super) fn mend<'a>(said: &Said<'a>, splice: &mut Splice<'a>) {
    for odd in &said.odd {
        let Parts { text, thought, images } = Parts::read(odd.value);
        let string = |text: &str| json_string(text).get().to_owned();
        match odd.field {
            TextField::Content => {
                splice.replace(odd.value, string(&text));
                let reasoning = Some(thought).filter(|thought| !thought.is_empty() && !said.reasons);
                match (reasoning, said.reasoning) {
                    (Some(thought), Some(empty)) => splice.replace(empty, string(&thought)),
                    (Some(thought), None) => splice.behind(odd.value, format!(",\"reasoning_content\":{}", string(&thought))),
                    (None, _) => {}
                }
                if !images.is_empty() {
                    splice.behind(odd.value, format!(",\"images\":{}", raw_json(&images)));
                }
            }
            TextField::Reasoning => splice.replace(odd.value, string(&(text + &thought))),
            TextField::Refusal if text.is_empty() => splice.replace(odd.value, "null"),
            TextField::Refusal => splice.replace(odd.value, string(&text)),
        }
    }
}

/// The text and the thought in a list of parts.
pub(in crate::llm) fn text_and_thought(raw: &RawValue) -> (String, String) {
    let Parts { text, thought, .. } = Parts::read(raw);
    (text, thought)
}

/// What a value says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) text: String,
    pub(super) thought: String,
    /// Images, in the form in which other gateways give them beside the text.
    pub(super) images: Vec<Value>,
}

impl Parts {
    pub(super) fn read(raw: &RawValue) -> Self {
        let mut parts = Self::default();
        // What cannot be read says nothing; the event itself has been read.
        parts.add(serde_json::from_str(raw.get()).unwrap_or_default());
        parts
    }

    fn add(&mut self, value: Value) {
        match value {
            Value::String(text) => self.text.push_str(&text),
            Value::Number(number) => self.text.push_str(&number.to_string()),
            Value::Array(list) => list.into_iter().for_each(|part| self.add(part)),
            Value::Object(mut part) => {
                let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
                match kind {
                    "thinking" | "reasoning" | "reasoning_content" => {
                        let mut inner = Self::default();
                        ["thinking", "reasoning", "text", "content"]
                            .iter()
                            .filter_map(|name| part.remove(*name))
                            .for_each(|part| inner.add(part));
                        self.thought.push_str(&inner.text);
                        self.thought.push_str(&inner.thought);
                    }
                    "image_url" => self.images.push(Value::Object(part)),
                    // Texts, refusals, and parts without a name. Mistral's references are numbers of sources, which no client can resolve.
                    _ => ["text", "refusal", "content"].iter().filter_map(|name| part.remove(*name)).for_each(|part| self.add(part)),
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_every_kind_say_their_text_and_their_thought() {
        for (json, text, thought) in [
            (r#"[{"type":"thinking","thinking":[{"type":"text","text":"Sum"}]},{"type":"text","text":"Four"}]"#, "Four", "Sum"),
            (r#"[{"type":"thinking","thinking":"Sum","signature":"s"},"Four"]"#, "Four", "Sum"),
            (r#"[{"type":"reference","reference_ids":[1]},{"type":"output_text","text":"Four"}]"#, "Four", ""),
            (r#"{"type":"text","text":"Four"}"#, "Four", ""),
            (r#"{"text":"Four"}"#, "Four", ""),
            ("4", "4", ""),
            ("[]", "", ""),
            ("{}", "", ""),
            ("false", "", ""),
        ] {
            let raw = RawValue::from_string(json.to_owned()).expect("JSON");
            assert_eq!(Parts::read(&raw), Parts { text: text.into(), thought: thought.into(), images: Vec::new() }, "{json}");
        }
        let raw = RawValue::from_string(r#"[{"type":"image_url","image_url":{"url":"u"}}]"#.to_owned()).expect("JSON");
        assert_eq!(Parts::read(&raw).images.len(), 1);
    }
}
