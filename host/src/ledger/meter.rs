//! One caller's counters. A request is counted when it comes in; tokens are charged when the reply is over, because nobody knows them before,
//! and a request comes in while any are left. So the requests that run at one time may overdraw: what they overdraw of the minute is waited
//! for, and of the day it is the most that a caller can have too much.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::allowance::{Allowance, Left, Limit, Standing};
use super::bucket::Bucket;
use super::clock::{Day, Moment};

pub(super) struct Meter {
    state: Mutex<State>,
}

struct State {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    allowance: Allowance,
    day: Day,
    used_today: u64,
}

/// The limit that keeps a request out, and for how long at least.
pub(super) type Denied = (Limit, u64, Duration);

impl Meter {
    /// Full buckets, and a day of which `used_today` tokens are gone.
    pub(super) fn new(allowance: Allowance, used_today: u64, now: Moment) -> Self {
        let bucket = |per_minute: Option<u64>| per_minute.map(|n| Bucket::full(n, now.steady));
        let (requests, tokens) = (bucket(allowance.requests_per_minute), bucket(allowance.tokens_per_minute));
        Self { state: Mutex::new(State { requests, tokens, allowance, day: now.day(), used_today }) }
    }

    /// Lets one request in and counts it. One that is refused is not counted.
    pub(super) fn admit(&self, now: Moment) -> Result<(), Denied> {
        let mut state = self.at(now);
        // The longest wait first: a caller that must wait for tomorrow need not be told to wait a minute.
        let (used_today, allowance) = (state.used_today, state.allowance);
        if let Some(limit) = allowance.tokens_per_day.filter(|limit| used_today >= *limit) {
            return Err((Limit::TokensPerDay, limit, now.to_midnight()));
        }
        let empty = |bucket: &mut Option<Bucket>| bucket.as_mut().map(|b| b.until_one(now.steady)).filter(|wait| !wait.is_zero());
        if let Some(wait) = empty(&mut state.tokens) {
            return Err((Limit::TokensPerMinute, allowance.tokens_per_minute.unwrap_or_default(), wait));
        }
        if let Some(wait) = empty(&mut state.requests) {
            return Err((Limit::RequestsPerMinute, allowance.requests_per_minute.unwrap_or_default(), wait));
        }
        if let Some(requests) = &mut state.requests {
            requests.charge(1, now.steady);
        }
        Ok(())
    }

    /// A reply of this caller's is over.
    pub(super) fn charge(&self, tokens: u64, now: Moment) {
        let mut state = self.at(now);
        state.used_today = state.used_today.saturating_add(tokens);
        if let Some(bucket) = &mut state.tokens {
            bucket.charge(tokens, now.steady);
        }
    }

    pub(super) fn standing(&self, now: Moment) -> Standing {
        let mut state = self.at(now);
        let (allowance, used_today) = (state.allowance, state.used_today);
        let left = |bucket: &mut Option<Bucket>, limit: Option<u64>| {
            let (bucket, limit) = (bucket.as_mut()?, limit?);
            Some(Left { limit, remaining: bucket.left(now.steady), reset: bucket.until_full(now.steady) })
        };
        let requests = left(&mut state.requests, allowance.requests_per_minute);
        let minute = left(&mut state.tokens, allowance.tokens_per_minute);
        let day = allowance.tokens_per_day.map(|limit| {
            let reset = if used_today == 0 { Duration::ZERO } else { now.to_midnight() };
            Left { limit, remaining: limit.saturating_sub(used_today), reset }
        });
        Standing { requests, tokens: minute.into_iter().chain(day).min_by_key(|left| left.remaining) }
    }

    /// The state, on the day that it is. A clock that is set back begins no new day.
    fn at(&self, now: Moment) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.day() > state.day {
            state.day = now.day();
            state.used_today = 0;
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds after noon of some day.
    fn noon(seconds: u64) -> Moment {
        let steady = Duration::from_secs(1_000 + seconds);
        Moment { steady, unix: Duration::from_secs(20_000 * 86_400 + 43_200 + seconds) }
    }

    fn meter(requests: Option<u64>, minute: Option<u64>, day: Option<u64>) -> Meter {
        let allowance = Allowance { requests_per_minute: requests, tokens_per_minute: minute, tokens_per_day: day };
        Meter::new(allowance, 0, noon(0))
    }

    #[test]
    fn so_many_requests_come_in_within_a_minute_and_no_more() {
        let meter = meter(Some(3), None, None);
        assert_eq!([0; 3].map(|_| meter.admit(noon(0))), [const { Ok(()) }; 3]);
        let denied = (Limit::RequestsPerMinute, 3, Duration::from_secs(20));
        assert_eq!(meter.admit(noon(0)), Err(denied));
        assert_eq!(meter.admit(noon(19)), Err((denied.0, 3, Duration::from_secs(1))));
        assert_eq!(meter.admit(noon(20)), Ok(()), "what was refused was not counted");
        assert!(meter.admit(noon(20)).is_err());
        let left = meter.standing(noon(20)).requests;
        assert_eq!(left, Some(Left { limit: 3, remaining: 0, reset: Duration::from_secs(60) }));
    }

    #[test]
    fn tokens_of_the_minute_are_charged_after_the_reply_and_overdrafts_are_waited_for() {
        let meter = meter(None, Some(60), None);
        meter.charge(59, noon(0));
        assert_eq!(meter.admit(noon(0)), Ok(()), "one is left");
        meter.charge(1, noon(0));
        assert_eq!(meter.admit(noon(0)), Err((Limit::TokensPerMinute, 60, Duration::from_secs(1))));
        meter.charge(60, noon(0));
        assert_eq!(meter.admit(noon(0)), Err((Limit::TokensPerMinute, 60, Duration::from_secs(61))));
        assert_eq!(meter.admit(noon(61)), Ok(()));
    }

    #[test]
    fn the_day_s_tokens_end_at_the_limit_and_come_back_at_midnight() {
        let meter = meter(Some(1_000), None, Some(100));
        meter.charge(99, noon(0));
        assert_eq!(meter.admit(noon(0)), Ok(()));
        meter.charge(1, noon(1));
        assert_eq!(meter.admit(noon(43_199)), Err((Limit::TokensPerDay, 100, Duration::from_secs(1))));
        assert_eq!(meter.standing(noon(43_199)).tokens, Some(Left { limit: 100, remaining: 0, reset: Duration::from_secs(1) }));
        assert_eq!(meter.admit(noon(43_200)), Ok(()));
        assert_eq!(meter.standing(noon(43_200)).tokens, Some(Left { limit: 100, remaining: 100, reset: Duration::ZERO }));
        meter.charge(100, noon(43_200));
        assert!(meter.admit(noon(0)).is_err(), "a clock that is set back gives no second budget");
    }

    #[test]
    fn a_refusal_by_tokens_costs_no_request() {
        let meter = meter(Some(2), Some(60), None);
        meter.charge(60, noon(0));
        for _ in 0..5 {
            assert_eq!(meter.admit(noon(0)).unwrap_err().0, Limit::TokensPerMinute);
        }
        assert_eq!(meter.standing(noon(0)).requests.map(|left| left.remaining), Some(2));
    }

    #[test]
    fn of_two_token_limits_the_one_with_fewer_left_is_reported() {
        let meter = meter(None, Some(100), Some(150));
        meter.charge(90, noon(0));
        assert_eq!(meter.standing(noon(0)).tokens.map(|left| (left.limit, left.remaining)), Some((100, 10)));
        meter.charge(50, noon(60));
        assert_eq!(meter.standing(noon(60)).tokens.map(|left| (left.limit, left.remaining)), Some((150, 10)));
    }

    #[test]
    fn without_limits_everything_comes_in_and_nothing_is_reported() {
        let meter = meter(None, None, None);
        meter.charge(u64::MAX, noon(0));
        meter.charge(u64::MAX, noon(0));
        assert_eq!((meter.admit(noon(0)), meter.standing(noon(0))), (Ok(()), Standing::default()));
    }
}
