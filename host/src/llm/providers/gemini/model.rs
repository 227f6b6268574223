//! What a model's name tells: its place in the API's paths, its generation, and how much it thinks, which is set by a budget of tokens (2.5) or
//! by a level (3), never by both. Whatever a client writes as a model, the path stays below the collection of models.
//! Sources: Gemini API docs, "Models", <https://ai.google.dev/gemini-api/docs/models>, and "Thinking",
//! <https://ai.google.dev/gemini-api/docs/thinking>.

use serde::Serialize;

use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::model_path::encoded_within_segment;

/// Collections that a client may name in front of an id.
const COLLECTIONS: [&str; 2] = ["models/", "tunedModels/"];

/// One model, as the client or the pipeline names it.
pub(super) struct Model<'a> {
    collection: &'static str,
    id: &'a str,
    /// Major and minor, if the name says it: `gemini-2.5-flash`. Aliases such as `gemini-flash-latest` and tuned models do not.
    generation: Option<(u32, u32)>,
}

/// How a model's thinking is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThinkingControl {
    /// It does not think.
    Never,
    /// By `thinkingBudget`, in tokens. Gemini 3 takes it too, so models of an unknown generation get it.
    Budget,
    /// By `thinkingLevel`.
    Level,
}

/// The sizes that differ in what they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Pro,
    Flash,
    FlashLite,
    Unknown,
}

impl<'a> Model<'a> {
    /// # Errors
    /// If there is no id.
    pub(super) fn named(name: &'a str) -> Result<Self, UnsupportedField> {
        let collection = COLLECTIONS.into_iter().find(|collection| name.starts_with(collection));
        let id = collection.map_or(name, |collection| &name[collection.len()..]);
        if id.is_empty() {
            return Err(UnsupportedField::new("model", "is empty; name a model such as `gemini-2.5-flash`"));
        }
        Ok(Self { collection: collection.unwrap_or(COLLECTIONS[0]), id, generation: generation(id) })
    }

    /// The path that calls `method`. Whatever the id holds, it is one segment: a client cannot climb out of the collection.
    pub(super) fn path(&self, method: &str) -> String {
        format!("/{}{}:{method}", self.collection, encoded_within_segment(self.id))
    }

    /// The name inside a body, e.g. `models/gemini-embedding-001`.
    pub(super) fn resource(&self) -> String {
        format!("{}{}", self.collection, self.id)
    }

    /// Whether it is known to be of this generation or a later one.
    pub(super) fn since(&self, generation: (u32, u32)) -> bool {
        self.generation.is_some_and(|own| own >= generation)
    }

    /// Whether it is known to be older than this generation.
    pub(super) fn before(&self, generation: (u32, u32)) -> bool {
        self.generation.is_some_and(|own| own < generation)
    }

    fn size(&self) -> Size {
        match self.id {
            id if id.contains("flash-lite") => Size::FlashLite,
            id if id.contains("flash") => Size::Flash,
            id if id.contains("pro") => Size::Pro,
            _ => Size::Unknown,
        }
    }

    fn thinking(&self) -> ThinkingControl {
        if self.since((3, 0)) {
            ThinkingControl::Level
        } else if self.before((2, 5)) {
            ThinkingControl::Never
        } else {
            ThinkingControl::Budget
        }
    }
}

/// `gemini-3-pro-preview` is (3, 0), `gemini-2.5-flash` (2, 5).
fn generation(id: &str) -> Option<(u32, u32)> {
    let version = id.strip_prefix("gemini-")?.split('-').next()?;
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The client's field.
pub(super) const EFFORT: &str = "reasoning_effort";

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThinkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
    /// Summaries of the thoughts, which become `reasoning_content`.
    include_thoughts: bool,
}

/// OpenAI's levels.
#[derive(Clone, Copy, PartialEq)]
enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
}

/// `thinkingConfig` for a `reasoning_effort` of OpenAI's; none if the model does what was asked without one.
///
/// # Errors
/// `UnsupportedField` if there is no such effort, or the model cannot be asked for it.
pub(super) fn thinking_config(
    request: &CompletionRequest<'_>,
    model: &Model<'_>,
    effort: &str,
) -> Result<Option<ThinkingConfig>, UnsupportedField> {
    let effort = match effort {
        "none" => Effort::None,
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        // More than any model of Gemini's has; the most that it has is meant.
        "xhigh" | "max" => Effort::XHigh,
        _ => return Err(UnsupportedField::new(EFFORT, "must be none, minimal, low, medium, high, xhigh or max")),
    };
    match (model.thinking(), effort) {
        (ThinkingControl::Never, Effort::None) => Ok(None),
        (ThinkingControl::Never, _) => {
            request.refuse_or_drop(EFFORT, "is nothing that this model has: Gemini thinks since 2.5")?;
            Ok(None)
        }
        (ThinkingControl::Budget, Effort::None) if model.size() == Size::Pro => always_thinks(request),
        (ThinkingControl::Level, Effort::None) => always_thinks(request),
        (ThinkingControl::Budget, effort) => {
            let budget = budget(effort, model.size());
            Ok(Some(ThinkingConfig { thinking_budget: Some(budget), thinking_level: None, include_thoughts: budget > 0 }))
        }
        (ThinkingControl::Level, effort) => {
            Ok(Some(ThinkingConfig { thinking_budget: None, thinking_level: Some(level(effort, model)), include_thoughts: true }))
        }
    }
}

fn always_thinks(request: &CompletionRequest<'_>) -> Result<Option<ThinkingConfig>, UnsupportedField> {
    request.refuse_or_drop(EFFORT, "is none, and this model always thinks; ask for minimal or low")?;
    Ok(None)
}

/// Tokens to think with. Each model has its own minimum; the maximum is what all of them take.
fn budget(effort: Effort, size: Size) -> u32 {
    match (effort, size) {
        (Effort::None, _) => 0,
        (Effort::Minimal, Size::Flash) => 1,
        (Effort::Minimal, Size::FlashLite) => 512,
        (Effort::Minimal, Size::Pro | Size::Unknown) => 128,
        (Effort::Low, _) => 1_024,
        (Effort::Medium, _) => 2_048,
        (Effort::High, _) => 4_096,
        (Effort::XHigh, _) => 24_576,
    }
}

/// Only the small models have `minimal`, and the first Gemini 3 Pro had no `medium`; there the next level that exists is sent.
fn level(effort: Effort, model: &Model<'_>) -> &'static str {
    let small = matches!(model.size(), Size::Flash | Size::FlashLite);
    match effort {
        Effort::Minimal if small => "MINIMAL",
        Effort::None | Effort::Minimal | Effort::Low => "LOW",
        Effort::Medium if model.size() == Size::Pro && !model.since((3, 1)) => "HIGH",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::XHigh => "HIGH",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> String {
        Model::named(name).expect("a name").path("generateContent")
    }

    #[test]
    fn c44_no_model_id_climbs_the_path() {
        assert_eq!(path("gemini-2.5-flash"), "/models/gemini-2.5-flash:generateContent");
        assert_eq!(path(".."), "/models/%2E%2E:generateContent");
        assert_eq!(path("../../v1/files"), "/models/%2E%2E%2F%2E%2E%2Fv1%2Ffiles:generateContent");
        assert_eq!(path("..%2F.."), "/models/%2E%2E%252F%2E%2E:generateContent");
        assert_eq!(path("m?key=x#y z\r\n"), "/models/m%3Fkey%3Dx%23y%20z%0D%0A:generateContent");
        assert_eq!(path("m:delete"), "/models/m%3Adelete:generateContent");
        assert_eq!(path("modèle"), "/models/mod%C3%A8le:generateContent");
    }

    #[test]
    fn an_id_with_its_collection_keeps_it_and_no_other_does() {
        assert_eq!(path("models/gemini-2.5-pro"), "/models/gemini-2.5-pro:generateContent");
        assert_eq!(path("tunedModels/mine"), "/tunedModels/mine:generateContent");
        assert_eq!(path("tunedModels/../x"), "/tunedModels/%2E%2E%2Fx:generateContent");
        assert_eq!(path("files/mine"), "/models/files%2Fmine:generateContent");
        assert_eq!(Model::named("models/").err().expect("no id").param, "model");
        assert!(Model::named("").is_err());
    }

    #[test]
    fn a_generation_is_read_from_the_name_alone() {
        for (name, expected) in [
            ("gemini-1.5-flash", Some((1, 5))),
            ("gemini-3-pro-preview", Some((3, 0))),
            ("models/gemini-3.1-flash", Some((3, 1))),
            ("gemini-flash-latest", None),
            ("tunedModels/gemini", None),
            ("gemma-3-27b-it", None),
        ] {
            let model = Model::named(name).expect("a name");
            assert_eq!(model.generation, expected, "{name}");
        }
        let thinking = |name| Model::named(name).expect("a name").thinking();
        assert_eq!(
            ["gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-pro", "gemini-flash-latest"].map(thinking),
            [ThinkingControl::Never, ThinkingControl::Budget, ThinkingControl::Level, ThinkingControl::Budget]
        );
    }
}
