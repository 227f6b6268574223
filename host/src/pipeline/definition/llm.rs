//! The stage `llm`: the primary, its equals with their weights, the fallbacks, and when the next target is asked beside a slow one.
//! Whether a provider of that name exists is checked by the catalog, so that a definition can be read without any.

use std::time::Duration;

use serde_json::Value;

use super::reader::Reader;
use crate::llm::{SECRET_NAME, Target, is_secret_name};
use crate::stages::LlmStage;

/// Fallbacks in one chain.
pub(super) const FALLBACKS_MAX: usize = 8;
/// Equals of one primary.
pub(super) const EQUALS_MAX: usize = 8;
pub(super) const WEIGHT_MAX: u32 = 1_000;
const HEDGE_LEAST: Duration = Duration::from_millis(1);
const HEDGE_MOST: Duration = Duration::from_secs(600);

impl Reader {
    pub(super) fn llm(&mut self, stage: &Value, at: &str) -> LlmStage {
        if !self.flag(stage, at, "enabled", true) {
            self.problem(&format!("{at}.enabled"), "must be true: the llm stage cannot be disabled");
        }
        self.flag(stage, at, "locked", false);
        let config = &stage["config"];
        let within = format!("{at}.config");
        self.only(config, &within, &["primary", "equals", "fallbacks", "hedge_after"]);
        let mut stage = LlmStage { targets: Vec::new(), weights: Vec::new(), hedge_after: None };
        self.equal(&config["primary"], &format!("{within}.primary"), &mut stage);
        for (path, equal) in self.targets(config, &within, "equals", EQUALS_MAX) {
            self.equal(equal, &path, &mut stage);
        }
        for (path, fallback) in self.targets(config, &within, "fallbacks", FALLBACKS_MAX) {
            stage.targets.push(self.target(fallback, &path, &["provider", "model", "secret_key_name", "on_status"]));
        }
        stage.hedge_after = self.hedge_after(&config["hedge_after"], &format!("{within}.hedge_after"));
        if stage.hedge_after.is_some() && stage.targets.len() == 1 {
            self.problem(&format!("{within}.hedge_after"), "needs a second target: equals or fallbacks");
        }
        stage
    }

    /// The values of a list of targets with their paths.
    fn targets<'a>(&mut self, config: &'a Value, within: &str, key: &str, most: usize) -> Vec<(String, &'a Value)> {
        let path = format!("{within}.{key}");
        match &config[key] {
            Value::Null => Vec::new(),
            Value::Array(list) if list.len() <= most => {
                list.iter().enumerate().map(|(i, target)| (format!("{path}[{i}]"), target)).collect()
            }
            _ => {
                self.problem(&path, &format!("must be a list of at most {most} targets"));
                Vec::new()
            }
        }
    }

    /// The primary, or one that stands beside it.
    fn equal(&mut self, target: &Value, at: &str, stage: &mut LlmStage) {
        stage.targets.push(self.target(target, at, &["provider", "model", "secret_key_name", "weight"]));
        stage.weights.push(match &target["weight"] {
            Value::Null => 1,
            value => value.as_u64().and_then(|w| u32::try_from(w).ok()).filter(|w| *w <= WEIGHT_MAX).unwrap_or_else(|| {
                self.problem(&format!("{at}.weight"), &format!("must be a whole number from 0 to {WEIGHT_MAX}"));
                1
            }),
        });
    }

    fn hedge_after(&mut self, value: &Value, at: &str) -> Option<Duration> {
        if value.is_null() {
            return None;
        }
        let time = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        let time = time.filter(|time| (HEDGE_LEAST..=HEDGE_MOST).contains(time));
        if time.is_none() {
            self.problem(at, "must be a time from 1 ms to 10 min, such as \"800ms\"");
        }
        time
    }

    fn target(&mut self, target: &Value, at: &str, known: &[&str]) -> Target {
        self.only(target, at, known);
        let mut text = |key: &str| match target[key].as_str() {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => {
                self.problem(&format!("{at}.{key}"), "must be a non-empty string");
                String::new()
            }
        };
        let (provider, model) = (text("provider"), text("model"));
        let secret_key_name = (!target["secret_key_name"].is_null()).then(|| text("secret_key_name"));
        if secret_key_name.as_ref().is_some_and(|name| !name.is_empty() && !is_secret_name(name)) {
            self.problem(&format!("{at}.secret_key_name"), &format!("must be {SECRET_NAME}"));
        }
        let on_status = match &target["on_status"] {
            Value::Null => None,
            Value::Array(list) => {
                let read = |v: &Value| v.as_u64().and_then(|s| u16::try_from(s).ok()).filter(|s| (400..=599).contains(s));
                let statuses: Option<Vec<u16>> = list.iter().map(read).collect();
                if statuses.is_none() {
                    self.problem(&format!("{at}.on_status"), "must hold HTTP statuses from 400 to 599");
                }
                statuses
            }
            _ => {
                self.problem(&format!("{at}.on_status"), "must be a list of HTTP statuses");
                None
            }
        };
        Target { provider, model, secret_key_name, on_status }
    }
}
