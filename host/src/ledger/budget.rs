//! One budget of a day or a month: what is used, what requests under way have reserved, and how much of it is written down as used.
//! Invariant: a request is sent to a provider only while all that is used and reserved is covered by what the store has written down, so that
//! a process that is killed forgets nothing; it counts the rest of what was written as used too. Pure: no clock and no store.

use super::allowance::Limit;
use super::clock::Day;
use super::price::Price;
use crate::chat::Usage;

/// Tokens, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) tokens: u64,
    /// In millionths of a millionth of a dollar.
    pub(super) cost: u128,
}

/// What one request is about to use at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) price: Option<Price>,
    /// Tokens.
    pub(super) prompt: u64,
    pub(super) completion: u64,
}

/// What one request under way has reserved, and on which day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// All that it may use, as far as somebody else's account does not end it before; what budgets keep for it.
    pub(super) amount: Amount,
    /// The part of it that fits into what is left of every account; what a rate keeps for it.
    pub(super) granted: Amount,
    pub(super) day: Day,
}

/// What the store is to write down as used by one budget, in place of what it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cover {
    pub(super) limit: Limit,
    pub(super) begun: Day,
    pub(super) units: u128,
}

/// In tokens, or in millionths of a millionth of a dollar.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    limit: Limit,
    allowed: u128,
    /// How much is written down in advance.
    part: u128,
    /// The first day of the day or the month.
    begun: Day,
    used: u128,
    reserved: u128,
    /// At least this is written down as used.
    covered: u128,
    /// What requests wait for that are not covered yet.
    asked: u128,
}

impl Amount {
    /// What this usage comes to; without a price it costs nothing.
    pub(super) fn new(price: Option<&Price>, usage: &Usage) -> Self {
        Self { tokens: usage.total(), cost: price.map_or(0, |price| price.of(usage)) }
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), cost: self.cost.saturating_add(other.cost) }
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        Self { tokens: self.tokens.saturating_sub(other.tokens), cost: self.cost.saturating_sub(other.cost) }
    }

    fn of(&self, limit: Limit) -> u128 {
        match limit {
            Limit::UsdPerDay | Limit::UsdPerMonth => self.cost,
            Limit::RequestsPerMinute | Limit::TokensPerMinute | Limit::TokensPerDay => self.tokens.into(),
        }
    }
}

impl Want {
    /// With a completion of so many tokens, or of all that are wanted if that is less.
    pub(super) fn with(&self, completion: u64) -> Amount {
        let usage = Usage { prompt: self.prompt, completion: completion.min(self.completion), ..Usage::default() };
        Amount::new(self.price.as_ref(), &usage)
    }
}

impl Budget {
    /// A budget of which so many units are used, and written down as used.
    pub(super) fn new(limit: Limit, allowed: u128, parts: u64, day: Day, used: u128) -> Self {
        Self { limit, allowed, part: part(allowed, parts), begun: first_day(limit, day), used, reserved: 0, covered: used, asked: 0 }
    }

    /// The same budget with another size.
    pub(super) fn allowing(self, allowed: u128, parts: u64) -> Self {
        Self { allowed, part: part(allowed, parts), ..self }
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    pub(super) fn used(&self) -> u128 {
        self.used
    }

    /// Units that are neither used nor reserved.
    pub(super) fn left(&self) -> u128 {
        self.allowed.saturating_sub(self.used + self.reserved)
    }

    /// The tokens of completion after which nothing is left; `u64::MAX` if they cost nothing here.
    pub(super) fn fits(&self, want: &Want) -> u64 {
        let each = Amount::new(want.price.as_ref(), &Usage { completion: 1, ..Usage::default() }).of(self.limit);
        let rest = self.left().saturating_sub(want.with(0).of(self.limit));
        // Rounded up, so that a request that is cut to what is left leaves nothing for another one.
        if each == 0 { u64::MAX } else { u64::try_from(rest.div_ceil(each)).unwrap_or(u64::MAX) }
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.used >= self.allowed
    }

    /// Begins anew if `day` is past its end. What is still reserved then stays with the days before; it was covered by them.
    pub(super) fn roll(&mut self, day: Day) {
        let begun = first_day(self.limit, day);
        if begun > self.begun {
            *self = Self { begun, used: 0, reserved: 0, covered: 0, asked: 0, ..self.clone() };
        }
    }

    /// Whether a request of this size may be sent as far as the store is concerned. If not, the next cover will have room for it.
    pub(super) fn covers(&mut self, amount: &Amount) -> bool {
        let units = amount.of(self.limit);
        let covers = self.used + self.reserved + units <= self.covered;
        if !covers {
            self.asked += units;
        }
        covers
    }

    pub(super) fn reserve(&mut self, amount: &Amount) {
        self.reserved += amount.of(self.limit);
    }

    /// A request that had reserved `held` used this much.
    pub(super) fn settle(&mut self, held: &Held, used: &Amount) {
        let (reserved, used) = (held.amount.of(self.limit), used.of(self.limit));
        if self.begun <= held.day {
            self.reserved = self.reserved.saturating_sub(reserved);
            self.used += used;
        } else {
            // It was reserved before this budget began, and counts there; only what it used beyond that is new.
            self.used += used.saturating_sub(reserved);
        }
    }

    /// Whether the store should be told: soon more will be needed than is covered, or much less.
    pub(super) fn wants_cover(&self) -> bool {
        self.covered < self.target(self.part / 2) || self.covered > self.target(2 * self.part)
    }

    /// Whether the next request may have to wait for the store.
    pub(super) fn is_short(&self) -> bool {
        self.covered < self.target(self.part / 2)
    }

    /// Begins to write: from now on no more counts as covered than before and after it. With `exact` nothing is covered in advance.
    pub(super) fn begin_cover(&mut self, exact: bool) -> Cover {
        let units = self.target(if exact { 0 } else { self.part });
        self.asked = 0;
        self.covered = self.covered.min(units);
        Cover { limit: self.limit, begun: self.begun, units }
    }

    /// The cover is written.
    pub(super) fn end_cover(&mut self, cover: &Cover) {
        if cover.begun == self.begun {
            self.covered = cover.units;
        }
    }

    /// What is needed, and up to `ahead` more while there is more to use.
    fn target(&self, ahead: u128) -> u128 {
        let need = self.used + self.reserved + self.asked;
        need.max((need + ahead).min(self.allowed))
    }
}

/// How much of a budget is written down in advance.
fn part(allowed: u128, parts: u64) -> u128 {
    (allowed / u128::from(parts.max(1))).max(1)
}

/// The first day of the period of this limit that `day` lies in.
pub(super) fn first_day(limit: Limit, day: Day) -> Day {
    match limit {
        Limit::UsdPerMonth => day.month(),
        Limit::RequestsPerMinute | Limit::TokensPerMinute | Limit::TokensPerDay | Limit::UsdPerDay => day,
    }
}

#[cfg(test)]
mod tests;
