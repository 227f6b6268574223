//! Output items and the parts they hold, as the client gets them.
//! Source: OpenAI API reference, "The response object", `output`.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::chat::{Hit, Json};

/// A token with its probability, as both endpoints write it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Logprob {
    pub(super) token: String,
    pub(super) logprob: f64,
    #[serde(default, deserialize_with = "list")]
    bytes: Vec<u8>,
    #[serde(default, deserialize_with = "list")]
    pub(super) top_logprobs: Vec<Top>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Top {
    pub(super) token: String,
    pub(super) logprob: f64,
    #[serde(default, deserialize_with = "list")]
    bytes: Vec<u8>,
}

fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The tokens in a choice's `logprobs`.
pub(super) fn logprobs(json: &RawValue) -> Vec<Logprob> {
    #[derive(Deserialize)]
    struct Wire {
        content: Option<Vec<Logprob>>,
    }
    let wire = serde_json::from_str::<Option<Wire>>(json.get()).ok().flatten();
    wire.and_then(|wire| wire.content).unwrap_or_default()
}

/// The annotations of a chat message that have a form here; the others are left out. A document that is cited by its id is a file here, which the chat
/// endpoint has no type for.
pub(super) fn annotations(json: &RawValue) -> Vec<Json> {
    #[derive(Deserialize)]
    struct Wire {
        r#type: String,
        url_citation: Option<Url>,
    }
    #[derive(Deserialize, Serialize)]
    struct Url {
        start_index: u64,
        end_index: u64,
        title: String,
        url: String,
    }
    #[derive(Serialize)]
    struct File {
        index: u64,
        file_id: String,
        filename: String,
    }
    #[derive(Serialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Annotation {
        UrlCitation(Url),
        FileCitation(File),
    }
    let list: Vec<Json> = serde_json::from_str::<Option<_>>(json.get()).ok().flatten().unwrap_or_default();
    let read = list.iter().filter_map(|json| serde_json::from_str::<Wire>(json.get()).ok());
    let known = read.filter(|wire| wire.r#type == "url_citation").filter_map(|wire| wire.url_citation).map(|cited| {
        match cited.url.strip_prefix(Hit::BY_ID).map(str::to_owned) {
            Some(file_id) => Annotation::FileCitation(File { index: cited.end_index, file_id, filename: cited.title }),
            None => Annotation::UrlCitation(cited),
        }
    });
    known.map(|annotation| crate::chat::codec::raw_json(&annotation)).collect()
}

/// A part of a message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part<'a> {
    OutputText {
        text: &'a str,
        annotations: &'a [Json],
        logprobs: &'a [Logprob],
    },
    Refusal {
        refusal: &'a str,
    },
    /// Of a reasoning item.
    SummaryText {
        text: &'a str,
    },
}

/// An item of the output.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    Message {
        id: &'a str,
        status: &'a str,
        role: &'static str,
        content: &'a [Json],
    },
    FunctionCall {
        id: &'a str,
        status: &'a str,
        call_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        name: &'a str,
        arguments: &'a str,
        /// What the provider wants back with the call, as the chat endpoint has it.
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_content: Option<&'a RawValue>,
    },
    CustomToolCall {
        id: &'a str,
        status: &'a str,
        call_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        name: &'a str,
        input: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_content: Option<&'a RawValue>,
    },
    LocalShellCall {
        id: &'a str,
        status: &'a str,
        call_id: &'a str,
        action: Json,
    },
    Reasoning {
        id: &'a str,
        summary: &'a [Part<'a>],
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'a str>,
    },
}

impl<'a> Item<'a> {
    pub(super) fn message(id: &'a str, status: &'a str, content: &'a [Json]) -> Self {
        Self::Message { id, status, role: "assistant", content }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::codec::{json as raw, raw_json};

    #[test]
    fn citations_lose_their_nesting_and_what_has_no_form_here_is_left_out() {
        let citation = json!({"start_index": 1, "end_index": 2, "title": "t", "url": "https://example.com"});
        let given = json!([{"type": "url_citation", "url_citation": citation}, {"type": "other"}, {"type": "url_citation"}, 7]);
        let written: Vec<Value> =
            annotations(&raw_json(&given)).iter().map(|json| serde_json::from_str(json.get()).expect("JSON")).collect();
        let flat = json!({"type": "url_citation", "start_index": 1, "end_index": 2, "title": "t", "url": "https://example.com"});
        assert_eq!(written, [flat]);
        let file = json!({"start_index": 1, "end_index": 2, "title": "a.md", "url": "urn:uuid:f"});
        let written = annotations(&raw_json(&json!([{"type": "url_citation", "url_citation": file}])));
        let flat = json!({"type": "file_citation", "index": 2, "file_id": "f", "filename": "a.md"});
        assert_eq!(written.iter().map(|json| serde_json::from_str::<Value>(json.get()).expect("JSON")).collect::<Vec<_>>(), [flat]);
        for nothing in ["null", "7", "[]"] {
            assert!(annotations(&raw(nothing.into()).expect("JSON")).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn probabilities_have_all_their_lists() {
        let given = json!({"content": [{"token": "a", "logprob": -0.5, "bytes": null, "top_logprobs": [{"token": "b", "logprob": -1.0}]}]});
        let written = serde_json::to_value(logprobs(&raw_json(&given))).expect("JSON");
        let top = json!([{"token": "b", "logprob": -1.0, "bytes": []}]);
        assert_eq!(written, json!([{"token": "a", "logprob": -0.5, "bytes": [], "top_logprobs": top}]));
        for nothing in ["null", "{}", "{\"content\":null}", "7"] {
            assert!(logprobs(&raw(nothing.into()).expect("JSON")).is_empty(), "{nothing}");
        }
    }
}
