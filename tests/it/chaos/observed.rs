//! Checks what one client sees: one whole correct reply of one provider, one well-formed error, or the beginning of one provider's reply and
//! then one well-formed error event. It is judged without regard to what the providers did.

use hyper::HeaderMap;
use serde_json::{Value, json};

use super::dialects::{Dialect, Usage};
use crate::client::{Answer, Client, Streaming};

/// One question.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) nonce: u32,
    pub(super) pipeline: String,
    pub(super) stream: bool,
    /// A stream is to end with its usage.
    pub(super) usage: bool,
}

/// The result of a question.
pub(super) enum Seen {
    Reply(Replied),
    Refused(u16),
}

/// A reply, or its beginning.
pub(super) struct Replied {
    pub(super) nonce: u32,
    pub(super) by: Dialect,
    pub(super) attempts: u64,
    /// The usage that the provider reported; `None` if it did not report both counts.
    pub(super) usage: Option<Usage>,
    /// The prompt's tokens, if the provider reported only these.
    pub(super) prompt: Option<u64>,
    /// The code of the error event that ended it.
    pub(super) broken: Option<String>,
}

const ENVELOPE: [&str; 4] = ["code", "message", "param", "type"];

impl Asked {
    pub(super) async fn ask(&self, client: &Client) -> Seen {
        let question = format!("say nonce-{} back", self.nonce);
        if !self.stream {
            return self.whole(&client.chat(&self.pipeline, &question, json!({})).await);
        }
        let extra = if self.usage { json!({"stream_options": {"include_usage": true}}) } else { json!({}) };
        let stream = client.chat_stream(&self.pipeline, &question, extra).await;
        if stream.status == 200 { self.streamed(stream).await } else { self.refused(&stream.answer().await) }
    }

    fn whole(&self, answer: &Answer) -> Seen {
        if answer.status != 200 {
            return self.refused(answer);
        }
        let (by, attempts) = self.named(&answer.headers);
        let json = answer.json();
        assert_eq!(answer.content(), by.words(self.nonce).concat(), "{self:?} {json}");
        let choice = &json["choices"][0];
        assert_eq!((&choice["message"]["role"], &choice["finish_reason"]), (&json!("assistant"), &json!("stop")), "{self:?} {json}");
        assert_eq!((json["choices"].as_array().map(Vec::len), &json["object"]), (Some(1), &json!("chat.completion")), "{self:?} {json}");
        assert!(json["id"].as_str().is_some_and(|id| !id.is_empty()) && json["created"].is_u64(), "{self:?} {json}");
        assert_eq!(counts(&json["usage"]), by.usage(self.nonce), "{self:?} {json}");
        Seen::Reply(Replied { nonce: self.nonce, by, attempts, usage: Some(by.usage(self.nonce)), prompt: None, broken: None })
    }

    /// One of the errors that docs/errors.md lists, and nothing beside it.
    fn refused(&self, answer: &Answer) -> Seen {
        let json = answer.json();
        let status = answer.status.as_u16();
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "{self:?} {json}");
        let code = self.envelope(&json["error"]);
        let allowed: &[&str] = match status {
            400 => &["openai_code", "invalid_request_error", "INVALID_ARGUMENT"],
            404 => &["model_not_found", "not_found_error", "NOT_FOUND"],
            429 => &["rate_limit_exceeded", "insufficient_quota", "rate_limit_error", "RESOURCE_EXHAUSTED"],
            502 => &["provider_auth", "provider_failed", "provider_unreachable", "provider_garbled"],
            503 => &["provider_failed", "provider_benched"],
            504 => &["provider_timeout", "deadline_exceeded"],
            _ => &[],
        };
        assert!(allowed.contains(&code.as_str()), "{self:?} {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{self:?} {answer:?}");
        let seconds = answer.header("retry-after").map(|value| value.parse::<u64>().expect("whole seconds"));
        assert!(code != "provider_benched" || seconds.is_some_and(|seconds| seconds > 0), "{self:?} {answer:?}");
        Seen::Refused(status)
    }

    /// The code of a well-formed error.
    fn envelope(&self, error: &Value) -> String {
        let mut keys: Vec<&str> = error.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ENVELOPE, "{self:?} {error}");
        let text = |field: &str| error[field].as_str().filter(|text| !text.is_empty());
        assert!(text("message").is_some() && text("type").is_some(), "{self:?} {error}");
        assert!(!error.to_string().contains(super::gateway::KEY), "{self:?} {error}");
        text("code").unwrap_or_else(|| panic!("{self:?} {error}")).to_owned()
    }

    async fn streamed(&self, stream: Streaming) -> Seen {
        let (by, attempts) = self.named(&stream.headers);
        assert_eq!(stream.headers["content-type"], "text/event-stream", "{self:?}");
        let events = stream.all().await.unwrap_or_else(|error| panic!("{self:?} the connection broke: {error}"));
        let (last, chunks) = events.split_last().unwrap_or_else(|| panic!("{self:?} an empty stream"));
        let parsed = |event: &String| serde_json::from_str(event).unwrap_or_else(|_| panic!("{self:?} {events:?}"));
        let chunks: Vec<Value> = chunks.iter().map(parsed).collect();
        let content = self.chunks(&chunks);
        let whole = by.words(self.nonce);
        let reply = |usage, prompt, broken| Seen::Reply(Replied { nonce: self.nonce, by, attempts, usage, prompt, broken });
        if last == "[DONE]" {
            assert_eq!(
                (content.text.concat(), content.reasons.as_slice()),
                (whole.concat(), &["stop".to_owned()][..]),
                "{self:?} {events:?}"
            );
            assert_eq!(content.usage, self.usage.then(|| by.usage(self.nonce)), "{self:?} {events:?}");
            return reply(Some(by.usage(self.nonce)), None, None);
        }
        let error: Value = parsed(last);
        let code = self.envelope(&error["error"]);
        assert!(["upstream_cut", "upstream_idle", "upstream_error", "upstream_garbled", "deadline"].contains(&&*code), "{self:?} {error}");
        assert!(!content.text.is_empty() && whole.starts_with(&content.text), "{self:?} {events:?}");
        // A time limit may pass between the end and its mark.
        let late = matches!(&*code, "upstream_idle" | "deadline");
        assert!(late || (content.reasons.is_empty() && content.usage.is_none()), "{self:?} {events:?}");
        let (usage, prompt) = by.usage_after(self.nonce, content.text.len());
        reply(usage, prompt, Some(code))
    }

    /// The content of the chunks of one reply, which all have the same head.
    fn chunks(&self, chunks: &[Value]) -> Content {
        let mut content = Content::default();
        for (at, chunk) in chunks.iter().enumerate() {
            for field in ["id", "created", "model"] {
                assert_eq!(chunk[field], chunks[0][field], "{self:?} {field} {chunks:?}");
            }
            assert_eq!((&chunk["object"], &chunk["error"]), (&json!("chat.completion.chunk"), &Value::Null), "{self:?} {chunk}");
            assert_eq!(content.usage, None, "{self:?} usage is last: {chunks:?}");
            let choices = chunk["choices"].as_array().unwrap_or_else(|| panic!("{self:?} {chunk}"));
            if chunk["usage"].is_object() {
                assert!(choices.is_empty(), "{self:?} {chunk}");
                content.usage = Some(counts(&chunk["usage"]));
                continue;
            }
            assert!(choices.len() == 1 && content.reasons.is_empty(), "{self:?} nothing comes after the end: {chunks:?}");
            let role = &choices[0]["delta"]["role"];
            assert_eq!(role, &if at == 0 { json!("assistant") } else { Value::Null }, "{self:?} {chunks:?}");
            content.text.extend(choices[0]["delta"]["content"].as_str().filter(|text| !text.is_empty()).map(str::to_owned));
            content.reasons.extend(choices[0]["finish_reason"].as_str().map(str::to_owned));
        }
        content
    }

    /// Who answered, and after how many attempts.
    fn named(&self, headers: &HeaderMap) -> (Dialect, u64) {
        let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let by = Dialect::ALL.into_iter().find(|dialect| dialect.name() == value("x-cofferdam-provider"));
        let by = by.unwrap_or_else(|| panic!("{self:?} {headers:?}"));
        assert_eq!(value("x-cofferdam-model"), by.model(), "{self:?}");
        (by, value("x-cofferdam-attempts").parse().unwrap_or_else(|_| panic!("{self:?} {headers:?}")))
    }
}

#[derive(Default)]
struct Content {
    text: Vec<String>,
    reasons: Vec<String>,
    usage: Option<Usage>,
}

fn counts(usage: &Value) -> Usage {
    ["prompt_tokens", "completion_tokens"].map(|name| usage[name].as_u64().unwrap_or_else(|| panic!("no {name}: {usage}")))
}
