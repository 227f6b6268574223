//! Figures of tokens, and of requests refused by a key's limit. Callers come from the operator's file; models may come from clients, so
//! that the number of labels is bounded.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::family::{Counters, NAMES_MAX, plain};
use crate::telemetry::handles::Named;

/// What all names but the caller's are replaced with, once enough combinations are kept.
const OTHER: &str = "other";

/// As `type` shows them.
const TYPES: [&str; 4] = ["prompt", "completion", "cached", "reasoning"];

/// The figures of this file.
pub(super) struct Tokens {
    used: Counters<5>,
    /// By the four names, joined.
    handles: Named<[Counter; 4]>,
    rate_limited: Counters<2>,
}

impl Tokens {
    pub(super) fn register(r: &mut Registry) -> Self {
        let help = "Tokens of replies; cached ones are part of the prompt, reasoning is part of the completion";
        Self {
            used: plain(r, "tokens", help, Family::default()),
            handles: Named::new(NAMES_MAX),
            rate_limited: plain(r, "rate_limited", "Requests refused because a key's limit was used up", Family::default()),
        }
    }

    /// `names` are pipeline, caller, provider and model; `counts` are in the order of `TYPES`.
    pub(super) fn used(&self, names: [&str; 4], counts: [u64; 4]) {
        let caller = names[1];
        let (key, instead) = (names.join("\0"), [OTHER, caller, OTHER, OTHER]);
        let make = |kept: &str| self.counters(if kept == key { names } else { instead });
        self.handles.with_or(
            &key,
            || instead.join("\0"),
            make,
            |counters| {
                for (counter, count) in counters.iter().zip(counts) {
                    counter.inc_by(count);
                }
            },
        );
    }

    pub(super) fn rate_limited(&self, caller: &str, limit: &'static str) {
        self.rate_limited.get_or_create(&[("caller", caller.to_owned()), ("limit", limit.to_owned())]).inc();
    }

    fn counters(&self, [pipeline, caller, provider, model]: [&str; 4]) -> [Counter; 4] {
        let names = [("pipeline", pipeline), ("caller", caller), ("provider", provider), ("model", model)];
        let [pipeline, caller, provider, model] = names.map(|(label, name)| (label, name.to_owned()));
        TYPES.map(|of| {
            let labels = [pipeline.clone(), caller.clone(), provider.clone(), model.clone(), ("type", of.to_owned())];
            self.used.get_or_create_owned(&labels)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn tokens_are_counted_by_pipeline_caller_provider_and_model() {
        let metrics = Metrics::new();
        metrics.tokens(["support", "team-a", "openai", "gpt-4o"], [20, 9, 15, 4]);
        metrics.tokens(["support", "team-a", "openai", "gpt-4o"], [1, 1, 0, 0]);
        metrics.tokens(["support", "", "openai", "gpt-4o"], [7, 0, 0, 0]);
        metrics.rate_limited("team-a", "tokens_per_day");
        let text = metrics.render();
        for line in [
            r#"cofferdam_tokens_total{pipeline="support",caller="team-a",provider="openai",model="gpt-4o",type="prompt"} 21"#,
            r#"cofferdam_tokens_total{pipeline="support",caller="team-a",provider="openai",model="gpt-4o",type="completion"} 10"#,
            r#"cofferdam_tokens_total{pipeline="support",caller="team-a",provider="openai",model="gpt-4o",type="cached"} 15"#,
            r#"cofferdam_tokens_total{pipeline="support",caller="team-a",provider="openai",model="gpt-4o",type="reasoning"} 4"#,
            r#"cofferdam_tokens_total{pipeline="support",caller="",provider="openai",model="gpt-4o",type="prompt"} 7"#,
            r#"cofferdam_rate_limited_total{caller="team-a",limit="tokens_per_day"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "no line `{line}` in\n{text}");
        }
    }

    #[test]
    fn models_after_the_last_one_kept_are_counted_under_other_and_keep_their_caller() {
        let metrics = Metrics::new();
        for i in 0..600 {
            metrics.tokens(["p", "a", "openai", &format!("m-{i}")], [1, 0, 0, 0]);
        }
        metrics.tokens(["p", "b", "openai", "m-599"], [5, 0, 0, 0]);
        metrics.tokens(["p", "a", "openai", "m-0"], [1, 0, 0, 0]);
        let text = metrics.render();
        let line = |caller: &str, model: &str| {
            let start = format!(r#"cofferdam_tokens_total{{pipeline="{}",caller="{caller}","#, if model == OTHER { OTHER } else { "p" });
            let end = format!(r#"model="{model}",type="prompt"}} "#);
            text.lines().find_map(|l| l.strip_prefix(&start)?.split_once(&end).map(|(_, value)| value.to_owned()))
        };
        assert_eq!(line("a", "m-0").as_deref(), Some("2"));
        assert_eq!((line("a", "m-511").as_deref(), line("a", "m-512")), (Some("1"), None));
        assert_eq!((line("a", OTHER).as_deref(), line("b", OTHER).as_deref()), (Some("88"), Some("5")));
    }
}
