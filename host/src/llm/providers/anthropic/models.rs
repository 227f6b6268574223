//! What a model takes, told from its name: the API refuses with a 400 what another generation of the same family demands.
//! A name that gives no version (another vendor's model behind the same API) gets the oldest and plainest forms.
//! Sources: Anthropic's "Migration guide", "Structured outputs", "Effort" and "Extended thinking". Must not know requests.

/// A model's family and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// Major and minor; none where the name does not say.
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
pub(super) enum Thinking {
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

    pub(super) fn thinking(self) -> Thinking {
        match self.version {
            Some(version) if version < (3, 7) => Thinking::Never,
            Some(version) if version >= (4, 6) => Thinking::Adaptive,
            _ => Thinking::Budget,
        }
    }

    /// Hides its thoughts unless asked for a summary, and has the effort `xhigh`: 4.7 and later.
    pub(super) fn hides_thoughts(self) -> bool {
        self.since(4, 7)
    }

    /// Thinks unless told not to: 5 and later.
    pub(super) fn thinks_unasked(self) -> bool {
        self.since(5, 0)
    }

    /// Takes `thinking.type` `disabled`. Of those that think unasked only some do.
    pub(super) fn can_stop_thinking(self) -> bool {
        !self.thinks_unasked() || self.family == Family::Haiku || (self.family != Family::Largest && !self.since(5, 1))
    }

    /// Takes `temperature`, `top_p` and `top_k`: all before 4.7.
    pub(super) fn samples(self) -> bool {
        !self.since(4, 7)
    }

    /// Takes `temperature` and `top_p` in one request: all before 4.1.
    pub(super) fn samples_twice(self) -> bool {
        !self.since(4, 1)
    }

    /// Can be made to call a tool. Opus and the largest models cannot from 5.1 on.
    pub(super) fn can_be_forced(self) -> bool {
        !(self.since(5, 1) && matches!(self.family, Family::Opus | Family::Largest))
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
        assert_eq!(thinks("claude-3-5-haiku-latest"), Thinking::Never);
        for name in ["claude-3-7-sonnet-latest", "claude-sonnet-4-0", "claude-opus-4-5", "claude-haiku-4-5", "a-relay"] {
            assert_eq!(thinks(name), Thinking::Budget, "{name}");
        }
        for name in ["claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-5", "claude-haiku-5-5"] {
            assert_eq!(thinks(name), Thinking::Adaptive, "{name}");
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
