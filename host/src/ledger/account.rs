//! One key's, or one end user's, counters. A request is counted when it comes in. Before it is sent to a provider, what it may use is
//! reserved; when it is over, what it used is charged in place of that. A request comes in while anything is left, so all that is used and
//! reserved is never more than a limit and one reservation. Pure: no clock, no lock and no store.

use std::time::Duration;

use super::allowance::{Allowance, Left, Limit, Standing, Why};
use super::bucket::Bucket;
use super::budget::{Amount, Budget, Cover, Held, Want};
use super::clock::{Day, Moment};
use super::price::PICO;

/// When to try again if requests under way hold what is left: they may be over at any moment.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// One part in so many of the mean of completions is the newest one.
const MEAN_OF: u64 = 8;

/// The limit that keeps a request out, how much it allows, why, and for how long at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) limit: Limit,
    pub(super) allowed: u64,
    pub(super) why: Why,
    pub(super) retry_after: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    allowance: Allowance,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    /// The one that is renewed last comes first.
    budgets: Vec<Budget>,
    day: Day,
    /// The mean of the completions of late; 0 while there is none.
    mean: u64,
    /// It stands in the list of those that the store is to be told of.
    pub(super) listed: bool,
}

impl Account {
    /// Full buckets, and budgets of which `used` units are gone.
    pub(super) fn new(allowance: Allowance, parts: u64, now: Moment, used: impl Fn(Limit) -> u128) -> Self {
        let bucket = |per_minute: Option<u64>| per_minute.map(|n| Bucket::full(n, now.steady));
        let (requests, tokens) = (bucket(allowance.requests_per_minute), bucket(allowance.tokens_per_minute));
        let budgets = budgets(&allowance).map(|(limit, allowed)| Budget::new(limit, allowed, parts, now.day(), used(limit)));
        Self { allowance, requests, tokens, budgets: budgets.collect(), day: now.day(), mean: 0, listed: false }
    }

    /// Another allowance from now on. What is used and reserved stays; of a budget that was not there before, `used` units are gone.
    pub(super) fn renew(&mut self, allowance: Allowance, parts: u64, now: Moment, used: impl Fn(Limit) -> u128) {
        self.roll(now);
        self.allowance = allowance;
        Bucket::renew(&mut self.requests, allowance.requests_per_minute, now.steady);
        Bucket::renew(&mut self.tokens, allowance.tokens_per_minute, now.steady);
        let mut before = std::mem::take(&mut self.budgets);
        self.budgets = budgets(&allowance)
            .map(|(limit, allowed)| match before.iter().position(|budget| budget.limit() == limit) {
                Some(at) => before.swap_remove(at).allowing(allowed, parts),
                None => Budget::new(limit, allowed, parts, self.day, used(limit)),
            })
            .collect();
    }

    /// Lets one request in and counts it. One that is refused is not counted.
    pub(super) fn admit(&mut self, now: Moment) -> Result<(), Denied> {
        self.check(now)?;
        let Some(requests) = &mut self.requests else { return Ok(()) };
        let wait = requests.until_one(now.steady);
        if !wait.is_zero() {
            return Err(self.denied(Limit::RequestsPerMinute, Why::UsedUp, wait));
        }
        requests.charge(1, now.steady);
        Ok(())
    }

    /// Whether tokens and dollars are left. The longest wait comes first: a caller that must wait for tomorrow need not be told to wait a minute.
    pub(super) fn check(&mut self, now: Moment) -> Result<(), Denied> {
        self.roll(now);
        if let Some(budget) = self.budgets.iter().find(|budget| budget.is_used_up()) {
            let renewed = if budget.limit() == Limit::UsdPerMonth { now.to_next_month() } else { now.to_midnight() };
            return Err(self.denied(budget.limit(), Why::UsedUp, renewed));
        }
        if let Some(tokens) = &mut self.tokens {
            let wait = tokens.until_one(now.steady);
            if !wait.is_zero() {
                let why = if tokens.is_filled(now.steady) { Why::UnderWay } else { Why::UsedUp };
                return Err(self.denied(Limit::TokensPerMinute, why, wait));
            }
        }
        match self.budgets.iter().find(|budget| budget.left() == 0) {
            Some(budget) => Err(self.denied(budget.limit(), Why::UnderWay, UNDER_WAY)),
            None => Ok(()),
        }
    }

    /// Whether the store has written down enough for a request of this size.
    pub(super) fn covers(&mut self, amount: &Amount) -> bool {
        // Every budget is asked, so that one write is enough for all of them.
        let uncovered = self.budgets.iter_mut().filter_map(|budget| (!budget.covers(amount)).then_some(())).count();
        uncovered == 0
    }

    /// The tokens of completion that a request can have within what is left. Of a rate that is a minute's worth: more is there by the time that a
    /// long reply is over, and what one request takes in advance is waited for no longer than a minute.
    pub(super) fn fits(&mut self, want: &Want, now: Moment) -> u64 {
        self.roll(now);
        let minute = self.allowance.tokens_per_minute.map_or(u64::MAX, |tokens| tokens.saturating_sub(want.prompt));
        self.budgets.iter().map(|budget| budget.fits(want)).fold(minute, u64::min)
    }

    /// Keeps so much for a request that is about to be sent: in budgets all that it may use, in the rate what is granted of that.
    pub(super) fn reserve(&mut self, amount: Amount, granted: Amount, now: Moment) -> Held {
        self.roll(now);
        if let Some(tokens) = &mut self.tokens {
            tokens.reserve(granted.tokens);
        }
        self.budgets.iter_mut().for_each(|budget| budget.reserve(&amount));
        Held { amount, granted, day: self.day }
    }

    /// A request is over: `used` is charged, and what it had reserved is free again.
    pub(super) fn settle(&mut self, held: &Held, used: &Amount, now: Moment) {
        self.close(held, used, used, now);
    }

    /// A request was left, at least `used` is used, and nobody knows whether it went on: this account's own budgets are charged all that it may
    /// use, so that leaving often goes round none of them.
    pub(super) fn lose(&mut self, held: &Held, used: &Amount, now: Moment) {
        self.close(held, used, &used.plus(&held.amount.minus(&held.granted)), now);
    }

    fn close(&mut self, held: &Held, of_the_rate: &Amount, of_budgets: &Amount, now: Moment) {
        self.roll(now);
        if let Some(tokens) = &mut self.tokens {
            tokens.release(held.granted.tokens);
            tokens.charge(of_the_rate.tokens, now.steady);
        }
        self.budgets.iter_mut().for_each(|budget| budget.settle(held, of_budgets));
    }

    /// A request used this already, which is more than it had reserved, and goes on: so much is kept for what follows. False if a budget has
    /// nothing left for it.
    pub(super) fn extend(&mut self, held: &mut Held, used: &Amount, more: Amount, now: Moment) -> bool {
        let rest = held.amount.minus(used);
        self.settle(held, used, now);
        let left = self.budgets.iter().all(|budget| budget.left() > 0);
        // What it may still use stays reserved.
        let rest = Amount { tokens: rest.tokens.max(more.tokens), cost: rest.cost.max(more.cost) };
        *held = if left { self.reserve(rest, more, now) } else { self.reserve(Amount::default(), Amount::default(), now) };
        left
    }

    /// A budget in dollars, if there is one.
    pub(super) fn in_dollars(&self) -> Option<Denied> {
        let limit = [Limit::UsdPerMonth, Limit::UsdPerDay].into_iter().find(|limit| self.allowance.of(*limit).is_some())?;
        Some(self.denied(limit, Why::NoPrice { model: String::new() }, Duration::ZERO))
    }

    /// How long a completion will be, going by those of late.
    pub(super) fn mean_completion(&self) -> u64 {
        self.mean
    }

    /// A completion had so many tokens.
    pub(super) fn learn(&mut self, completion: u64) {
        self.mean = if self.mean == 0 { completion } else { (self.mean * (MEAN_OF - 1) + completion).div_ceil(MEAN_OF) };
    }

    pub(super) fn standing(&mut self, now: Moment) -> Standing {
        self.roll(now);
        let allowance = self.allowance;
        let left = |bucket: &mut Option<Bucket>, limit: Option<u64>| {
            let (bucket, limit) = (bucket.as_mut()?, limit?);
            Some(Left { limit, remaining: bucket.left(now.steady), reset: bucket.until_full(now.steady) })
        };
        let requests = left(&mut self.requests, allowance.requests_per_minute);
        let minute = left(&mut self.tokens, allowance.tokens_per_minute);
        let budget = self.budgets.iter().find(|budget| budget.limit() == Limit::TokensPerDay);
        let day = budget.zip(allowance.tokens_per_day).map(|(budget, limit)| {
            let reset = if budget.used() == 0 { Duration::ZERO } else { now.to_midnight() };
            Left { limit, remaining: u64::try_from(budget.left()).unwrap_or(u64::MAX), reset }
        });
        Standing { requests, tokens: fewer(minute, day) }
    }

    /// Whether the store should be told how much is used.
    pub(super) fn wants_cover(&self) -> bool {
        self.budgets.iter().any(Budget::wants_cover)
    }

    /// Whether it should be told soon, so that no request has to wait.
    pub(super) fn is_short(&self) -> bool {
        self.budgets.iter().any(Budget::is_short)
    }

    /// See `Budget::begin_cover`.
    pub(super) fn begin_cover(&mut self, exact: bool) -> impl Iterator<Item = Cover> {
        self.budgets.iter_mut().map(move |budget| budget.begin_cover(exact))
    }

    pub(super) fn end_cover(&mut self, cover: &Cover) {
        self.budgets.iter_mut().filter(|budget| budget.limit() == cover.limit).for_each(|budget| budget.end_cover(cover));
    }

    fn denied(&self, limit: Limit, why: Why, retry_after: Duration) -> Denied {
        Denied { limit, allowed: self.allowance.of(limit).unwrap_or_default(), why, retry_after }
    }

    /// The day that it is. A clock that is set back begins no new day.
    pub(super) fn roll(&mut self, now: Moment) {
        let day = now.day();
        if day > self.day {
            self.day = day;
            self.budgets.iter_mut().for_each(|budget| budget.roll(day));
        }
    }
}

/// The budgets of an allowance in their units. The one that is renewed last comes first.
fn budgets(allowance: &Allowance) -> impl Iterator<Item = (Limit, u128)> {
    let allowance = *allowance;
    [Limit::UsdPerMonth, Limit::UsdPerDay, Limit::TokensPerDay].into_iter().filter_map(move |limit| {
        let unit = if limit == Limit::TokensPerDay { 1 } else { PICO };
        Some((limit, u128::from(allowance.of(limit)?) * unit))
    })
}

/// Of two limits the one with fewer left.
pub(super) fn fewer(a: Option<Left>, b: Option<Left>) -> Option<Left> {
    a.into_iter().chain(b).min_by_key(|left| left.remaining)
}

#[cfg(test)]
mod tests;
