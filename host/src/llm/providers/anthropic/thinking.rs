//! How much the model thinks, and what that leaves of sampling: each generation says it in another way and refuses the others'.
//! Sources: Anthropic's "Extended thinking", "Adaptive thinking", "Effort", "Migration guide". Must not know messages or formats.

use serde_json::{Value, json};

use super::content::unfit;
use super::models::{Model, Thinking};
use super::params::Params;
use crate::llm::adapter::{CompletionRequest, UnsupportedField};

/// The least that `budget_tokens` can be.
const BUDGET_MIN: u64 = 1024;

/// What the request says of thinking.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Thought {
    pub(super) thinking: Option<Value>,
    /// `output_config.effort`.
    pub(super) effort: Option<&'static str>,
    /// More than `max_tokens` says, where the client named no limit: Anthropic counts thought into it.
    pub(super) extra_tokens: u64,
}

/// What else stands in the way of thought.
pub(super) struct Around {
    /// The reply must be a call.
    pub(super) forced: bool,
    /// The history has calls but not the thought that led to them, without which a budget is refused.
    pub(super) forgot: bool,
}

impl Thought {
    pub(super) fn on(&self) -> bool {
        self.thinking.as_ref().is_some_and(|thinking| thinking["type"] != "disabled")
    }

    pub(super) fn read(request: &CompletionRequest<'_>, model: Model, params: &Params, around: &Around) -> Result<Self, UnsupportedField> {
        let (name, thought) = match (&params.thinking, params.reasoning_effort.as_deref()) {
            (Some(given), effort) => {
                let mut thought = Self::given(given)?;
                // Beside it the effort says what else it is for: how much is said at all.
                if let (Some(effort), Thinking::Adaptive) = (effort, model.thinking()) {
                    thought.effort = Self::of_effort(request, model, params, effort)?.effort;
                }
                ("thinking", thought)
            }
            (None, Some(effort)) => ("reasoning_effort", Self::of_effort(request, model, params, effort)?),
            (None, None) => return Ok(Self::default()),
        };
        if thought.on() && around.forced {
            let with = "cannot go with a reply that must be a tool call (`tool_choice`, or `response_format` with this model)";
            request.refuse_or_drop(name, format!("{with}; leave one of them out"))?;
            return Ok(Self::default());
        }
        if around.forgot && thought.thinking.as_ref().is_some_and(|thinking| thinking["type"] == "enabled") {
            tracing::debug!("the history has tool calls without the thought behind them, so the model is not asked to think");
            return Ok(Self::default());
        }
        Ok(thought)
    }

    /// Anthropic's own field goes as it came; only the room for its budget is ours to give.
    fn given(given: &Value) -> Result<Self, UnsupportedField> {
        if !given.is_object() {
            return Err(unfit("thinking", "must be an object, e.g. {\"type\": \"adaptive\"}"));
        }
        let extra_tokens = given["budget_tokens"].as_u64().unwrap_or(0);
        Ok(Self { thinking: Some(given.clone()), effort: None, extra_tokens })
    }

    fn of_effort(request: &CompletionRequest<'_>, model: Model, params: &Params, effort: &str) -> Result<Self, UnsupportedField> {
        // The budgets are those of LiteLLM, for want of the vendor's own. Where there is none to send, they are the room that is left for thought.
        let (level, budget) = match effort {
            "none" => return Ok(Self::none(model)),
            "minimal" | "low" => ("low", 1024),
            "medium" => ("medium", 2048),
            "high" => ("high", 4096),
            // The next lower one, where there is no such level.
            "xhigh" => (if model.hides_thoughts() { "xhigh" } else { "high" }, 8192),
            "max" => ("max", 16384),
            _ => return Err(unfit("reasoning_effort", "must be none, minimal, low, medium, high, xhigh or max")),
        };
        match model.thinking() {
            Thinking::Never => {
                request.refuse_or_drop("reasoning_effort", "this model does not think; leave it out")?;
                Ok(Self::default())
            }
            Thinking::Adaptive => {
                let mut thinking = json!({"type": "adaptive"});
                if model.hides_thoughts() {
                    thinking["display"] = json!("summarized");
                }
                Ok(Self { thinking: Some(thinking), effort: Some(level), extra_tokens: budget })
            }
            Thinking::Budget => Ok(Self::of_budget(budget, params.max_tokens)),
        }
    }

    /// At most half of what the client allows, so that there is an answer; none at all where that is too little.
    fn of_budget(wanted: u64, max_tokens: Option<u64>) -> Self {
        let (budget, extra_tokens) = match max_tokens {
            None => (wanted, wanted),
            Some(max) if max > BUDGET_MIN => (wanted.min((max / 2).max(BUDGET_MIN)), 0),
            Some(_) => return Self::default(),
        };
        Self { thinking: Some(json!({"type": "enabled", "budget_tokens": budget})), effort: None, extra_tokens }
    }

    /// Models that think unasked are told not to, or, where they cannot be, to think little.
    fn none(model: Model) -> Self {
        if !model.thinks_unasked() {
            Self::default()
        } else if model.can_stop_thinking() {
            Self { thinking: Some(json!({"type": "disabled"})), ..Self::default() }
        } else {
            Self { effort: Some("low"), ..Self::default() }
        }
    }
}

/// The fields of sampling that are sent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sampling {
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
}

impl Sampling {
    /// OpenAI's temperature goes to 2, Anthropic's to 1. A value of 1 is the default of both fields and says nothing.
    #[expect(clippy::float_cmp, reason = "the default as written, not a result of reckoning")]
    pub(super) fn read(request: &CompletionRequest<'_>, model: Model, params: &Params, thinks: bool) -> Result<Self, UnsupportedField> {
        let mut sampling =
            Self { temperature: params.temperature.map(|value| value.clamp(0.0, 1.0)), top_p: params.top_p, top_k: params.top_k };
        if !model.samples() || thinks {
            let why = if thinks { "cannot go with thinking" } else { "is not taken by this model" };
            let out = |name: &str| request.refuse_or_drop(name, format!("{why}; leave it out"));
            // Beside thought a `top_p` near 1 is taken.
            let least = if model.samples() { 0.95 } else { 1.0 };
            if sampling.temperature.take().is_some_and(|value| value != 1.0) {
                out("temperature")?;
            }
            if sampling.top_p.take_if(|value| *value < least || !model.samples()).is_some_and(|value| value < least) {
                out("top_p")?;
            }
            if sampling.top_k.take().is_some() {
                out("top_k")?;
            }
        }
        if let (Some(temperature), Some(top_p)) = (sampling.temperature, sampling.top_p)
            && !model.samples_twice()
        {
            if temperature == 1.0 {
                sampling.temperature = None;
            } else {
                sampling.top_p = None;
                if top_p != 1.0 {
                    request.refuse_or_drop("top_p", "cannot go with `temperature` with this model; leave one of them out")?;
                }
            }
        }
        Ok(sampling)
    }
}
