//! The answerer inside this program: quotes the sentences of the retrieved chunks that fit the question best. No network, no model.
//! Its usage is 0 tokens, because nothing is tokenised.

mod quote;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::chat::stream::streamed;
use crate::chat::{Choice, Completion, Exchange, Json, Message, Reply, Whole, codec};
use crate::llm::Mode;
use crate::llm::vendor::{ANY_URL, VendorInfo};
use quote::{Quote, quotes};

/// The name for OpenTelemetry is ours; its conventions have none.
pub(in crate::llm) const INFO: VendorInfo =
    VendorInfo { name: "builtin", system: "cofferdam.builtin", default_url: None, url_hint: ANY_URL };

/// The model's name if the pipeline gives none.
const MODEL: &str = "extractive";

/// Bytes of the question that are looked at: more than anybody asks, and retrieval reads no more either.
const QUESTION_BYTES: usize = 8 << 10;

const ABOUT: &str = "I am Cofferdam's built-in answerer, no language model: I quote the documents I was given.";

/// The reply to the newest user message.
pub(in crate::llm) fn reply(model: &str, exchange: &Exchange, mode: Mode) -> Reply {
    let completion = completion(if model.is_empty() { MODEL } else { model }, answer(exchange));
    match mode {
        Mode::Whole => Reply::Whole(Whole::Parsed(completion)),
        Mode::Stream => streamed(completion, exchange),
    }
}

fn answer(exchange: &Exchange) -> String {
    let Some(question) = exchange.question() else {
        return format!("There is no question to look up. {ABOUT}");
    };
    if exchange.hits.is_empty() {
        return format!("No document was found for this question, so there is nothing to quote. {ABOUT}");
    }
    let quotes = quotes(&question[..question.floor_char_boundary(QUESTION_BYTES)], &exchange.hits);
    if quotes.is_empty() {
        return format!("Nothing in the documents that were found speaks of this. {ABOUT}");
    }
    let lines = quotes.iter().map(|Quote { sentence, source }| format!("\"{sentence}\" ({source})"));
    format!("{}\n\n{ABOUT}", lines.collect::<Vec<_>>().join("\n\n"))
}

fn completion(model: &str, text: String) -> Completion {
    let mut message = Message::text("assistant", text);
    // OpenAI's published schema requires the field.
    message.extra.push(("refusal".into(), json("null")));
    completion_of(message, model)
}

/// A completion of one message that no model wrote.
pub(in crate::llm) fn completion_of(message: Message, model: &str) -> Completion {
    Completion {
        id: format!("chatcmpl-{}", uuid::Uuid::now_v7().simple()),
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        model: model.to_owned(),
        choices: vec![Choice { index: 0, message, finish_reason: Some("stop".into()), extra: Vec::new() }],
        usage: Some(json(r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#)),
        extra: Vec::new(),
    }
}

fn json(text: &str) -> Json {
    codec::json(text.to_owned()).expect("a constant that is JSON")
}

#[cfg(test)]
mod tests;
