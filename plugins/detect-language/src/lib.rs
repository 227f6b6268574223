//! A pre-hook that says which language the user writes: `metadata.language`, an ISO 639-1 code or `und`, and
//! `metadata.language_confidence`, from 0 to 1. Refuses languages outside a configured list. Text whose language cannot be told
//! passes, because a guard that refuses every "ok" would be switched off. Reads the text of the user's newest message and nothing else, and never
//! changes the conversation.

mod language;
mod prose;

use cofferdam_guest::{Changes, HookError, Plugin, PreOutcome, Rejection, Request, config, export};
use language::Language;
use serde::Deserialize;

struct DetectLanguage;

impl Plugin for DetectLanguage {
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("config.schema.json"));
    const READS: Option<&'static [&'static str]> = Some(&["last-user-message.text"]);
    const WRITES: Option<&'static [&'static str]> = Some(&["metadata.language", "metadata.language_confidence", "reject"]);

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let config = config::read::<Config>()?;
        let allowed = config.allowed()?;
        let Some((language, confidence)) = detect(&request, config.min_confidence) else {
            return Ok(Changes::new().metadata("language", "und").metadata("language_confidence", 0.0).into());
        };
        match allowed {
            Some(allowed) if !allowed.contains(&language) => Ok(refusal(language, &allowed).into()),
            _ => Ok(Changes::new().metadata("language", language.code()).metadata("language_confidence", confidence).into()),
        }
    }
}

export!(DetectLanguage: pre_hook);

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    allowed: Option<Vec<String>>,
    min_confidence: f64,
}

impl Default for Config {
    fn default() -> Self {
        // Below it, guesses on sentences of five words are wrong as often as right.
        Self { allowed: None, min_confidence: 0.5 }
    }
}

impl Config {
    fn allowed(&self) -> Result<Option<Vec<Language>>, HookError> {
        let Some(codes) = &self.allowed else { return Ok(None) };
        let parse = |code: &String| {
            let unknown =
                || format!("configuration of the plugin: unknown language `{code}` in `allowed`, expected ISO 639-1 codes such as `en`");
            Language::from_code(code).ok_or_else(|| HookError::Unavailable(unknown()))
        };
        let allowed: Vec<Language> = codes.iter().map(parse).collect::<Result<_, _>>()?;
        if allowed.is_empty() {
            return Err(HookError::Unavailable(
                "configuration of the plugin: `allowed` is empty, which would refuse everything".to_owned(),
            ));
        }
        Ok(Some(allowed))
    }
}

/// The language of the last user message.
fn detect(request: &Request, min_confidence: f64) -> Option<(Language, f64)> {
    let (_, message) = request.last_user()?;
    Language::detect(&prose::of(&message.text())).filter(|(_, confidence)| *confidence >= min_confidence)
}

fn refusal(language: Language, allowed: &[Language]) -> Rejection {
    let name = |language: &Language| format!("{} ({})", language.name(), language.code());
    let allowed: Vec<String> = allowed.iter().map(name).collect();
    let message = format!("The message is written in {}; this service takes {}.", name(&language), allowed.join(", "));
    Rejection::new(400, "language_not_allowed", message)
}

#[cfg(test)]
mod tests;
