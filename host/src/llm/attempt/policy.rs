//! What a failure allows: another try at the same place, the next target, a rest for the provider's key.
//! The table behind it is in README, "Retries and circuits". Pure; must not know time, circuits or who is asked next.

use std::time::Duration;

use super::Failure;
use crate::llm::{Error, Phase, Target};

/// A failure, judged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgment {
    pub(super) retry: Retry,
    pub(super) verdict: Verdict,
}

/// Whether the same target may be tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Retry {
    Never,
    /// Only where nobody else is left: the failure took long already.
    AfterOthers,
    /// After a pause of at least this.
    After(Duration),
}

/// What the failure says about the provider and its key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing: nobody was asked, or nobody could know.
    Neutral,
    /// It is there; the request was at fault, or nothing was.
    Success,
    /// It failed.
    Failure,
    /// It said itself that asking again is no use before this time has passed, or until somebody mends something.
    Unavailable { limited: bool, retry_after: Option<Duration> },
}

/// `budget`: the longest wait for a try at the same place.
pub(super) fn judge(failure: &Failure, budget: Duration) -> Judgment {
    let judgment = |retry, verdict| Judgment { retry, verdict };
    let (status, code, retry_after, exhausted) = match &failure.error {
        Error::Status { status, code, retry_after, exhausted, .. } => (*status, code.as_deref(), *retry_after, *exhausted),
        Error::Unreachable { .. } | Error::InvalidReply { .. } => return judgment(Retry::After(Duration::ZERO), Verdict::Failure),
        Error::Timeout { phase, .. } => {
            return match phase {
                Phase::Connect | Phase::FirstByte | Phase::Idle => judgment(Retry::AfterOthers, Verdict::Failure),
                // The target had all of the time that is its own.
                Phase::Total => judgment(Retry::Never, Verdict::Failure),
                Phase::Deadline => judgment(Retry::Never, Verdict::Neutral),
            };
        }
        // The provider was not asked, and is not to blame.
        Error::UnsupportedField { .. } | Error::NoEmbeddings { .. } => return judgment(Retry::Never, Verdict::Neutral),
        Error::SecretMissing { .. } | Error::UnknownProvider { .. } | Error::CircuitOpen { .. } => {
            return judgment(Retry::Never, Verdict::Neutral);
        }
    };
    let passing = |limited: bool, against: Verdict| match retry_after.unwrap_or_default() {
        long if long > budget => judgment(Retry::Never, Verdict::Unavailable { limited, retry_after: Some(long) }),
        short => judgment(Retry::After(short), against),
    };
    match status {
        _ if exhausted => judgment(Retry::Never, Verdict::Unavailable { limited: true, retry_after }),
        _ if too_long(code) => judgment(Retry::Never, Verdict::Success),
        402 => judgment(Retry::Never, Verdict::Unavailable { limited: true, retry_after }),
        401 | 403 => judgment(Retry::Never, Verdict::Unavailable { limited: false, retry_after }),
        429 => passing(true, Verdict::Failure),
        409 | 425 => passing(false, Verdict::Success),
        408 | 500..=599 => passing(false, Verdict::Failure),
        _ => judgment(Retry::Never, Verdict::Success),
    }
}

/// Whether `fallback` runs after `failure` of a try where `model` was asked. `elsewhere`: the fallback has another provider or another key.
pub(super) fn falls_back(fallback: &Target, elsewhere: bool, model: &str, failure: &Failure) -> bool {
    let (status, code) = match &failure.error {
        Error::Status { status, code, .. } => (status, code.as_deref()),
        // What it is for the client: the operator's list decides whether somebody else may take the field.
        Error::UnsupportedField { .. } | Error::NoEmbeddings { .. } => (&400, None),
        _ => return true,
    };
    let lists = |wanted: u16| fallback.on_status.as_ref().is_some_and(|listed| listed.contains(&wanted));
    if too_long(code) {
        // The same request is as long elsewhere; only the operator knows a model that takes more.
        return lists(400) || lists(*status);
    }
    if failure.in_band {
        return true;
    }
    match &fallback.on_status {
        // 529 is how some vendors say that they are overloaded.
        Some(_) => lists(*status) || (*status == 529 && lists(503)),
        None => match status {
            408 | 409 | 425 | 429 | 500..=599 => true,
            // The key or the account are wrong at that place, not the request.
            401..=403 => elsewhere,
            404 => elsewhere || fallback.model != model,
            _ => false,
        },
    }
}

fn too_long(code: Option<&str>) -> bool {
    code == Some("context_length_exceeded")
}

#[cfg(test)]
mod tests;
