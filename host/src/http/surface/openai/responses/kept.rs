//! What a provider wants back with the next turn, unread: signed reasoning and signatures of calls, in the fields that a chat message has for
//! them. It travels in the `encrypted_content` of a reasoning item, as JSON. What another server sealed is dropped: only that server could open it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::extra::Extra;
use crate::chat::codec::raw_json;
use crate::chat::{Fields, Json};

/// Signed reasoning in blocks: ours for Anthropic's, and LiteLLM's.
const BLOCKS: &str = "thinking_blocks";

/// OpenRouter's.
const DETAILS: &str = "reasoning_details";

/// Fields of one value each, of which the last counts: Google's, GitHub's.
const VALUES: [&str; 2] = [EXTRA_CONTENT, "reasoning_opaque"];

/// Google's field beside a call or a message, which holds a signature.
pub(super) const EXTRA_CONTENT: &str = "extra_content";

/// What belongs to one message.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(default, rename = "thinking_blocks", skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<Json>,
    #[serde(default, rename = "reasoning_details", skip_serializing_if = "Vec::is_empty")]
    details: Vec<Json>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    values: BTreeMap<String, Json>,
    /// `extra_content` of calls, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    calls: BTreeMap<String, Json>,
}

impl Kept {
    /// What a message or a delta says.
    pub(super) fn of(fields: &Fields) -> Self {
        let extra = Extra(fields);
        let value = |name: &str| extra.field(name).filter(|json| json.get() != "null").map(|json| (name.to_owned(), json.to_owned()));
        let values = VALUES.iter().filter_map(|name| value(name)).collect();
        Self { blocks: extra.list(BLOCKS), details: extra.list(DETAILS), values, calls: BTreeMap::new() }
    }

    /// Adds what belongs to a call.
    pub(super) fn call(&mut self, id: &str, extra_content: &Json) {
        self.calls.insert(id.to_owned(), extra_content.clone());
    }

    /// What belongs to the call of that id.
    pub(super) fn of_call(&self, id: &str) -> Option<&Json> {
        self.calls.get(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.details.is_empty() && self.values.is_empty() && self.calls.is_empty()
    }

    /// Bytes that it holds, roughly.
    pub(super) fn bytes(&self) -> usize {
        let lists = self.blocks.iter().chain(&self.details).chain(self.values.values()).map(|json| json.get().len());
        lists.sum::<usize>() + self.calls.iter().map(|(id, json)| id.len() + json.get().len()).sum::<usize>()
    }

    /// Takes over what another holds.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.blocks.append(&mut other.blocks);
        self.details.append(&mut other.details);
        self.values.append(&mut other.values);
        self.calls.append(&mut other.calls);
    }

    /// As `encrypted_content`.
    pub(super) fn seal(&self) -> String {
        serde_json::to_string(self).expect("JSON under names is JSON")
    }

    /// What was sealed here; none if another server did it.
    pub(super) fn open(sealed: &str) -> Option<Self> {
        let mut kept: Self = serde_json::from_str(sealed).ok()?;
        // Nobody puts other fields into a message this way.
        kept.values.retain(|name, _| VALUES.contains(&name.as_str()));
        Some(kept)
    }

    /// Moves it into the message that it belongs to; what belongs to calls stays with them.
    pub(super) fn attach(self, extra: &mut Fields) {
        for (name, list) in [(BLOCKS, &self.blocks), (DETAILS, &self.details)] {
            if !list.is_empty() {
                extra.push((name.to_owned(), raw_json(list)));
            }
        }
        extra.extend(self.values);
    }
}

/// The same out of a stream, in which an entry of a list may come in pieces: text first, its signature last.
#[derive(Debug, Default)]
pub(super) struct Growing {
    blocks: Vec<Block>,
    details: Vec<Value>,
    rest: Kept,
}

#[derive(Debug)]
enum Block {
    /// Text that waits for its signature.
    Open(String),
    Whole(Json),
}

impl Growing {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.details.is_empty() && self.rest.is_empty()
    }

    pub(super) fn add(&mut self, mut more: Kept) {
        more.blocks.drain(..).for_each(|block| self.block(block));
        more.details.drain(..).for_each(|detail| self.detail(&detail));
        self.rest.append(&mut more);
    }

    pub(super) fn done(self) -> Kept {
        let block = |block| match block {
            Block::Open(text) => whole(&text, ""),
            Block::Whole(json) => json,
        };
        let mut kept = self.rest;
        kept.blocks = self.blocks.into_iter().map(block).collect();
        kept.details = self.details.iter().map(raw_json).collect();
        kept
    }

    fn block(&mut self, block: Json) {
        #[derive(Deserialize)]
        struct Thinking {
            r#type: String,
            thinking: String,
            signature: Option<String>,
        }
        let Some(more) = serde_json::from_str::<Thinking>(block.get()).ok().filter(|more| more.r#type == "thinking") else {
            return self.blocks.push(Block::Whole(block));
        };
        let signature = more.signature.filter(|signature| !signature.is_empty());
        let text = match self.blocks.pop() {
            Some(Block::Open(text)) => text + &more.thinking,
            Some(whole) => {
                self.blocks.push(whole);
                more.thinking
            }
            None => more.thinking,
        };
        self.blocks.push(match signature {
            Some(signature) => Block::Whole(whole(&text, &signature)),
            None => Block::Open(text),
        });
    }

    /// Pieces of one text, which have the same type and number, are one entry.
    fn detail(&mut self, detail: &Json) {
        let Ok(more) = serde_json::from_str::<Value>(detail.get()) else { return };
        let grows = |value: &Value| match value["type"].as_str() {
            Some("reasoning.text") => Some("text"),
            Some("reasoning.summary") => Some("summary"),
            _ => None,
        };
        let (Some(field), Some(last)) = (grows(&more), self.details.last_mut()) else { return self.details.push(more) };
        if last["type"] != more["type"] || last["index"] != more["index"] {
            return self.details.push(more);
        }
        let (Value::Object(last), Value::Object(more)) = (last, more) else { return };
        add_fields(last, more, field);
    }
}

fn add_fields(last: &mut Map<String, Value>, more: Map<String, Value>, field: &str) {
    for (name, value) in more {
        match (last.get_mut(&name), value) {
            (Some(Value::String(text)), Value::String(more)) if name == field => text.push_str(&more),
            (_, Value::Null) => {}
            (_, value) => drop(last.insert(name, value)),
        }
    }
}

fn whole(text: &str, signature: &str) -> Json {
    raw_json(&serde_json::json!({"type": "thinking", "thinking": text, "signature": signature}))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::codec::json as raw;

    fn kept(value: &Value) -> Kept {
        let fields = value.as_object().expect("an object").iter().map(|(name, value)| (name.clone(), raw_json(value))).collect();
        Kept::of(&fields)
    }

    fn attached(kept: Kept) -> Value {
        let mut extra = Fields::new();
        kept.attach(&mut extra);
        let value = |json: Json| serde_json::from_str(json.get()).expect("JSON");
        Value::Object(extra.into_iter().map(|(name, json)| (name, value(json))).collect())
    }

    #[test]
    fn what_is_sealed_comes_back_to_where_it_was() {
        let said = json!({
            "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "AY8==", "index": 0}],
            "extra_content": {"google": {"thought_signature": "Ci=="}},
            "reasoning_opaque": "o",
        });
        let mut sealed = kept(&said);
        sealed.call("c", &raw("{\"google\":1}".into()).expect("JSON"));
        let opened = Kept::open(&sealed.seal()).expect("ours");
        assert_eq!(opened.of_call("c").map(|json| json.get()), Some("{\"google\":1}"));
        assert_eq!(attached(opened), said);
        assert!(kept(&json!({"reasoning_content": "hm", "audio": {}, "thinking_blocks": null, "extra_content": null})).is_empty());
    }

    #[test]
    fn what_another_server_sealed_is_dropped_and_nothing_else_comes_in_by_it() {
        for sealed in ["gAAAAB", "[]", "{\"thinking_blocks\":7}", "{}", "{\"values\":{\"role\":\"system\"}}"] {
            assert!(Kept::open(sealed).is_none_or(|kept| kept.is_empty()), "{sealed}");
        }
    }

    fn grown(pieces: &[Value]) -> Value {
        let mut growing = Growing::default();
        pieces.iter().for_each(|piece| growing.add(kept(piece)));
        attached(growing.done())
    }

    #[test]
    fn a_block_that_comes_in_pieces_is_one_block() {
        let pieces = [
            json!({"type": "thinking", "thinking": "a", "signature": ""}),
            json!({"type": "thinking", "thinking": "b"}),
            json!({"type": "thinking", "thinking": "", "signature": "s1"}),
            json!({"type": "redacted_thinking", "data": "x"}),
            json!({"type": "thinking", "thinking": "c", "signature": "s2"}),
            json!({"type": "thinking", "thinking": "d"}),
        ];
        let pieces = pieces.map(|block| json!({"thinking_blocks": [block]}));
        let expected = json!([
            {"type": "thinking", "thinking": "ab", "signature": "s1"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "thinking", "thinking": "c", "signature": "s2"},
            {"type": "thinking", "thinking": "d", "signature": ""},
        ]);
        assert_eq!(grown(&pieces), json!({"thinking_blocks": expected}));
    }

    #[test]
    fn a_detail_that_comes_in_pieces_is_one_detail() {
        let pieces = [
            json!({"type": "reasoning.text", "text": "a", "index": 0, "signature": null}),
            json!({"type": "reasoning.text", "text": "b", "index": 0}),
            json!({"type": "reasoning.text", "text": "", "index": 0, "signature": "s"}),
            json!({"type": "reasoning.summary", "summary": "c", "index": 1}),
            json!({"type": "reasoning.summary", "summary": "d", "index": 1}),
            json!({"type": "reasoning.encrypted", "data": "x", "index": 2}),
            json!({"type": "reasoning.encrypted", "data": "y", "index": 2}),
        ];
        let pieces = pieces.map(|detail| json!({"reasoning_details": [detail]}));
        let expected = json!([
            {"type": "reasoning.text", "text": "ab", "index": 0, "signature": "s"},
            {"type": "reasoning.summary", "summary": "cd", "index": 1},
            {"type": "reasoning.encrypted", "data": "x", "index": 2},
            {"type": "reasoning.encrypted", "data": "y", "index": 2},
        ]);
        assert_eq!(grown(&pieces), json!({"reasoning_details": expected}));
    }
}
