//! What the operator allows one key, and what its client learns of it: how much is left, and why a request was refused.
//! A limit that is not set lets everything in and is never shown.

use std::time::Duration;

/// What one client key may use. A limit that is none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    pub requests_per_minute: Option<u64>,
    /// Of prompts and completions together.
    pub tokens_per_minute: Option<u64>,
    /// Of prompts and completions together, from midnight to midnight in UTC.
    pub tokens_per_day: Option<u64>,
}

/// One of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    RequestsPerMinute,
    TokensPerMinute,
    TokensPerDay,
}

/// Why a request may not come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key `{caller}` has used up its {allowed} {} (`{}`){}",
    limit.words(),
    limit.key(),
    if *limit == Limit::TokensPerDay { "; it is renewed at midnight UTC" } else { "" }
)]
pub struct Refused {
    pub caller: String,
    pub limit: Limit,
    pub allowed: u64,
    /// When trying again may help.
    pub retry_after: Duration,
}

/// What a caller has of its limits at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub requests: Option<Left>,
    /// Of the minute's or the day's tokens, whichever has fewer left.
    pub tokens: Option<Left>,
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub limit: u64,
    pub remaining: u64,
    /// Until all of it is there again, if nothing is used.
    pub reset: Duration,
}

impl Allowance {
    /// Whether there is no limit at all.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

impl Limit {
    /// The key in the operator's file.
    pub fn key(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::TokensPerDay => "tokens_per_day",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests a minute",
            Self::TokensPerMinute => "tokens a minute",
            Self::TokensPerDay => "tokens of the day",
        }
    }
}
