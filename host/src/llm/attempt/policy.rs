//! Pure decisions about tries: what a failure allows (a retry, the next target, an open circuit), how long to pause, and in which order
//! targets are tried. The table behind them is in docs/reliability.md; there is no clock, no lock and no provider in this file.

use std::time::Duration;

use fastrand::Rng;

use super::Failure;
use crate::llm::error::{BudgetRemedy, Error, Phase, PluginTrouble};
use crate::llm::provider_error::{CONTENT_FILTER, MODEL_FAILED};
use crate::llm::target::{Chain, Target};

/// What follows from a failure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgment {
    pub(super) retry: Retry,
    pub(super) verdict: Verdict,
}

/// Whether the same target may be tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Retry {
    Never,
    /// Only after every other target failed too, because this failure took long already.
    AfterOthers,
    /// After a pause of at least this.
    After(Duration),
}

/// What the failure says about the provider and its key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing: it was not asked, or was not to blame.
    Neutral,
    /// It works, even if it refused this request.
    Success,
    /// It failed.
    Failure,
    /// It refused the key or the account, or what this request asked for: vendors answer both with the same statuses. It counts like a failure.
    Refused,
    /// It reported itself that it is of no use to ask again before this time has passed, or before somebody mends the key or the account.
    /// `limited`: because of a rate limit or a quota.
    Unavailable { limited: bool, retry_after: Option<Duration> },
}

/// `budget`: the longest wait before a retry.
pub(super) fn judge(failure: &Failure, budget: Duration) -> Judgment {
    let judgment = |retry, verdict| Judgment { retry, verdict };
    let (status, code, retry_after, exhausted) = match &failure.error {
        Error::Status { status, code, retry_after, exhausted, .. } => (*status, code.as_deref(), *retry_after, *exhausted),
        Error::Unreachable { .. } | Error::InvalidReply { .. } => return judgment(Retry::After(Duration::ZERO), Verdict::Failure),
        Error::Timeout { phase, .. } => {
            return match phase {
                Phase::Connect | Phase::FirstByte | Phase::Idle => judgment(Retry::AfterOthers, Verdict::Failure),
                // The target has used up all of its time.
                Phase::Total => judgment(Retry::Never, Verdict::Failure),
                Phase::Deadline => judgment(Retry::Never, Verdict::Neutral),
            };
        }
        // The provider was not asked.
        Error::UnsupportedField { .. } | Error::NoEmbeddings { .. } | Error::OverBudget { .. } => {
            return judgment(Retry::Never, Verdict::Neutral);
        }
        // The provider answered, but how well is not known.
        Error::Overloaded { .. } => return judgment(Retry::Never, Verdict::Neutral),
        Error::Plugin { trouble, .. } => {
            return match trouble {
                // The same request makes it fail again.
                PluginTrouble::Failed => judgment(Retry::Never, Verdict::Failure),
                PluginTrouble::Slow => judgment(Retry::AfterOthers, Verdict::Failure),
                PluginTrouble::Busy => judgment(Retry::After(Duration::ZERO), Verdict::Neutral),
                PluginTrouble::Missing | PluginTrouble::Host => judgment(Retry::Never, Verdict::Neutral),
            };
        }
        Error::Refused { .. } => return judgment(Retry::Never, Verdict::Success),
        Error::SecretMissing { .. } | Error::UnknownProvider { .. } | Error::CircuitOpen { .. } => {
            return judgment(Retry::Never, Verdict::Neutral);
        }
    };
    let transient = |limited: bool, verdict: Verdict| match retry_after.unwrap_or_default() {
        long if long > budget => judgment(Retry::Never, Verdict::Unavailable { limited, retry_after: Some(long) }),
        short => judgment(Retry::After(short), verdict),
    };
    match status {
        _ if exhausted => judgment(Retry::Never, Verdict::Unavailable { limited: true, retry_after }),
        _ if of_the_request(code) => judgment(Retry::Never, Verdict::Success),
        // The provider works; the model may do better the next time.
        _ if code == Some(MODEL_FAILED) => judgment(Retry::After(Duration::ZERO), Verdict::Success),
        401..=403 => judgment(Retry::Never, Verdict::Refused),
        429 => transient(true, Verdict::Failure),
        409 | 425 => transient(false, Verdict::Success),
        408 | 500..=599 => transient(false, Verdict::Failure),
        _ => judgment(Retry::Never, Verdict::Success),
    }
}

/// Whether `fallback` is tried after `failure` of a try at `model`. `elsewhere`: the fallback has another provider or another key.
pub(super) fn falls_back(fallback: &Target, elsewhere: bool, model: &str, failure: &Failure) -> bool {
    let (status, code) = match &failure.error {
        Error::Status { status, code, .. } => (status, code.as_deref()),
        // The status that the client would get: the operator's list decides whether another target may be tried.
        Error::UnsupportedField { .. } | Error::NoEmbeddings { .. } => (&400, None),
        // A budget with nothing left has nothing for another target either; but another one may have a price.
        Error::OverBudget { remedy, .. } => return *remedy == BudgetRemedy::OtherModel,
        // There is no more room for what another target would send, and this one's reply was paid for already.
        Error::Overloaded { .. } => return false,
        // The plugin decided that nobody answers this.
        Error::Refused { .. } => return false,
        _ => return true,
    };
    let lists = |wanted: u16| fallback.on_status.as_ref().is_some_and(|listed| listed.contains(&wanted));
    if of_the_request(code) {
        // The request is as long for the next model, and what one provider filtered another would answer; the operator decides.
        return lists(400) || lists(*status);
    }
    if failure.in_band {
        return true;
    }
    match &fallback.on_status {
        // Some vendors answer 529 if they are overloaded.
        Some(_) => lists(*status) || (*status == 529 && lists(503)),
        None => match status {
            408 | 409 | 425 | 429 | 500..=599 => true,
            // The key or the account is refused, not the request.
            401..=403 => elsewhere,
            404 => elsewhere || fallback.model != model,
            _ => false,
        },
    }
}

/// Whether the failure is about what the request holds, however the provider reports it: it is too long, or it was filtered.
fn of_the_request(code: Option<&str>) -> bool {
    matches!(code, Some("context_length_exceeded" | CONTENT_FILTER | "content_policy_violation"))
}

/// The indices of a chain's targets in the order in which they are tried: first the equals, whose weights are given, by weighted random
/// choice, then the fallbacks as they stand. A weight of 0 comes after all other equals.
pub(super) fn order(weights: &[u32], targets: usize, rng: &mut Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..targets).collect();
    let equals = weights.len().min(targets);
    for position in 0..equals.saturating_sub(1) {
        let total: u32 = order[position..equals].iter().map(|index| weights[*index]).sum();
        if total == 0 {
            break;
        }
        let mut ticket = rng.u32(..total);
        let chosen = (position..equals).find(|at| {
            let weight = weights[order[*at]];
            let hit = ticket < weight;
            ticket = ticket.saturating_sub(weight);
            hit
        });
        // Rotated, not swapped, so that the others keep their order: weights of 0 stay as they were written.
        order[position..=chosen.expect("the ticket is below the sum of the weights")].rotate_right(1);
    }
    order
}

/// The order in which targets are tried if a hook chose a provider: its target, the one of that model if there are several, and then the
/// fallbacks in their order. None if there is no such target.
pub(super) fn chosen_first(chain: Chain<'_>, provider: &str, model: Option<&str>) -> Vec<usize> {
    let of = |model: Option<&str>| {
        let fits = |target: &Target| target.provider == provider && model.is_none_or(|model| target.model == model);
        chain.targets.iter().position(fits)
    };
    let Some(chosen) = of(model).or_else(|| of(None)) else { return Vec::new() };
    let fallbacks = chain.weights.len().max(1)..chain.targets.len();
    std::iter::once(chosen).chain(fallbacks.filter(|index| *index != chosen)).collect()
}

/// A random part of `most`, so that clients which failed together do not come back together.
pub(super) fn jitter(most: Duration, rng: &mut Rng) -> Duration {
    most.mul_f64(rng.f64())
}

#[cfg(test)]
mod tests;
