//! `generationConfig`: lengths, sampling, stops and what else steers the answer. Sampling that the newest models ignore is sent all the same.
//! Must not know messages or tools. Source: Gemini API reference, `GenerationConfig`, <https://ai.google.dev/api/generate-content>.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::to_raw_value;

use super::params::Params;
use super::{output, thinking};
use crate::chat::Json;
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::providers::gemini::model::Model;
use crate::llm::providers::gemini::schema::Budget;

/// Stop sequences that Gemini takes.
const STOPS_MAX: usize = 5;

/// The settings that were asked for, by Gemini's names.
#[derive(Default)]
pub(super) struct Config(Vec<(&'static str, Json)>);

impl Config {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn put<T: Serialize>(&mut self, name: &'static str, value: &T) {
        self.0.push((name, to_raw_value(value).expect("settings have string keys and are JSON")));
    }

    fn put_some<T: Serialize>(&mut self, name: &'static str, value: Option<T>) {
        if let Some(value) = value {
            self.put(name, &value);
        }
    }
}

impl Serialize for Config {
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
pub(super) fn config(
    request: &CompletionRequest<'_>,
    params: &Params<'_>,
    model: &Model<'_>,
    functions: bool,
    budget: &mut Budget,
) -> Result<Config, UnsupportedField> {
    let mut config = Config::default();
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
    output::format(request, params, model, functions, budget, &mut config)?;
    thinking::effort(request, params, model, &mut config)?;
    Ok(config)
}

/// `stop`, one or a list. Where the operator leaves out what is too much, the first few stay.
fn stops(request: &CompletionRequest<'_>, params: &Params<'_>, config: &mut Config) -> Result<(), UnsupportedField> {
    #[derive(serde::Deserialize)]
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
    // An empty one stops nothing and is refused.
    stops.retain(|stop| !stop.is_empty());
    if stops.len() > STOPS_MAX {
        request.refuse_or_drop("stop", format!("holds {} sequences; Gemini takes {STOPS_MAX}", stops.len()))?;
        stops.truncate(STOPS_MAX);
    }
    config.put_some("stopSequences", Some(stops).filter(|stops| !stops.is_empty()));
    Ok(())
}

/// Whole replies only: a chunk of our streams has no place for them.
fn log_probabilities(request: &CompletionRequest<'_>, params: &Params<'_>, config: &mut Config) -> Result<(), UnsupportedField> {
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

fn modalities(request: &CompletionRequest<'_>, params: &Params<'_>, config: &mut Config) -> Result<(), UnsupportedField> {
    let Some(mut asked) = params.get::<Vec<String>>("modalities")? else { return Ok(()) };
    if asked.iter().any(|kind| kind != "text" && kind != "image") {
        request.refuse_or_drop("modalities", "may hold `text` and `image` with Gemini; audio is not translated")?;
        asked.retain(|kind| kind == "text" || kind == "image");
    }
    if asked.iter().any(|kind| kind == "image") {
        config.put("responseModalities", &asked.iter().map(|kind| kind.to_uppercase()).collect::<Vec<_>>());
    }
    Ok(())
}
