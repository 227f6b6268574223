//! A model's reasoning on its way through a client that only carries it. The text travels as the item's summary, and what its provider wants
//! back as its `encrypted_content` (`kept.rs`).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::extra::TEXT;
use super::field::read;
use super::kept::Kept;
use crate::chat::Fields;
use crate::chat::codec::json_string;
use crate::http::error::Refusal;

/// The reasoning before the message that comes next.
#[derive(Debug, Default)]
pub(super) struct Reasoning {
    texts: Vec<String>,
    pub(super) kept: Kept,
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

impl Reasoning {
    /// Adds the reasoning item that stands at the path `at`.
    pub(super) fn add(&mut self, at: &str, json: &RawValue) -> Result<(), Refusal> {
        let Item { summary, content, encrypted_content } = read(at, json)?;
        let texts = content.filter(|list| !list.is_empty()).or(summary).unwrap_or_default();
        self.texts.extend(texts.into_iter().map(|SummaryText { text }| text).filter(|text| !text.is_empty()));
        if let Some(mut kept) = encrypted_content.and_then(|text| Kept::open(&text)) {
            self.kept.append(&mut kept);
        }
        Ok(())
    }

    /// Takes over what others hold.
    pub(super) fn append(&mut self, others: &mut Self) {
        self.texts.append(&mut others.texts);
        self.kept.append(&mut others.kept);
    }

    /// Moves the reasoning into the message that it led to; leaves nothing.
    pub(super) fn attach(&mut self, extra: &mut Fields) {
        let Self { texts, kept } = std::mem::take(self);
        if !texts.is_empty() {
            extra.push((TEXT.into(), json_string(&texts.join("\n\n"))));
        }
        kept.attach(extra);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::Json;
    use crate::chat::codec::{json as raw, raw_json};

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
        let sealed = Kept::of(&vec![("thinking_blocks".to_owned(), raw_json(&[&block]))]).seal();
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
}
