//! The configuration of the stage `rag`: what is looked for, what is a hit, and how much is shown around it.
//! Every number has its range here, for the stage and for whoever tries a question out.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::reader::Reader;
use crate::rag::{Filter, MMR, Mode, Spread, TOP_K_MAX};
use crate::stages::{Inject, RagStage};

/// Hits of a request, if the stage does not say.
pub const TOP_K: usize = 5;
/// Least score of a hit, if the stage does not say.
pub const SCORE_THRESHOLD: f32 = 0.75;
/// Turns of the user's that are looked at, if the stage does not say: follow-ups rarely refer further back.
pub const TURNS: usize = 3;
/// What a text for an embedder has room for.
pub const TURNS_MAX: usize = 10;
/// Chunks that may be shown on each side of a hit: with it two pages.
pub const NEIGHBOURS_MAX: u32 = 10;
/// Tokens that may be shown: at least one chunk, at most a long prompt.
pub const BUDGET_TOKENS_RANGE: RangeInclusive<usize> = 128..=100_000;

impl Reader {
    pub(super) fn rag(&mut self, stage: &Value, at: &str) -> RagStage {
        let config = &stage["config"];
        let within = format!("{at}.config");
        let known = [
            "mode",
            "top_k",
            "score_threshold",
            "namespace",
            "mmr",
            "neighbours",
            "budget_tokens",
            "filter",
            "rerank",
            "turns",
            "inject",
            "citations",
        ];
        self.only(config, &within, &known);
        let mode = match &config["mode"] {
            Value::Null => Mode::default(),
            value => value.as_str().and_then(Mode::of).unwrap_or_else(|| {
                self.problem(&format!("{within}.mode"), &format!("must be one of {}", Mode::WORDS.join(", ")));
                Mode::default()
            }),
        };
        let filter = match &config["filter"] {
            Value::Null => Filter::default(),
            value => Filter::of(value).unwrap_or_else(|why| {
                self.problem(&format!("{within}.filter"), &why);
                Filter::default()
            }),
        };
        let inject = match &config["inject"] {
            Value::Null => Inject::default(),
            value => value.as_str().and_then(Inject::of).unwrap_or_else(|| {
                self.problem(&format!("{within}.inject"), &format!("must be one of {}", Inject::WORDS.join(", ")));
                Inject::default()
            }),
        };
        let spread = Spread::default();
        let neighbours = self.count(config, &within, "neighbours", 0..=NEIGHBOURS_MAX as usize, spread.neighbours as usize);
        let budget_tokens = self.count(config, &within, "budget_tokens", BUDGET_TOKENS_RANGE, spread.budget_tokens);
        RagStage {
            enabled: self.flag(stage, at, "enabled", true),
            locked: self.flag(stage, at, "locked", false),
            mode,
            top_k: self.count(config, &within, "top_k", 1..=TOP_K_MAX, TOP_K),
            score_threshold: self.share(config, &within, "score_threshold", SCORE_THRESHOLD),
            namespace: self.name(&config["namespace"], &format!("{within}.namespace")).unwrap_or_else(|| "default".into()),
            turns: self.count(config, &within, "turns", 1..=TURNS_MAX, TURNS),
            mmr: self.share(config, &within, "mmr", MMR),
            spread: Spread { neighbours: u32::try_from(neighbours).unwrap_or(NEIGHBOURS_MAX), budget_tokens },
            filter,
            rerank: self.name(&config["rerank"], &format!("{within}.rerank")),
            inject,
            citations: self.flag(config, &within, "citations", true),
        }
    }

    fn count(&mut self, config: &Value, within: &str, key: &str, range: RangeInclusive<usize>, default: usize) -> usize {
        let value = &config[key];
        if value.is_null() {
            return default;
        }
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|count| range.contains(count));
        count.unwrap_or_else(|| {
            self.problem(&format!("{within}.{key}"), &format!("must be a whole number from {} to {}", range.start(), range.end()));
            default
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "a similarity needs no more than an f32 holds")]
    fn share(&mut self, config: &Value, within: &str, key: &str, default: f32) -> f32 {
        let value = &config[key];
        if value.is_null() {
            return default;
        }
        value.as_f64().filter(|share| (0.0..=1.0).contains(share)).map(|share| share as f32).unwrap_or_else(|| {
            self.problem(&format!("{within}.{key}"), "must be a number from 0 to 1");
            default
        })
    }
}
