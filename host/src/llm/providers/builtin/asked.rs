//! What a request wants of the answerer: the limits that it keeps, and a refusal of everything that only a model could do, by the name of its field.
//! Fields that steer how a model samples change nothing here, and are taken.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::chat::{Content, Exchange, Part};
use crate::llm::adapter::UnsupportedField;

/// What the remedy is for everything that is refused.
const REMEDY: &str = "ask a pipeline whose `llm` stage has a model";

/// The limits of a reply.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) stop: Vec<String>,
    /// Of tokens.
    pub(super) max_tokens: Option<u64>,
}

impl Asked {
    /// # Errors
    /// `UnsupportedField` names a field that asks for more than quotes.
    pub(super) fn read(exchange: &Exchange) -> Result<Self, UnsupportedField> {
        let mut asked = Self::default();
        for (name, json) in exchange.params.iter().filter(|(_, json)| json.get() != "null") {
            match name.as_str() {
                "stop" => asked.stop = stops(json.get())?,
                "max_completion_tokens" => asked.max_tokens = Some(read(name, json.get(), "a whole number of tokens")?),
                "max_tokens" if exchange.param("max_completion_tokens").is_none_or(|json| json.get() == "null") => {
                    asked.max_tokens = Some(read(name, json.get(), "a whole number of tokens")?);
                }
                _ => only_quotes(name, json.get())?,
            }
        }
        for (at, message) in exchange.messages.iter().enumerate().filter(|(_, message)| message.role == "user") {
            if let Content::Parts(parts) = &message.content
                && let Some(place) = parts.iter().position(|part| matches!(part, Part::Other(_)))
            {
                return Err(refused(&format!("messages[{at}].content[{place}]"), "is no text, which is all that it can read"));
            }
        }
        Ok(asked)
    }
}

/// A field that asks for nothing, or for nothing more than quotes, is taken.
fn only_quotes(name: &str, json: &str) -> Result<(), UnsupportedField> {
    let value = || serde_json::from_str::<Value>(json).unwrap_or_default();
    let (asks, why) = match name {
        "tools" | "functions" => (value().as_array().is_none_or(|list| !list.is_empty()), "offers tools, and it calls none"),
        "tool_choice" | "function_call" => (value() != "none" && value() != "auto", "asks for a call, and it makes none"),
        "n" => (value().as_f64() != Some(1.0), "asks for several answers, and it has one"),
        "response_format" => (value()["type"] != "text", "asks for a form, and it answers with quotes"),
        "logprobs" => (value() != false, "asks for probabilities, and it has none"),
        "modalities" => (value() != serde_json::json!(["text"]), "asks for more than text"),
        "audio" | "web_search_options" => (true, "is nothing that it can do"),
        _ => (false, ""),
    };
    if asks { Err(refused(name, why)) } else { Ok(()) }
}

fn refused(param: &str, why: &str) -> UnsupportedField {
    UnsupportedField::new(param, format!("{why}: the built-in answerer is no language model; {REMEDY}"))
}

fn read<T: DeserializeOwned>(name: &str, json: &str, what: &str) -> Result<T, UnsupportedField> {
    serde_json::from_str(json).map_err(|_| UnsupportedField::new(name, format!("must be {what}")))
}

/// One string or several.
fn stops(json: &str) -> Result<Vec<String>, UnsupportedField> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stop {
        One(String),
        Several(Vec<String>),
    }
    Ok(match read("stop", json, "a string or a list of strings")? {
        Stop::One(text) => vec![text],
        Stop::Several(texts) => texts,
    })
}
