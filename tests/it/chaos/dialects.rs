//! Three providers of different kinds: their replies, streams and errors in the wire format of each.
//! The text of a reply follows from provider and nonce, so that no reply can be taken for another.

use serde_json::{Value, json};

use crate::upstream::{Request, Upstream};

/// A kind of provider; its name is also the provider's name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
}

/// One question as it reached a provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) nonce: u32,
    pub(super) stream: bool,
    /// The provider is asked to report usage in a stream; only OpenAI's needs to be asked.
    usage: bool,
}

/// Tokens of a prompt and of its reply.
pub(super) type Usage = [u64; 2];

/// The events of a stream: those up to the last piece of text, and those that end it.
pub(super) struct Frames {
    pub(super) content: Vec<String>,
    pub(super) ending: Vec<String>,
}

impl Question {
    pub(super) fn of(request: &Request) -> Self {
        let body = String::from_utf8_lossy(&request.body);
        let (_, after) = body.split_once("nonce-").expect("every question has a nonce");
        let digits = after.split(|c: char| !c.is_ascii_digit()).next().expect("one part at least");
        let json = request.json();
        Self {
            nonce: digits.parse().expect("a number"),
            stream: json["stream"] == true || request.path.contains(":streamGenerateContent"),
            usage: json["stream_options"]["include_usage"] == true,
        }
    }
}

impl Dialect {
    pub(super) const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Gemini];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// Its only model.
    pub(super) fn model(self) -> &'static str {
        match self {
            Self::OpenAi => "gpt-4o",
            Self::Anthropic => "claude-sonnet-4-5",
            Self::Gemini => "gemini-2.5-flash",
        }
    }

    pub(super) fn config(self, upstream: &Upstream) -> String {
        let (name, url) = (self.name(), upstream.url());
        format!("[providers.{name}]\nkind = \"{name}\"\nbase_url = \"{url}\"\n")
    }

    /// The pieces of its reply, of several bytes a letter here and there.
    pub(super) fn words(self, nonce: u32) -> Vec<String> {
        let mut words = vec!["reply to ".to_owned(), format!("nonce-{nonce} "), "from ".to_owned(), self.name().to_owned()];
        words.extend((0..nonce % 5).map(|at| format!(" – wörd {at} 漢字")));
        words
    }

    /// The usage of a whole reply. No two providers report the same.
    pub(super) fn usage(self, nonce: u32) -> Usage {
        let prompt = 10 + 100 * (self as u64) + u64::from(nonce % 7);
        [prompt, self.words(nonce).len() as u64]
    }

    /// The usage that it has reported when its stream breaks after so many words: both counts, only the prompt's, or nothing before the end.
    pub(super) fn usage_after(self, nonce: u32, words: usize) -> (Option<Usage>, Option<u64>) {
        let [prompt, _] = self.usage(nonce);
        match self {
            Self::OpenAi => (None, None),
            Self::Anthropic => (None, Some(prompt)),
            Self::Gemini => (Some([prompt, words as u64]), None),
        }
    }

    /// The JSON of a whole reply.
    pub(super) fn whole(self, nonce: u32) -> Value {
        let ([prompt, completion], model, text) = (self.usage(nonce), self.model(), self.words(nonce).concat());
        match self {
            Self::OpenAi => json!({
                "id": format!("chatcmpl-{nonce}"), "object": "chat.completion", "created": 7, "model": model,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "finish_reason": "stop", "logprobs": null}],
                "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
            }),
            Self::Anthropic => json!({
                "id": format!("msg_{nonce}"), "type": "message", "role": "assistant", "model": model,
                "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": prompt, "output_tokens": completion},
            }),
            Self::Gemini => gemini(nonce, &text, Some("STOP"), completion),
        }
    }

    /// A stream's events, each with its blank line.
    pub(super) fn frames(self, question: Question) -> Frames {
        match self {
            Self::OpenAi => openai_frames(question),
            Self::Anthropic => anthropic_frames(question.nonce),
            Self::Gemini => gemini_frames(question.nonce),
        }
    }

    /// The body of an error status. `spent`: a quota that no waiting brings back today.
    pub(super) fn error(self, status: u16, message: &str, spent: bool) -> Value {
        match self {
            Self::OpenAi => {
                let code = match status {
                    429 if spent => "insufficient_quota",
                    429 => "rate_limit_exceeded",
                    404 => "model_not_found",
                    _ => "openai_code",
                };
                json!({"error": {"message": message, "type": "openai_error", "param": null, "code": code}})
            }
            Self::Anthropic => {
                let kind = match status {
                    400 => "invalid_request_error",
                    401 => "authentication_error",
                    402 => "billing_error",
                    404 => "not_found_error",
                    429 => "rate_limit_error",
                    529 => "overloaded_error",
                    _ => "api_error",
                };
                let details = if spent { json!({"error_code": "enforced_spend_limit_reached"}) } else { Value::Null };
                json!({"type": "error", "error": {"type": kind, "message": message, "details": details}, "request_id": "req_1"})
            }
            Self::Gemini => {
                let code = match status {
                    400 => "INVALID_ARGUMENT",
                    401 => "UNAUTHENTICATED",
                    404 => "NOT_FOUND",
                    429 => "RESOURCE_EXHAUSTED",
                    _ => "UNAVAILABLE",
                };
                let quota = json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerDay"}]});
                json!({"error": {"code": status, "message": message, "status": code, "details": if spent { json!([quota]) } else { json!([]) }}})
            }
        }
    }

    /// An error inside a stream as an event.
    pub(super) fn error_frame(self, status: u16) -> String {
        let error = self.error(status, "it broke", false);
        match self {
            Self::Anthropic => format!("event: error\ndata: {error}\n\n"),
            Self::OpenAi | Self::Gemini => format!("data: {error}\n\n"),
        }
    }
}

fn openai_frames(Question { nonce, usage, .. }: Question) -> Frames {
    let frame = |choices: Value, usage: Value| {
        let chunk = json!({"id": format!("chatcmpl-{nonce}"), "object": "chat.completion.chunk", "created": 7,
            "model": Dialect::OpenAi.model(), "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, why: Value| frame(json!([{"index": 0, "delta": delta, "finish_reason": why}]), Value::Null);
    let mut content = vec![choice(json!({"role": "assistant", "content": ""}), Value::Null)];
    content.extend(Dialect::OpenAi.words(nonce).into_iter().map(|word| choice(json!({"content": word}), Value::Null)));
    let mut ending = vec![choice(json!({}), json!("stop"))];
    if usage {
        let [prompt, completion] = Dialect::OpenAi.usage(nonce);
        let counts = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion});
        ending.push(frame(json!([]), counts));
    }
    ending.push("data: [DONE]\n\n".to_owned());
    Frames { content, ending }
}

fn anthropic_frames(nonce: u32) -> Frames {
    let frame = |event: Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a type"));
    let [prompt, completion] = Dialect::Anthropic.usage(nonce);
    let delta = |word: String| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}});
    let begun = json!({"id": format!("msg_{nonce}"), "type": "message", "role": "assistant", "model": Dialect::Anthropic.model(),
        "content": [], "stop_reason": null, "usage": {"input_tokens": prompt, "output_tokens": 1}});
    let mut content = vec![
        frame(json!({"type": "message_start", "message": begun})),
        frame(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
        frame(json!({"type": "ping"})),
    ];
    content.extend(Dialect::Anthropic.words(nonce).into_iter().map(|word| frame(delta(word))));
    let ending = vec![
        frame(json!({"type": "content_block_stop", "index": 0})),
        frame(
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": completion}}),
        ),
        frame(json!({"type": "message_stop"})),
    ];
    Frames { content, ending }
}

fn gemini_frames(nonce: u32) -> Frames {
    let words = Dialect::Gemini.words(nonce);
    let content = words.iter().zip(1..).map(|(word, count)| format!("data: {}\n\n", gemini(nonce, word, None, count)));
    let ending = vec![format!("data: {}\n\n", gemini(nonce, "", Some("STOP"), words.len() as u64))];
    Frames { content: content.collect(), ending }
}

fn gemini(nonce: u32, text: &str, why: Option<&str>, completion: u64) -> Value {
    let [prompt, _] = Dialect::Gemini.usage(nonce);
    json!({
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": why}],
        "usageMetadata": {"promptTokenCount": prompt, "candidatesTokenCount": completion, "totalTokenCount": prompt + completion},
        "modelVersion": Dialect::Gemini.model(), "responseId": format!("g-{nonce}"),
    })
}
