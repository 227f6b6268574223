//! The server's metrics and usage report, compared with what clients received and providers sent. On a machine that pauses for a moment, a
//! race or a time limit can end attempts whose provider did not hang. These are counted apart, and the sums may differ by their number.

use std::collections::HashMap;

use serde_json::Value;

use super::behaviors::Served;
use super::dialects::{Dialect, Question, Usage};
use super::observed::Replied;
use crate::client::Client;
use crate::upstream::Request;

/// More tokens than any reply of these providers has.
const REPLY_MOST: u64 = 1_000;
/// What the server assumes if a provider reports no usage.
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

/// Everything that the test knows of one provider.
pub(super) struct Account<'a> {
    pub(super) dialect: Dialect,
    pub(super) served: Served,
    pub(super) requests: Vec<Request>,
    /// The replies that name it.
    pub(super) replies: Vec<&'a Replied>,
}

impl Account<'_> {
    /// Checks that the provider received the attempts that were counted and no others. Returns how many may be missing: attempts that lost a
    /// race or met a time limit although the provider did not hang, which may have ended before they were sent.
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

    /// Checks that the ledger has the usage that clients received, and an estimate for replies without any.
    pub(super) fn tokens(&self, figures: &Figures, rows: &Value) {
        let rows = || rows["data"].as_array().expect("rows").iter().filter(|row| row["provider"] == self.dialect.name());
        let row = |name: &str| rows().map(|row| row[name].as_u64().expect("a number")).sum::<u64>();
        assert_eq!(row("replies"), self.replies.len() as u64, "{:?}", self.dialect);
        // A stream that met a time limit may have counted more than its client received.
        let limited = |reply: &&&Replied| matches!(reply.broken.as_deref(), Some("upstream_idle" | "deadline"));
        let spare = self.replies.iter().filter(limited).filter(|reply| !self.served.idles.contains(&reply.nonce)).count() as u64;
        let estimated: Vec<&Replied> = self.replies.iter().filter(|reply| reply.usage.is_none()).copied().collect();
        near(row("estimated_replies"), estimated.len() as u64, spare);
        let reported = self.replies.iter().filter_map(|reply| reply.usage);
        let [prompt, completion] = reported.fold([0, 0], |[a, b]: Usage, [c, d]| [a + c, b + d]);
        for (kind, sum) in [("input", prompt), ("output", completion)] {
            let labels = [("gen_ai_request_model", self.dialect.model()), ("gen_ai_token_type", kind)];
            near(figures.sum("gen_ai_client_token_usage_sum", &labels), sum, spare * REPLY_MOST);
        }
        let alone: u64 = estimated.iter().filter_map(|reply| reply.prompt).sum();
        near(row("prompt_tokens"), prompt + alone + self.guessed(&estimated), spare * REPLY_MOST);
        let guessed = row("completion_tokens").saturating_sub(completion);
        assert!(guessed <= (estimated.len() as u64 + spare) * REPLY_MOST, "{:?}: {guessed}", self.dialect);
        assert!(!estimated.is_empty() || guessed == 0 || spare > 0, "{:?}: {guessed}", self.dialect);
        for (name, kind) in [("prompt_tokens", "prompt"), ("completion_tokens", "completion")] {
            let counted = figures.sum("cofferdam_tokens_total", &[("provider", self.dialect.name()), ("type", kind)]);
            assert_eq!(row(name), counted, "{:?} {name}", self.dialect);
        }
    }

    /// The estimate of the prompts of these replies, from the size of what was sent.
    fn guessed(&self, replies: &[&Replied]) -> u64 {
        let sizes: HashMap<u32, usize> = self.requests.iter().map(|request| (Question::of(request).nonce, request.body.len())).collect();
        replies.iter().filter(|reply| reply.prompt.is_none()).map(|reply| sizes[&reply.nonce].div_ceil(BYTES_PER_TOKEN) as u64).sum()
    }
}

#[track_caller]
fn near(found: u64, expected: u64, spare: u64) {
    assert!(found.abs_diff(expected) <= spare, "{found} where {expected} is right, give or take {spare}");
}
