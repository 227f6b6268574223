//! What the operator allows one key or one end user, and what its client learns of it: how much is left, and why a request was refused.
//! A limit that is not set lets everything in and is never shown.

use std::fmt;
use std::time::Duration;

/// Millionths in one dollar.
const MICRO: u64 = 1_000_000;

/// What one key, or one end user of it, may use. A limit that is none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    pub requests_per_minute: Option<u64>,
    /// Of prompts and completions together.
    pub tokens_per_minute: Option<u64>,
    /// Of prompts and completions together, from midnight to midnight in UTC.
    pub tokens_per_day: Option<u64>,
    /// In millionths of a dollar, by the operator's prices, from midnight to midnight in UTC.
    pub usd_per_day: Option<u64>,
    /// In millionths of a dollar, by the operator's prices, in a calendar month of UTC.
    pub usd_per_month: Option<u64>,
}

/// One of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    RequestsPerMinute,
    TokensPerMinute,
    TokensPerDay,
    UsdPerDay,
    UsdPerMonth,
}

/// Why a request may not come in, or may not be sent to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub caller: String,
    /// The limit is that of one end user of the key.
    pub end_user: bool,
    pub limit: Limit,
    /// In the limit's own unit; dollars are in millionths.
    pub allowed: u64,
    pub why: Why,
    /// When trying again may help.
    pub retry_after: Duration,
}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Everything is used up.
    UsedUp,
    /// Something is left, and the requests that are under way have reserved it.
    UnderWay,
    /// The limit is in dollars, and the operator names no price for this model.
    NoPrice { model: String },
}

/// What a client should do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Wait a little.
    Wait,
    /// Nothing that a program can do: the budget is renewed much later.
    Later,
    /// Ask another model, or the operator.
    OtherModel,
}

/// What a caller has of its limits at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub requests: Option<Left>,
    /// Of the minute's or the day's tokens, whichever has fewer left.
    pub tokens: Option<Left>,
}

/// What is left of one limit; what is reserved for requests under way is not left.
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

    /// What this limit allows.
    pub fn of(&self, limit: Limit) -> Option<u64> {
        match limit {
            Limit::RequestsPerMinute => self.requests_per_minute,
            Limit::TokensPerMinute => self.tokens_per_minute,
            Limit::TokensPerDay => self.tokens_per_day,
            Limit::UsdPerDay => self.usd_per_day,
            Limit::UsdPerMonth => self.usd_per_month,
        }
    }
}

impl Limit {
    /// The key in the operator's file.
    pub fn key(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::TokensPerDay => "tokens_per_day",
            Self::UsdPerDay => "usd_per_day",
            Self::UsdPerMonth => "usd_per_month",
        }
    }

    /// Whether it is filled again all the time, and not at midnight.
    pub fn is_rate(self) -> bool {
        matches!(self, Self::RequestsPerMinute | Self::TokensPerMinute)
    }

    fn words(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests a minute",
            Self::TokensPerMinute => "tokens a minute",
            Self::TokensPerDay => "tokens of the day",
            Self::UsdPerDay => "dollars of the day",
            Self::UsdPerMonth => "dollars of the month",
        }
    }

    fn renewal(self) -> &'static str {
        match self {
            Self::RequestsPerMinute | Self::TokensPerMinute => "",
            Self::TokensPerDay | Self::UsdPerDay => "; it is renewed at midnight UTC",
            Self::UsdPerMonth => "; it is renewed on the first day of the month, at midnight UTC",
        }
    }

    fn amount(self, allowed: u64) -> String {
        match self {
            Self::UsdPerDay | Self::UsdPerMonth => {
                let fraction = format!("{:06}", allowed % MICRO);
                format!("{}.{}", allowed / MICRO, &fraction[..fraction.trim_end_matches('0').len().max(2)])
            }
            Self::RequestsPerMinute | Self::TokensPerMinute | Self::TokensPerDay => allowed.to_string(),
        }
    }
}

impl Refused {
    /// What its client should do.
    pub fn remedy(&self) -> Remedy {
        match self.why {
            Why::NoPrice { .. } => Remedy::OtherModel,
            Why::UsedUp if !self.limit.is_rate() => Remedy::Later,
            Why::UsedUp | Why::UnderWay => Remedy::Wait,
        }
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, end_user, limit, allowed, why, .. } = self;
        let whose = if *end_user { "an end user of " } else { "" };
        let (amount, words, key) = (limit.amount(*allowed), limit.words(), limit.key());
        match why {
            Why::UsedUp => write!(f, "{whose}the key `{caller}` has used up its {amount} {words} (`{key}`){}", limit.renewal()),
            Why::UnderWay => write!(
                f,
                "requests under way of {whose}the key `{caller}` may use what is left of its {amount} {words} (`{key}`); try again when \
                 they are over"
            ),
            Why::NoPrice { model } => write!(
                f,
                "{whose}the key `{caller}` has a budget in dollars (`{key}`), and the model `{model}` has no price; the operator names prices \
                 under `[prices]`"
            ),
        }
    }
}
