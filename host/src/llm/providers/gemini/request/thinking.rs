//! `reasoning_effort`: how much a model thinks before it speaks, as a budget of tokens (2.5) or a level (3); never both.
//! Must not know other settings. Source: Gemini API docs, "Thinking", <https://ai.google.dev/gemini-api/docs/thinking>.

use serde::Serialize;

use super::generation::Config;
use super::params::Params;
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::providers::gemini::model::{Model, Size, Thinking};

const PARAM: &str = "reasoning_effort";

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
    /// Summaries of the thoughts, which become `reasoning_content`.
    include_thoughts: bool,
}

/// OpenAI's words for it.
#[derive(Clone, Copy, PartialEq)]
enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
}

pub(super) fn effort(
    request: &CompletionRequest<'_>,
    params: &Params<'_>,
    model: &Model<'_>,
    config: &mut Config,
) -> Result<(), UnsupportedField> {
    let Some(effort) = params.get::<String>(PARAM)? else { return Ok(()) };
    let effort = match &*effort {
        "none" => Effort::None,
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        // More than any model of Gemini's has is its most.
        "xhigh" | "max" => Effort::XHigh,
        _ => {
            return Err(UnsupportedField { param: PARAM.into(), message: "must be none, minimal, low, medium, high, xhigh or max".into() });
        }
    };
    let thinking = match (model.thinking(), effort) {
        (Thinking::Never, Effort::None) => return Ok(()),
        (Thinking::Never, _) => return request.refuse_or_drop(PARAM, "is nothing that this model has: Gemini thinks since 2.5"),
        (Thinking::Budget, Effort::None) if model.size() == Size::Pro => return always(request),
        (Thinking::Level, Effort::None) => return always(request),
        (Thinking::Budget, effort) => {
            let budget = budget(effort, model.size());
            ThinkingConfig { thinking_budget: Some(budget), thinking_level: None, include_thoughts: budget > 0 }
        }
        (Thinking::Level, effort) => {
            ThinkingConfig { thinking_budget: None, thinking_level: Some(level(effort, model)), include_thoughts: true }
        }
    };
    config.put("thinkingConfig", &thinking);
    Ok(())
}

fn always(request: &CompletionRequest<'_>) -> Result<(), UnsupportedField> {
    request.refuse_or_drop(PARAM, "is none, and this model always thinks; ask for minimal or low")
}

/// Tokens to think with. The least of a model is its own; the most is what all of them take.
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

/// Only the small ones have `minimal`, and the first Gemini 3 Pro had no `medium`: there the next level that exists is meant.
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
