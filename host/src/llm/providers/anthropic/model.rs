//! What a model takes, derived from its name, and how it is told to think and to sample. Each generation says these in its own way, and the
//! API refuses with a 400 what another generation of the same family demands. A name that gives no version (another vendor's model behind the
//! same API) gets the oldest and plainest forms.
//! Sources: Anthropic's "Migration guide", "Structured outputs", "Effort", "Extended thinking" and "Adaptive thinking".

use serde_json::{Value, json};

use crate::llm::adapter::{CompletionRequest, UnsupportedField};

/// A model's family and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// Major and minor; none if the name does not say.
    version: Option<(u32, u32)>,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Haiku,
    Sonnet,
    Opus,
    /// Fable and Mythos, which follow the strictest rules of their day.
    Largest,
    Unknown,
}

/// How a model is told how much to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThinkingMode {
    /// Not at all.
    Never,
    /// `thinking.budget_tokens`.
    Budget,
    /// `thinking.type` `adaptive` and `output_config.effort`.
    Adaptive,
}

impl Model {
    /// Reads `claude-3-7-sonnet-20250219`, `claude-opus-4-1`, `claude-sonnet-5`, also behind a prefix such as `anthropic.` or `anthropic/`.
    pub(super) fn of(name: &str) -> Self {
        let Some((_, rest)) = name.split_once("claude-") else { return Self { version: None, family: Family::Unknown } };
        let words: Vec<&str> = rest.split(['-', '.', '@', ':']).collect();
        let family = words.iter().find_map(|word| match *word {
            "haiku" => Some(Family::Haiku),
            "sonnet" => Some(Family::Sonnet),
            "opus" => Some(Family::Opus),
            "fable" | "mythos" => Some(Family::Largest),
            _ => None,
        });
        // Dates have eight digits, versions one or two.
        let number = |word: &&str| word.parse::<u32>().ok().filter(|_| word.len() <= 2);
        let first = words.iter().position(|word| number(word).is_some());
        let version = first.map(|at| (number(&words[at]).unwrap_or(0), words.get(at + 1).and_then(number).unwrap_or(0)));
        let family = family.unwrap_or(Family::Unknown);
        // The preview of Mythos has no number; it came with 4.7 and follows its rules.
        let version = version.or((family == Family::Largest).then_some((4, 7)));
        Self { version, family }
    }

    fn since(self, major: u32, minor: u32) -> bool {
        self.version.is_some_and(|version| version >= (major, minor))
    }

    /// Takes `output_config.format`: all of 4.5 and later.
    pub(super) fn takes_schema(self) -> bool {
        self.since(4, 5)
    }

    fn thinking(self) -> ThinkingMode {
        match self.version {
            Some(version) if version < (3, 7) => ThinkingMode::Never,
            Some(version) if version >= (4, 6) => ThinkingMode::Adaptive,
            _ => ThinkingMode::Budget,
        }
    }

    /// Hides its thoughts unless asked for a summary, and has the effort `xhigh`: 4.7 and later.
    fn hides_thoughts(self) -> bool {
        self.since(4, 7)
    }

    /// Thinks unless told not to: 5 and later.
    fn thinks_unasked(self) -> bool {
        self.since(5, 0)
    }

    /// Takes `thinking.type` `disabled`. Of those that think unasked only some do.
    fn can_stop_thinking(self) -> bool {
        !self.thinks_unasked() || self.family == Family::Haiku || (self.family != Family::Largest && !self.since(5, 1))
    }

    /// Takes `temperature`, `top_p` and `top_k`: all before 4.7.
    fn samples(self) -> bool {
        !self.since(4, 7)
    }

    /// Takes `temperature` and `top_p` in one request: all before 4.1.
    fn samples_both_ways(self) -> bool {
        !self.since(4, 1)
    }

    /// Can be made to call a tool. Opus and the largest models cannot from 5.1 on.
    pub(super) fn can_be_forced(self) -> bool {
        !(self.since(5, 1) && matches!(self.family, Family::Opus | Family::Largest))
    }
}

/// The least that `budget_tokens` can be.
const BUDGET_MIN: u64 = 1024;

/// What the request says about thinking.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ThinkingParams {
    pub(super) thinking: Option<Value>,
    /// `output_config.effort`.
    pub(super) effort: Option<&'static str>,
    /// Tokens to add to the default of `max_tokens`, because Anthropic counts thought into it.
    pub(super) extra_tokens: u64,
}

/// What the client asks for.
pub(super) struct WantedThinking<'a> {
    /// Anthropic's own field.
    pub(super) thinking: Option<&'a Value>,
    /// OpenAI's `reasoning_effort`.
    pub(super) effort: Option<&'a str>,
    pub(super) max_tokens: Option<u64>,
}

/// What else in the request rules thinking out.
pub(super) struct Obstacles {
    /// The reply must be a call.
    pub(super) forced: bool,
    /// The history has calls but not the thought that led to them, without which a budget is refused.
    pub(super) lacks_thoughts: bool,
}

impl ThinkingParams {
    pub(super) fn is_on(&self) -> bool {
        self.thinking.as_ref().is_some_and(|thinking| thinking["type"] != "disabled")
    }

    pub(super) fn new(
        request: &CompletionRequest<'_>,
        model: Model,
        wanted: &WantedThinking<'_>,
        obstacles: &Obstacles,
    ) -> Result<Self, UnsupportedField> {
        let (name, thought) = match (wanted.thinking, wanted.effort) {
            (Some(thinking), effort) => {
                let mut thought = Self::native(thinking)?;
                // Beside it the effort still says how long the answer may be.
                if let (Some(effort), ThinkingMode::Adaptive) = (effort, model.thinking()) {
                    thought.effort = Self::of_effort(request, model, wanted.max_tokens, effort)?.effort;
                }
                ("thinking", thought)
            }
            (None, Some(effort)) => ("reasoning_effort", Self::of_effort(request, model, wanted.max_tokens, effort)?),
            (None, None) => return Ok(Self::default()),
        };
        if thought.is_on() && obstacles.forced {
            let with = "cannot go with a reply that must be a tool call (`tool_choice`, or `response_format` with this model)";
            request.refuse_or_drop(name, format!("{with}; leave one of them out"))?;
            return Ok(Self::default());
        }
        if obstacles.lacks_thoughts && thought.thinking.as_ref().is_some_and(|thinking| thinking["type"] == "enabled") {
            tracing::debug!("the history has tool calls without the thought behind them, so the model is not asked to think");
            return Ok(Self::default());
        }
        Ok(thought)
    }

    /// Anthropic's own field is sent as it came; we only make room for its budget.
    fn native(thinking: &Value) -> Result<Self, UnsupportedField> {
        if !thinking.is_object() {
            return Err(UnsupportedField::new("thinking", "must be an object, e.g. {\"type\": \"adaptive\"}"));
        }
        let extra_tokens = thinking["budget_tokens"].as_u64().unwrap_or(0);
        Ok(Self { thinking: Some(thinking.clone()), effort: None, extra_tokens })
    }

    fn of_effort(request: &CompletionRequest<'_>, model: Model, max_tokens: Option<u64>, effort: &str) -> Result<Self, UnsupportedField> {
        // The budgets are those of LiteLLM, because the vendor names none. If no budget is sent, this is the room that is left for thought.
        let (level, budget) = match effort {
            "none" => return Ok(Self::none(model)),
            "minimal" | "low" => ("low", 1024),
            "medium" => ("medium", 2048),
            "high" => ("high", 4096),
            // The next lower level, if the model does not have this one.
            "xhigh" => (if model.hides_thoughts() { "xhigh" } else { "high" }, 8192),
            "max" => ("max", 16384),
            _ => return Err(UnsupportedField::new("reasoning_effort", "must be none, minimal, low, medium, high, xhigh or max")),
        };
        match model.thinking() {
            ThinkingMode::Never => {
                request.refuse_or_drop("reasoning_effort", "this model does not think; leave it out")?;
                Ok(Self::default())
            }
            ThinkingMode::Adaptive => {
                let mut thinking = json!({"type": "adaptive"});
                if model.hides_thoughts() {
                    thinking["display"] = json!("summarized");
                }
                Ok(Self { thinking: Some(thinking), effort: Some(level), extra_tokens: budget })
            }
            ThinkingMode::Budget => Ok(Self::of_budget(budget, max_tokens)),
        }
    }

    /// At most half of what the client allows, so that there is room for an answer; none at all if that is too little.
    fn of_budget(wanted: u64, max_tokens: Option<u64>) -> Self {
        let (budget, extra_tokens) = match max_tokens {
            None => (wanted, wanted),
            Some(max) if max > BUDGET_MIN => (wanted.min((max / 2).max(BUDGET_MIN)), 0),
            Some(_) => return Self::default(),
        };
        Self { thinking: Some(json!({"type": "enabled", "budget_tokens": budget})), effort: None, extra_tokens }
    }

    /// Models that think unasked are told not to think or, if they do not take that, to think little.
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

/// The fields of sampling: those that the client asks for, or those that are sent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sampling {
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
}

impl Sampling {
    /// OpenAI's temperature goes to 2, Anthropic's to 1. A value of 1 is the default of both fields and says nothing.
    #[expect(clippy::float_cmp, reason = "the default as written, not a result of arithmetic")]
    pub(super) fn new(request: &CompletionRequest<'_>, model: Model, wanted: Self, thinks: bool) -> Result<Self, UnsupportedField> {
        let mut sampling = Self { temperature: wanted.temperature.map(|value| value.clamp(0.0, 1.0)), ..wanted };
        if !model.samples() || thinks {
            let why = if thinks { "cannot go with thinking" } else { "is not taken by this model" };
            let leave_out = |name: &str| request.refuse_or_drop(name, format!("{why}; leave it out"));
            // Beside thinking, the API takes a `top_p` near 1.
            let least = if model.samples() { 0.95 } else { 1.0 };
            if sampling.temperature.take().is_some_and(|value| value != 1.0) {
                leave_out("temperature")?;
            }
            if sampling.top_p.take_if(|value| *value < least || !model.samples()).is_some_and(|value| value < least) {
                leave_out("top_p")?;
            }
            if sampling.top_k.take().is_some() {
                leave_out("top_k")?;
            }
        }
        if let (Some(temperature), Some(top_p)) = (sampling.temperature, sampling.top_p)
            && !model.samples_both_ways()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_generation_are_read() {
        for (name, family, version) in [
            ("claude-3-haiku-20240307", Family::Haiku, Some((3, 0))),
            ("claude-3-5-sonnet-latest", Family::Sonnet, Some((3, 5))),
            ("claude-3-7-sonnet-20250219", Family::Sonnet, Some((3, 7))),
            ("claude-sonnet-4-20250514", Family::Sonnet, Some((4, 0))),
            ("claude-opus-4-1-20250805", Family::Opus, Some((4, 1))),
            ("anthropic.claude-opus-4-6-v1", Family::Opus, Some((4, 6))),
            ("anthropic/claude-haiku-4.5", Family::Haiku, Some((4, 5))),
            ("claude-opus-4-5@20251101", Family::Opus, Some((4, 5))),
            ("claude-sonnet-5", Family::Sonnet, Some((5, 0))),
            ("claude-fable-5-1", Family::Largest, Some((5, 1))),
            ("claude-mythos-preview", Family::Largest, Some((4, 7))),
            ("some-relay-model-7", Family::Unknown, None),
            ("claude-", Family::Unknown, None),
        ] {
            assert_eq!(Model::of(name), Model { version, family }, "{name}");
        }
    }

    #[test]
    fn each_generation_is_asked_in_its_own_form() {
        let thinks = |name: &str| Model::of(name).thinking();
        assert_eq!(thinks("claude-3-5-haiku-latest"), ThinkingMode::Never);
        for name in ["claude-3-7-sonnet-latest", "claude-sonnet-4-0", "claude-opus-4-5", "claude-haiku-4-5", "a-relay"] {
            assert_eq!(thinks(name), ThinkingMode::Budget, "{name}");
        }
        for name in ["claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-5", "claude-haiku-5-5"] {
            assert_eq!(thinks(name), ThinkingMode::Adaptive, "{name}");
        }
        let schema: Vec<bool> = ["claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-5-5", "a-relay"]
            .map(|name| Model::of(name).takes_schema())
            .into();
        assert_eq!(schema, [false, true, true, true, false]);
        let forced: Vec<bool> = ["claude-opus-5", "claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "a-relay"]
            .map(|name| Model::of(name).can_be_forced())
            .into();
        assert_eq!(forced, [true, false, true, false, true]);
        let stops: Vec<bool> = ["claude-opus-5", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5"]
            .map(|name| Model::of(name).can_stop_thinking())
            .into();
        assert_eq!(stops, [true, false, false, true, false]);
    }
}
