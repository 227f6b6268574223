//! The server's own figures, held against what clients saw and what providers did. Tries that a race or a time limit ended although their
//! provider did not hang, as happens on a machine that stands still for a moment, are told apart: the books may differ by as many.

use std::collections::HashMap;

use serde_json::Value;

use super::dialects::{Dialect, Question, Told};
use super::fates::Served;
use super::witness::Replied;
use crate::client::Client;
use crate::upstream::Request;

/// More tokens than any reply has.
const REPLY_MOST: u64 = 1_000;
/// As the server guesses where nobody counts.
const BYTES_PER_TOKEN: usize = 4;

/// All lines of `/metrics`.
pub(super) struct Figures(String);

impl Figures {
    pub(super) async fn of(client: &Client) -> Self {
        Self(client.get("/metrics").await.ok().text())
    }

    /// The sum of the lines of that name that have all these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let named = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let fits = |line: &&str| labels.iter().all(|label| line.contains(label));
        let values = self.0.lines().filter(named).filter(fits).map(|line| line.rsplit(' ').next().expect("a value"));
        values.map(|value| value.parse::<f64>().expect("a number") as u64).sum()
    }
}

/// Everything that is known of one provider.
pub(super) struct Account<'a> {
    pub(super) dialect: Dialect,
    pub(super) served: Served,
    pub(super) requests: Vec<Request>,
    /// The replies that name it.
    pub(super) replies: Vec<&'a Replied>,
}

impl Account<'_> {
    /// Every try reached the provider and nobody else did. Returns how many may be missing, for nobody knows whether they had been sent:
    /// tries that lost a race, or met a time limit, although the provider did not hang.
    pub(super) fn attempts(&self, figures: &Figures) -> u64 {
        let count = |outcome: &[(&str, &str)]| {
            let labels = [&[("provider", self.dialect.name())], outcome].concat();
            figures.sum("cofferdam_llm_attempts_total", &labels)
        };
        let (all, received) = (count(&[]), self.requests.len() as u64);
        let (ended, hung) = (count(&[("outcome", "timeout")]) + count(&[("outcome", "cancelled")]), self.served.hangs as u64);
        assert!(ended >= hung, "{:?}: {hung} tries hung, {ended} were ended", self.dialect);
        let spare = ended - hung;
        assert!(received <= all && all <= received + spare, "{:?}: {all} tries, {received} requests, {spare} unknown", self.dialect);
        assert_eq!(count(&[("outcome", "ok")]), self.replies.len() as u64, "{:?}", self.dialect);
        spare
    }

    /// What was used is what clients were told, and guessed where nobody told.
    pub(super) fn tokens(&self, figures: &Figures, rows: &Value) {
        let rows = || rows["data"].as_array().expect("rows").iter().filter(|row| row["provider"] == self.dialect.name());
        let row = |name: &str| rows().map(|row| row[name].as_u64().expect("a number")).sum::<u64>();
        assert_eq!(row("replies"), self.replies.len() as u64, "{:?}", self.dialect);
        // A stream that a time limit met may have counted more than its client saw.
        let limited = |reply: &&&Replied| matches!(reply.broken.as_deref(), Some("upstream_idle" | "deadline"));
        let spare = self.replies.iter().filter(limited).filter(|reply| !self.served.idles.contains(&reply.nonce)).count() as u64;
        let untold: Vec<&Replied> = self.replies.iter().filter(|reply| reply.told.is_none()).copied().collect();
        near(row("estimated_replies"), untold.len() as u64, spare);
        let told = self.replies.iter().filter_map(|reply| reply.told);
        let [prompt, completion] = told.fold([0, 0], |[a, b]: Told, [c, d]| [a + c, b + d]);
        for (kind, sum) in [("input", prompt), ("output", completion)] {
            let labels = [("gen_ai_request_model", self.dialect.model()), ("gen_ai_token_type", kind)];
            near(figures.sum("gen_ai_client_token_usage_sum", &labels), sum, spare * REPLY_MOST);
        }
        let alone: u64 = untold.iter().filter_map(|reply| reply.prompt).sum();
        near(row("prompt_tokens"), prompt + alone + self.guessed(&untold), spare * REPLY_MOST);
        let guessed = row("completion_tokens").saturating_sub(completion);
        assert!(guessed <= (untold.len() as u64 + spare) * REPLY_MOST, "{:?}: {guessed}", self.dialect);
        assert!(!untold.is_empty() || guessed == 0 || spare > 0, "{:?}: {guessed}", self.dialect);
        for (name, kind) in [("prompt_tokens", "prompt"), ("completion_tokens", "completion")] {
            let counted = figures.sum("cofferdam_tokens_total", &[("provider", self.dialect.name()), ("type", kind)]);
            assert_eq!(row(name), counted, "{:?} {name}", self.dialect);
        }
    }

    /// The prompts of these replies that nobody counted, by the size of what was sent.
    fn guessed(&self, replies: &[&Replied]) -> u64 {
        let sizes: HashMap<u32, usize> = self.requests.iter().map(|request| (Question::of(request).nonce, request.body.len())).collect();
        replies.iter().filter(|reply| reply.prompt.is_none()).map(|reply| sizes[&reply.nonce].div_ceil(BYTES_PER_TOKEN) as u64).sum()
    }
}

#[track_caller]
fn near(found: u64, expected: u64, spare: u64) {
    assert!(found.abs_diff(expected) <= spare, "{found} where {expected} is right, give or take {spare}");
}
