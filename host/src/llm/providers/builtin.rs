//! The answerer inside this program: quotes the sentences of the retrieved chunks that fit the question best. No network, no model.
//! What it cannot do is refused by the name of its field. It has no tokeniser, so its tokens are estimates, as everywhere in this room.

mod asked;
mod quote;
mod sentences;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::chat::stream::streamed;
use crate::chat::{Choice, Completion, Exchange, Json, Message, Reply, Usage, Whole, codec};
use crate::llm::Mode;
use crate::llm::adapter::UnsupportedField;
use crate::llm::id::sortable_id;
use crate::llm::meter::{BYTES_PER_TOKEN, tokens};
use crate::llm::vendor::{ANY_URL, VendorInfo};
use asked::Asked;
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
///
/// # Errors
/// `UnsupportedField` names what only a model could do.
pub(in crate::llm) fn reply(model: &str, exchange: &Exchange, mode: Mode) -> Result<Reply, UnsupportedField> {
    let asked = Asked::read(exchange)?;
    let (text, reason) = cut(answer(exchange), &asked);
    let completion = completion(if model.is_empty() { MODEL } else { model }, text, reason, exchange);
    Ok(match mode {
        Mode::Whole => Reply::Whole(Whole::Parsed(completion)),
        Mode::Stream => streamed(completion, exchange),
    })
}

/// The text up to the first stop sequence and to the limit of tokens, and why it ends there.
fn cut(mut text: String, asked: &Asked) -> (String, &'static str) {
    let stop = asked.stop.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min();
    text.truncate(stop.unwrap_or(text.len()));
    let most = asked.max_tokens.map_or(usize::MAX, |tokens| usize::try_from(tokens.saturating_mul(BYTES_PER_TOKEN)).unwrap_or(usize::MAX));
    if text.len() <= most {
        return (text, "stop");
    }
    text.truncate(text.floor_char_boundary(most));
    (text, "length")
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

fn completion(model: &str, text: String, reason: &str, exchange: &Exchange) -> Completion {
    let asked: usize = exchange.messages.iter().map(|message| message.joined_text().len()).sum();
    let usage = Usage { prompt: tokens(asked as u64), completion: tokens(text.len() as u64), ..Usage::default() };
    let mut message = Message::text("assistant", text);
    // OpenAI's published schema requires the field.
    message.extra.push(("refusal".into(), json("null")));
    let mut completion = completion_of(message, model);
    completion.choices[0].finish_reason = Some(reason.to_owned());
    completion.usage = Some(usage.json());
    completion
}

/// A completion of one message that no model wrote.
pub(in crate::llm) fn completion_of(message: Message, model: &str) -> Completion {
    Completion {
        id: format!("chatcmpl-{}", sortable_id().simple()),
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
