//! The client's fields beside model and messages: read, checked for their type, and sorted into what the API has, what it has not, and what
//! changes no answer. Source: OpenAI API reference, "Create chat completion". Must not know what becomes of them on the wire.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::content::unfit;
use crate::chat::Json;
use crate::llm::adapter::{CompletionRequest, UnsupportedField};

/// Bytes of a user's id.
const USER_BYTES: usize = 256;

/// What the client asks for; null counts as absent.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) max_tokens: Option<u64>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
    pub(super) stop: Vec<String>,
    pub(super) tools: Vec<Json>,
    pub(super) tool_choice: Option<Value>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) response_format: Option<Json>,
    pub(super) reasoning_effort: Option<String>,
    /// Anthropic's own field, as it came.
    pub(super) thinking: Option<Value>,
    pub(super) user: Option<String>,
    pub(super) service_tier: Option<&'static str>,
}

impl Params {
    pub(super) fn read(request: &CompletionRequest<'_>) -> Result<Self, UnsupportedField> {
        let mut params = Self::default();
        let mut old_max_tokens = None;
        for (name, json) in request.params.iter().filter(|(_, json)| json.get() != "null") {
            let name = name.as_str();
            match name {
                "max_completion_tokens" => params.max_tokens = Some(read(name, json, "a whole number of tokens")?),
                "max_tokens" => old_max_tokens = Some(read(name, json, "a whole number of tokens")?),
                "temperature" => params.temperature = Some(read(name, json, "a number")?),
                "top_p" => params.top_p = Some(read(name, json, "a number")?),
                "top_k" => params.top_k = Some(read(name, json, "a whole number")?),
                "stop" => params.stop = stop(json)?,
                "tools" => params.tools = read(name, json, "a list of tools")?,
                "tool_choice" => params.tool_choice = Some(read(name, json, "JSON")?),
                "parallel_tool_calls" => params.parallel_tool_calls = Some(read(name, json, "true or false")?),
                "response_format" => params.response_format = Some(json.clone()),
                "reasoning_effort" => params.reasoning_effort = Some(read(name, json, "a string")?),
                "thinking" => params.thinking = Some(read(name, json, "an object")?),
                "user" | "safety_identifier" => params.user = user(&read::<String>(name, json, "a string")?).or(params.user),
                "service_tier" => params.service_tier = service_tier(request, &read::<String>(name, json, "a string")?)?,
                // These change no answer: what OpenAI's dashboard keeps, how its cache is keyed, and what is ours (`stream_options`).
                "store" | "metadata" | "prediction" | "prompt_cache_key" | "prompt_cache_retention" | "stream_options" => {}
                _ => neutral(request, name, json)?,
            }
        }
        params.max_tokens = params.max_tokens.or(old_max_tokens);
        Ok(params)
    }
}

/// Fields that Anthropic has not: fine where they ask for what happens anyway.
fn neutral(request: &CompletionRequest<'_>, name: &str, json: &RawValue) -> Result<(), UnsupportedField> {
    let asks_for_nothing = match name {
        "n" => read::<u64>(name, json, "a whole number")? == 1,
        "logprobs" => !read::<bool>(name, json, "true or false")?,
        "top_logprobs" => read::<u64>(name, json, "a whole number")? == 0,
        "presence_penalty" | "frequency_penalty" => read::<f64>(name, json, "a number")? == 0.0,
        "logit_bias" => read::<serde_json::Map<String, Value>>(name, json, "an object")?.is_empty(),
        "modalities" => read::<Vec<String>>(name, json, "a list of strings")?.iter().all(|modality| modality == "text"),
        _ => false,
    };
    if asks_for_nothing {
        return Ok(());
    }
    let message = match name {
        "n" => "Anthropic gives one answer to a request; leave it out and ask again for another".to_owned(),
        "functions" | "function_call" => "is an old form; send `tools` and `tool_choice`".to_owned(),
        _ => "Anthropic has no such field; leave it out".to_owned(),
    };
    request.refuse_or_drop(name, message)
}

pub(super) fn read<T: DeserializeOwned>(name: &str, json: &RawValue, what: &str) -> Result<T, UnsupportedField> {
    serde_json::from_str(json.get()).map_err(|_| unfit(name, format!("must be {what}")))
}

/// One string or several. The API refuses those of nothing but white space.
fn stop(json: &RawValue) -> Result<Vec<String>, UnsupportedField> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stop {
        One(String),
        Several(Vec<String>),
    }
    let given = match read("stop", json, "a string or a list of strings")? {
        Stop::One(text) => vec![text],
        Stop::Several(texts) => texts,
    };
    Ok(given.into_iter().filter(|text| !text.trim().is_empty()).collect())
}

/// A user's id for the vendor's watch over abuse. Anthropic wants nobody to be known by it, so what looks like an address or a telephone
/// number is not sent.
fn user(id: &str) -> Option<String> {
    let digits = id.chars().filter(char::is_ascii_digit).count();
    let phone = digits >= 7 && id.chars().all(|c| c.is_ascii_digit() || " +-()./".contains(c));
    let fits = !id.trim().is_empty() && id.len() <= USER_BYTES && !id.contains('@') && !phone;
    fits.then(|| id.to_owned())
}

fn service_tier(request: &CompletionRequest<'_>, tier: &str) -> Result<Option<&'static str>, UnsupportedField> {
    match tier {
        // Anthropic's `auto` uses what priority was bought.
        "auto" | "priority" => Ok(Some("auto")),
        "default" | "standard_only" => Ok(Some("standard_only")),
        other => {
            request.refuse_or_drop("service_tier", format!("is `{other}`; Anthropic has auto and default"))?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c24_a_user_that_is_an_address_or_a_number_is_not_sent() {
        for id in ["ada@example.org", "+44 20 7946 0000", "(030) 1234-567", "5551234567", " ", &"x".repeat(257)] {
            assert_eq!(user(id), None, "{id}");
        }
        for id in ["u-123", "user_5551234567", "3f0c", "12345"] {
            assert_eq!(user(id).as_deref(), Some(id));
        }
    }
}
