//! A model's thoughts on their way through a client that only carries them. The text travels as the item's summary, and the provider's
//! signed blocks (`thinking_blocks` of a chat message) as its `encrypted_content`, which is their JSON. What is sealed by somebody else is
//! dropped: only its server could open it. Must not know which provider thinks how.

use serde::{Deserialize, Serialize};

use super::field::read;
use crate::chat::codec::{json_string, raw_json};
use crate::chat::{Fields, Json};
use crate::http::error::Refusal;

/// The field of a chat message that holds thoughts in words.
pub(super) const TEXT: &str = "reasoning_content";
/// The same, as some servers spell it.
pub(super) const TEXT_TOO: &str = "reasoning";
/// The field of a chat message that holds signed thoughts.
pub(super) const BLOCKS: &str = "thinking_blocks";

/// What was thought before the message that comes next.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    texts: Vec<String>,
    blocks: Vec<Json>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    summary: Option<Vec<Words>>,
    #[serde(default)]
    content: Option<Vec<Words>>,
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct Words {
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

impl Thoughts {
    /// Adds the reasoning item that stands at the path `at`.
    pub(super) fn add(&mut self, at: &str, json: &Json) -> Result<(), Refusal> {
        let Item { summary, content, encrypted_content } = read(at, json)?;
        let words = content.filter(|list| !list.is_empty()).or(summary).unwrap_or_default();
        self.texts.extend(words.into_iter().map(|words| words.text).filter(|text| !text.is_empty()));
        let sealed = encrypted_content.and_then(|text| serde_json::from_str::<Sealed<Vec<Json>>>(&text).ok());
        self.blocks.extend(sealed.into_iter().flat_map(|sealed| sealed.thinking_blocks));
        Ok(())
    }

    /// Takes over what others hold.
    pub(super) fn append(&mut self, others: &mut Self) {
        self.texts.append(&mut others.texts);
        self.blocks.append(&mut others.blocks);
    }

    /// Gives the message that they led to what was thought; leaves nothing.
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

/// Signed thoughts out of a stream, where a block may come in pieces: words first, their signature last.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Block>);

#[derive(Debug)]
enum Block {
    /// Words that wait for their signature.
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
        let words = match self.0.pop() {
            Some(Block::Open(words)) => words + &more.thinking,
            Some(whole) => {
                self.0.push(whole);
                more.thinking
            }
            None => more.thinking,
        };
        self.0.push(match signature {
            Some(signature) => Block::Whole(whole(&words, &signature)),
            None => Block::Open(words),
        });
    }

    pub(super) fn done(self) -> Vec<Json> {
        let block = |block| match block {
            Block::Open(words) => whole(&words, ""),
            Block::Whole(json) => json,
        };
        self.0.into_iter().map(block).collect()
    }
}

fn whole(words: &str, signature: &str) -> Json {
    raw_json(&serde_json::json!({"type": "thinking", "thinking": words, "signature": signature}))
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
        let (mut thoughts, mut extra) = (Thoughts::default(), Fields::new());
        for item in items {
            let mut more = Thoughts::default();
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
