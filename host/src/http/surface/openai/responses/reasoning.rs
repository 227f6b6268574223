//! A model's reasoning on its way through a client that only carries it. The text travels as the item's summary, and the provider's
//! signed blocks (`thinking_blocks` of a chat message) as its `encrypted_content`, which is their JSON. What another server sealed is
//! dropped: only that server could open it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::field::read;
use crate::chat::codec::{json_string, raw_json};
use crate::chat::{Fields, Json};
use crate::http::error::Refusal;

/// The field of a chat message that holds reasoning as text.
pub(super) const TEXT: &str = "reasoning_content";
/// The same, as some servers spell it.
pub(super) const TEXT_TOO: &str = "reasoning";
/// The field of a chat message that holds signed reasoning.
pub(super) const BLOCKS: &str = "thinking_blocks";

/// The reasoning before the message that comes next.
#[derive(Debug, Default)]
pub(super) struct Reasoning {
    texts: Vec<String>,
    blocks: Vec<Json>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    summary: Option<Vec<SummaryText>>,
    #[serde(default)]
    content: Option<Vec<SummaryText>>,
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct SummaryText {
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Sealed<B> {
    thinking_blocks: B,
}

/// Blocks as a reasoning item's `encrypted_content`.
pub(super) fn seal(blocks: &[Json]) -> String {
    serde_json::to_string(&Sealed { thinking_blocks: blocks }).expect("JSON under a name is JSON")
}

impl Reasoning {
    /// Adds the reasoning item that stands at the path `at`.
    pub(super) fn add(&mut self, at: &str, json: &RawValue) -> Result<(), Refusal> {
        let Item { summary, content, encrypted_content } = read(at, json)?;
        let texts = content.filter(|list| !list.is_empty()).or(summary).unwrap_or_default();
        self.texts.extend(texts.into_iter().map(|SummaryText { text }| text).filter(|text| !text.is_empty()));
        let sealed = encrypted_content.and_then(|text| serde_json::from_str::<Sealed<Vec<Json>>>(&text).ok());
        self.blocks.extend(sealed.into_iter().flat_map(|sealed| sealed.thinking_blocks));
        Ok(())
    }

    /// Takes over what others hold.
    pub(super) fn append(&mut self, others: &mut Self) {
        self.texts.append(&mut others.texts);
        self.blocks.append(&mut others.blocks);
    }

    /// Moves the reasoning into the message that it led to; leaves nothing.
    pub(super) fn attach(&mut self, extra: &mut Fields) {
        let Self { texts, blocks } = std::mem::take(self);
        if !texts.is_empty() {
            extra.push((TEXT.into(), json_string(&texts.join("\n\n"))));
        }
        if !blocks.is_empty() {
            extra.push((BLOCKS.into(), raw_json(&blocks)));
        }
    }
}

/// Signed reasoning out of a stream, in which a block may come in pieces: text first, its signature last.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Block>);

#[derive(Debug)]
enum Block {
    /// Text that waits for its signature.
    Open(String),
    Whole(Json),
}

impl Blocks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, block: Json) {
        #[derive(Deserialize)]
        struct Thinking {
            r#type: String,
            thinking: String,
            signature: Option<String>,
        }
        let Some(more) = serde_json::from_str::<Thinking>(block.get()).ok().filter(|more| more.r#type == "thinking") else {
            return self.0.push(Block::Whole(block));
        };
        let signature = more.signature.filter(|signature| !signature.is_empty());
        let text = match self.0.pop() {
            Some(Block::Open(text)) => text + &more.thinking,
            Some(whole) => {
                self.0.push(whole);
                more.thinking
            }
            None => more.thinking,
        };
        self.0.push(match signature {
            Some(signature) => Block::Whole(whole(&text, &signature)),
            None => Block::Open(text),
        });
    }

    pub(super) fn done(self) -> Vec<Json> {
        let block = |block| match block {
            Block::Open(text) => whole(&text, ""),
            Block::Whole(json) => json,
        };
        self.0.into_iter().map(block).collect()
    }
}

fn whole(text: &str, signature: &str) -> Json {
    raw_json(&serde_json::json!({"type": "thinking", "thinking": text, "signature": signature}))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::codec::json as raw;

    fn value(json: &Json) -> Value {
        serde_json::from_str(json.get()).expect("JSON")
    }

    fn attached(items: &[Value]) -> Value {
        let (mut thoughts, mut extra) = (Reasoning::default(), Fields::new());
        for item in items {
            let mut more = Reasoning::default();
            more.add("input[0]", &raw(item.to_string()).expect("JSON")).expect("an item");
            thoughts.append(&mut more);
        }
        thoughts.attach(&mut extra);
        extra.iter().map(|(name, json)| (name.clone(), value(json))).collect::<serde_json::Map<_, _>>().into()
    }

    #[test]
    fn words_and_signed_blocks_come_back_to_where_they_were() {
        let block = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
        let sealed = seal(&[raw(block.to_string()).expect("JSON")]);
        let first =
            json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": sealed});
        assert_eq!(attached(std::slice::from_ref(&first)), json!({"reasoning_content": "hm", "thinking_blocks": [block]}));
        let second = json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "so"}]});
        assert_eq!(attached(&[first, second]), json!({"reasoning_content": "hm\n\nso", "thinking_blocks": [block]}));
    }

    #[test]
    fn what_another_server_sealed_is_dropped() {
        for sealed in ["gAAAAB", "{}", "[]", "{\"thinking_blocks\":7}"] {
            assert_eq!(attached(&[json!({"type": "reasoning", "summary": [], "encrypted_content": sealed})]), json!({}), "{sealed}");
        }
    }

    #[test]
    fn a_block_that_comes_in_pieces_is_one_block() {
        let mut blocks = Blocks::default();
        let pieces = [
            json!({"type": "thinking", "thinking": "a", "signature": ""}),
            json!({"type": "thinking", "thinking": "b"}),
            json!({"type": "thinking", "thinking": "", "signature": "s1"}),
            json!({"type": "redacted_thinking", "data": "x"}),
            json!({"type": "thinking", "thinking": "c", "signature": "s2"}),
            json!({"type": "thinking", "thinking": "d"}),
        ];
        for piece in pieces {
            blocks.add(raw(piece.to_string()).expect("JSON"));
        }
        let done: Vec<Value> = blocks.done().iter().map(value).collect();
        let expected = [
            json!({"type": "thinking", "thinking": "ab", "signature": "s1"}),
            json!({"type": "redacted_thinking", "data": "x"}),
            json!({"type": "thinking", "thinking": "c", "signature": "s2"}),
            json!({"type": "thinking", "thinking": "d", "signature": ""}),
        ];
        assert_eq!(done, expected);
    }
}
