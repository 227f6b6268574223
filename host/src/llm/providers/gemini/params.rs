//! The client's fields beside model and messages, each accounted for, and the `generationConfig` that they become: lengths, sampling, stops, the
//! form of the answer. A field that would change the answer is never lost silently.
//! Sources: Gemini API reference, `GenerationConfig`, <https://ai.google.dev/api/generate-content>; "Structured output",
//! <https://ai.google.dev/gemini-api/docs/structured-output>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::model::{EFFORT, Model, thinking_config};
use super::schema::{Budget, converted};
use crate::chat::{Fields, Json};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};

/// Stop sequences that Gemini takes.
const STOPS_MAX: usize = 5;

/// Fields that are translated, here or in the files beside this one.
const TRANSLATED: [&str; 20] = [
    "frequency_penalty",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "modalities",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    // Gemini's own, in both spellings.
    "safetySettings",
    "safety_settings",
    "seed",
    "stop",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
];

/// Fields without effect on the answer: who asks, what is recorded, hints at speed, and how we stream.
const WITHOUT_EFFECT: [&str; 10] = [
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "user",
    "verbosity",
];

/// Characters of a parser's message that are passed on.
const CAUSE_CHARS: usize = 200;

/// The client's fields, each accounted for.
pub(super) struct Params<'a>(&'a Fields);

impl<'a> Params<'a> {
    /// # Errors
    /// If a field would change the answer, Gemini has no counterpart, and the operator did not choose to leave such fields out.
    pub(super) fn new(request: &CompletionRequest<'a>) -> Result<Self, UnsupportedField> {
        for (name, json) in request.params.iter().filter(|(_, json)| json.get() != "null") {
            match name.as_str() {
                // Without any token it has no effect.
                "logit_bias" if serde_json::from_str(json.get()).is_ok_and(|bias: BTreeMap<&str, IgnoredAny>| bias.is_empty()) => {}
                "functions" | "function_call" => {
                    request.refuse_or_drop(name, "is OpenAI's old form; say it with `tools` and `tool_choice`")?
                }
                known if TRANSLATED.contains(&known) || WITHOUT_EFFECT.contains(&known) => {}
                _ => request.refuse_or_drop(name, "is nothing that Gemini has a word for")?,
            }
        }
        Ok(Self(request.params))
    }

    /// The field as it came; null counts as absent.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let (_, json) = self.0.iter().find(|(key, _)| key == name)?;
        Some(&**json).filter(|json| json.get() != "null")
    }

    /// # Errors
    /// If the field is not of this form.
    pub(super) fn get<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, UnsupportedField> {
        self.raw(name).map(|json| read(json, name)).transpose()
    }
}

/// # Errors
/// `UnsupportedField` for `param` if the JSON is not of this form.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a RawValue, param: &str) -> Result<T, UnsupportedField> {
    serde_json::from_str(json.get()).map_err(|error| {
        let text = error.to_string();
        // The message may repeat the client's text in full.
        let cause: String = text.split(" at line ").next().unwrap_or_default().chars().take(CAUSE_CHARS).collect();
        UnsupportedField::new(param, format!("is not as the API says: {cause}"))
    })
}

/// The settings that the client asks for, by Gemini's names. Sampling that the newest models ignore is sent all the same.
#[derive(Default)]
pub(super) struct GenerationConfig(Vec<(&'static str, Json)>);

impl GenerationConfig {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn put<T: Serialize>(&mut self, name: &'static str, value: &T) {
        self.0.push((name, to_raw_value(value).expect("settings have string keys and are JSON")));
    }

    fn put_some<T: Serialize>(&mut self, name: &'static str, value: Option<T>) {
        if let Some(value) = value {
            self.put(name, &value);
        }
    }
}

impl Serialize for GenerationConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// # Errors
/// `UnsupportedField` names the setting that Gemini cannot take.
pub(super) fn generation_config(
    request: &CompletionRequest<'_>,
    params: &Params<'_>,
    model: &Model<'_>,
    has_functions: bool,
    budget: &mut Budget,
) -> Result<GenerationConfig, UnsupportedField> {
    let mut config = GenerationConfig::default();
    let tokens: Option<u64> = params.get("max_completion_tokens")?;
    config.put_some("maxOutputTokens", tokens.or(params.get("max_tokens")?));
    config.put_some("temperature", params.get::<f64>("temperature")?);
    config.put_some("topP", params.get::<f64>("top_p")?);
    config.put_some("topK", params.get::<u64>("top_k")?);
    config.put_some("candidateCount", params.get::<u32>("n")?.filter(|n| *n != 1));
    match params.get::<i64>("seed")?.map(i32::try_from) {
        Some(Ok(seed)) => config.put("seed", &seed),
        Some(Err(_)) => request.refuse_or_drop("seed", "is larger than the 32 bits that Gemini has for it")?,
        None => {}
    }
    stops(request, params, &mut config)?;
    for (name, own) in [("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty")] {
        match params.get::<f64>(name)?.filter(|penalty| *penalty != 0.0) {
            Some(_) if model.since((3, 0)) => request.refuse_or_drop(name, "is refused by Gemini 3")?,
            penalty => config.put_some(own, penalty),
        }
    }
    log_probabilities(request, params, &mut config)?;
    modalities(request, params, &mut config)?;
    response_format(request, params, model, has_functions, budget, &mut config)?;
    if let Some(effort) = params.get::<String>(EFFORT)? {
        config.put_some("thinkingConfig", thinking_config(request, model, &effort)?);
    }
    Ok(config)
}

/// `stop`, one or a list. If the operator chose to leave out what Gemini cannot take, the first few are sent.
fn stops(request: &CompletionRequest<'_>, params: &Params<'_>, config: &mut GenerationConfig) -> Result<(), UnsupportedField> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a string or a list of strings")]
    enum Stop {
        One(String),
        Many(Vec<String>),
    }
    let mut stops = match params.get("stop")? {
        None => return Ok(()),
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Many(stops)) => stops,
    };
    // Gemini refuses an empty one, which stops nothing.
    stops.retain(|stop| !stop.is_empty());
    if stops.len() > STOPS_MAX {
        request.refuse_or_drop("stop", format!("holds {} sequences; Gemini takes {STOPS_MAX}", stops.len()))?;
        stops.truncate(STOPS_MAX);
    }
    config.put_some("stopSequences", Some(stops).filter(|stops| !stops.is_empty()));
    Ok(())
}

/// Log probabilities come with whole replies only, because a chunk of our streams has no place for them.
fn log_probabilities(request: &CompletionRequest<'_>, params: &Params<'_>, config: &mut GenerationConfig) -> Result<(), UnsupportedField> {
    let top: Option<u32> = params.get("top_logprobs")?;
    if params.get("logprobs")? != Some(true) {
        return Ok(());
    }
    if request.stream {
        return request.refuse_or_drop("logprobs", "comes with whole replies of Gemini's only; ask without `stream`");
    }
    config.put("responseLogprobs", &true);
    config.put_some("logprobs", top.filter(|top| *top > 0));
    Ok(())
}

fn modalities(request: &CompletionRequest<'_>, params: &Params<'_>, config: &mut GenerationConfig) -> Result<(), UnsupportedField> {
    let Some(mut modalities) = params.get::<Vec<String>>("modalities")? else { return Ok(()) };
    if modalities.iter().any(|kind| kind != "text" && kind != "image") {
        request.refuse_or_drop("modalities", "may hold `text` and `image` with Gemini; audio is not translated")?;
        modalities.retain(|kind| kind == "text" || kind == "image");
    }
    if modalities.iter().any(|kind| kind == "image") {
        config.put("responseModalities", &modalities.iter().map(|kind| kind.to_uppercase()).collect::<Vec<_>>());
    }
    Ok(())
}

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    json_schema: Option<NamedSchema<'a>>,
}

/// Its `name`, `description` and `strict` have no counterpart; Gemini always follows the schema.
#[derive(Deserialize)]
struct NamedSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// `response_format`: JSON, or JSON of a schema. Since 2.0 Gemini reads JSON Schema as it is; older models want the subset of their own.
fn response_format(
    request: &CompletionRequest<'_>,
    params: &Params<'_>,
    model: &Model<'_>,
    has_functions: bool,
    budget: &mut Budget,
    config: &mut GenerationConfig,
) -> Result<(), UnsupportedField> {
    let Some(format) = params.get::<ResponseFormat<'_>>("response_format")? else { return Ok(()) };
    let schema = match &*format.kind {
        "text" => return Ok(()),
        "json_object" => None,
        "json_schema" => {
            let schema = format.json_schema.and_then(|named| named.schema);
            Some(schema.ok_or_else(|| UnsupportedField::new("response_format.json_schema.schema", "is missing"))?)
        }
        _ => return Err(UnsupportedField::new("response_format.type", "must be text, json_object or json_schema")),
    };
    if has_functions && model.before((3, 0)) {
        return request.refuse_or_drop("response_format", "cannot be had together with `tools` before Gemini 3; leave one of them out");
    }
    config.put("responseMimeType", &"application/json");
    match schema {
        None => {}
        Some(schema) if model.before((2, 0)) => {
            let schema: Value = read(schema, "response_format.json_schema.schema")?;
            config.put("responseSchema", &converted(&schema, "response_format.json_schema.schema", true, budget)?);
        }
        Some(schema) if schema.get().starts_with('{') => config.put("responseJsonSchema", &schema),
        Some(_) => return Err(UnsupportedField::new("response_format.json_schema.schema", "must be an object")),
    }
    Ok(())
}
