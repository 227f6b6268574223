//! One word for what became of a host call, for the figures of all capabilities.

use crate::sandbox::bindings::types::Failure;

/// `ok`, or the kind of the failure.
pub(super) fn word<T>(answer: &Result<T, Failure>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(Failure::Denied(_)) => "denied",
        Err(Failure::Exhausted(_)) => "exhausted",
        Err(Failure::Timeout(_)) => "timeout",
        Err(Failure::Invalid(_)) => "invalid",
        Err(Failure::Unavailable(_)) => "unavailable",
        Err(Failure::Other(_)) => "other",
    }
}
