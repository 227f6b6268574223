//! One account under a clock that the test moves.

use super::*;

/// Seconds after noon of 2024-10-04.
fn noon(seconds: u64) -> Moment {
    let steady = Duration::from_secs(1_000 + seconds);
    Moment { steady, unix: Duration::from_secs(20_000 * 86_400 + 43_200 + seconds) }
}

fn of(allowance: Allowance) -> Account {
    Account::new(allowance, 16, noon(0), |_| 0)
}

fn account(requests: Option<u64>, minute: Option<u64>, day: Option<u64>) -> Account {
    of(Allowance { requests_per_minute: requests, tokens_per_minute: minute, tokens_per_day: day, ..Allowance::default() })
}

fn tokens(tokens: u64) -> Amount {
    Amount { tokens, cost: 0 }
}

/// A reply for which nothing was reserved.
fn charge(account: &mut Account, units: u64, now: Moment) {
    account.settle(&Held::default(), &tokens(units), now);
}

fn used_up(limit: Limit, allowed: u64, seconds: u64) -> Denied {
    Denied { limit, allowed, why: Why::UsedUp, retry_after: Duration::from_secs(seconds) }
}

#[test]
fn so_many_requests_come_in_within_a_minute_and_no_more() {
    let mut account = account(Some(3), None, None);
    assert_eq!([0; 3].map(|_| account.admit(noon(0))), [const { Ok(()) }; 3]);
    assert_eq!(account.admit(noon(0)), Err(used_up(Limit::RequestsPerMinute, 3, 20)));
    assert_eq!(account.admit(noon(19)), Err(used_up(Limit::RequestsPerMinute, 3, 1)));
    assert_eq!(account.admit(noon(20)), Ok(()), "what was refused was not counted");
    assert!(account.admit(noon(20)).is_err());
    let left = account.standing(noon(20)).requests;
    assert_eq!(left, Some(Left { limit: 3, remaining: 0, reset: Duration::from_secs(60) }));
}

#[test]
fn what_a_reply_overdraws_of_the_minute_is_waited_for() {
    let mut account = account(None, Some(60), None);
    charge(&mut account, 59, noon(0));
    assert_eq!(account.admit(noon(0)), Ok(()), "one is left");
    charge(&mut account, 1, noon(0));
    assert_eq!(account.admit(noon(0)), Err(used_up(Limit::TokensPerMinute, 60, 1)));
    charge(&mut account, 60, noon(0));
    assert_eq!(account.admit(noon(0)), Err(used_up(Limit::TokensPerMinute, 60, 61)));
    assert_eq!(account.admit(noon(61)), Ok(()));
}

#[test]
fn what_is_reserved_of_the_minute_keeps_others_out_until_it_is_settled() {
    let mut account = account(None, Some(60), None);
    let held = account.reserve(tokens(100), tokens(100), noon(0));
    let denied = Denied { why: Why::UnderWay, ..used_up(Limit::TokensPerMinute, 60, 41) };
    assert_eq!(account.check(noon(0)), Err(denied), "forty that are missing, and one");
    assert_eq!(account.standing(noon(0)).tokens.map(|left| left.remaining), Some(0));
    account.settle(&held, &tokens(10), noon(0));
    assert_eq!(account.standing(noon(0)).tokens.map(|left| left.remaining), Some(50));
}

#[test]
fn the_day_s_tokens_end_at_the_limit_and_come_back_at_midnight() {
    let mut account = account(Some(1_000), None, Some(100));
    charge(&mut account, 99, noon(0));
    assert_eq!(account.admit(noon(0)), Ok(()));
    charge(&mut account, 1, noon(1));
    assert_eq!(account.admit(noon(43_199)), Err(used_up(Limit::TokensPerDay, 100, 1)));
    assert_eq!(account.standing(noon(43_199)).tokens, Some(Left { limit: 100, remaining: 0, reset: Duration::from_secs(1) }));
    assert_eq!(account.admit(noon(43_200)), Ok(()));
    assert_eq!(account.standing(noon(43_200)).tokens, Some(Left { limit: 100, remaining: 100, reset: Duration::ZERO }));
    charge(&mut account, 100, noon(43_200));
    assert!(account.admit(noon(0)).is_err(), "a clock that is set back gives no second budget");
}

#[test]
fn dollars_end_with_the_day_or_the_month_and_the_longer_wait_is_told() {
    let dollars = |n: u64| Amount { tokens: 1, cost: u128::from(n) * 1_000_000 * PICO };
    let mut account = of(Allowance { usd_per_day: Some(2_000_000), usd_per_month: Some(3_000_000), ..Allowance::default() });
    account.settle(&Held::default(), &dollars(2), noon(0));
    assert_eq!(account.admit(noon(0)), Err(used_up(Limit::UsdPerDay, 2_000_000, 43_200)));
    assert_eq!(account.admit(noon(43_200)), Ok(()), "a new day of the same month");
    account.settle(&Held::default(), &dollars(1), noon(43_200));
    // The fifth of October has begun, and 27 days are left of it.
    assert_eq!(account.admit(noon(43_200)), Err(used_up(Limit::UsdPerMonth, 3_000_000, 27 * 86_400)));
    assert_eq!(account.admit(noon(43_200 + 27 * 86_400 - 1)), Err(used_up(Limit::UsdPerMonth, 3_000_000, 1)));
    assert_eq!(account.admit(noon(43_200 + 27 * 86_400)), Ok(()));
}

#[test]
fn requests_at_the_same_moment_come_in_while_any_is_left_that_none_of_them_reserved() {
    let mut account = account(None, None, Some(100));
    let first = account.reserve(tokens(60), tokens(60), noon(0));
    assert_eq!(account.check(noon(0)), Ok(()));
    let second = account.reserve(tokens(60), tokens(60), noon(0));
    let denied = Denied { why: Why::UnderWay, ..used_up(Limit::TokensPerDay, 100, 1) };
    assert_eq!(account.check(noon(0)), Err(denied));
    account.settle(&first, &tokens(5), noon(0));
    assert_eq!(account.standing(noon(0)).tokens.map(|left| left.remaining), Some(35));
    account.settle(&second, &tokens(60), noon(0));
    assert_eq!(account.standing(noon(0)).tokens.map(|left| left.remaining), Some(35));
}

#[test]
fn a_reply_that_goes_on_past_its_reservation_is_counted_at_once_and_ends_with_the_budget() {
    let mut account = account(None, None, Some(100));
    let mut held = account.reserve(tokens(50), tokens(50), noon(0));
    assert!(account.extend(&mut held, &tokens(50), tokens(30), noon(0)));
    assert_eq!(account.standing(noon(0)).tokens.map(|left| left.remaining), Some(20));
    assert!(account.extend(&mut held, &tokens(40), tokens(30), noon(0)), "while any is left");
    assert!(!account.extend(&mut held, &tokens(30), tokens(30), noon(0)));
    assert_eq!(held.amount, Amount::default());
    assert_eq!(account.check(noon(0)), Err(used_up(Limit::TokensPerDay, 100, 43_200)));
}

#[test]
fn what_was_reserved_before_midnight_is_of_the_day_before() {
    let mut account = account(None, None, Some(100));
    let (held, mut long) = (account.reserve(tokens(50), tokens(50), noon(0)), account.reserve(tokens(40), tokens(40), noon(0)));
    account.settle(&held, &tokens(70), noon(43_200));
    assert_eq!(account.standing(noon(43_200)).tokens.map(|left| left.remaining), Some(80), "but for what it used beyond that");
    assert!(account.extend(&mut long, &tokens(40), tokens(30), noon(43_201)));
    assert_eq!(account.standing(noon(43_201)).tokens.map(|left| left.remaining), Some(50));
    account.settle(&long, &tokens(10), noon(43_202));
    assert_eq!(account.standing(noon(43_202)).tokens.map(|left| left.remaining), Some(70));
}

#[test]
fn a_refusal_by_tokens_costs_no_request() {
    let mut account = account(Some(2), Some(60), None);
    charge(&mut account, 60, noon(0));
    for _ in 0..5 {
        assert_eq!(account.admit(noon(0)).unwrap_err().limit, Limit::TokensPerMinute);
    }
    assert_eq!(account.standing(noon(0)).requests.map(|left| left.remaining), Some(2));
}

#[test]
fn of_two_token_limits_the_one_with_fewer_left_is_reported() {
    let mut account = account(None, Some(100), Some(150));
    charge(&mut account, 90, noon(0));
    assert_eq!(account.standing(noon(0)).tokens.map(|left| (left.limit, left.remaining)), Some((100, 10)));
    charge(&mut account, 50, noon(60));
    assert_eq!(account.standing(noon(60)).tokens.map(|left| (left.limit, left.remaining)), Some((150, 10)));
}

#[test]
fn without_limits_everything_comes_in_and_nothing_is_reported() {
    let mut account = account(None, None, None);
    charge(&mut account, u64::MAX, noon(0));
    let held = account.reserve(tokens(u64::MAX), tokens(u64::MAX), noon(0));
    account.settle(&held, &tokens(u64::MAX), noon(0));
    assert_eq!((account.admit(noon(0)), account.standing(noon(0))), (Ok(()), Standing::default()));
    assert!(!account.wants_cover() && account.covers(&tokens(u64::MAX)));
}

#[test]
fn what_fits_is_what_is_left_of_each_budget_and_a_minutes_worth_of_the_rate() {
    let price = Some(crate::ledger::Price { input: 1_000_000, cached_input: 0, output: 3_000_000 });
    let want = |price| Want { price, prompt: 10, completion: 1_000_000 };
    let fits = |minute, day, dollars, price| {
        let allowance = Allowance { tokens_per_minute: minute, tokens_per_day: day, usd_per_day: dollars, ..Allowance::default() };
        of(allowance).fits(&want(price), noon(0))
    };
    assert_eq!(
        (fits(None, None, None, price), fits(Some(300), None, None, price), fits(None, Some(200), None, price)),
        (u64::MAX, 290, 190)
    );
    assert_eq!((fits(None, Some(10), None, price), fits(Some(9), None, None, price)), (0, 0));
    // A hundred for three each: rounded up, so that nothing is left.
    assert_eq!((fits(None, None, Some(110), price), fits(Some(300), Some(200), Some(110), price)), (34, 34));
    assert_eq!(fits(None, None, Some(110), None), u64::MAX, "what costs nothing uses up no dollars");
    let mut account = account(None, Some(300), Some(200));
    account.reserve(tokens(150), tokens(150), noon(0));
    assert_eq!(account.fits(&want(price), noon(0)), 40);
}

#[test]
fn what_is_lost_costs_budgets_all_that_it_may_have_used_and_the_rate_what_was_granted() {
    let mut account = account(None, Some(100), Some(1_000));
    let held = account.reserve(tokens(600), tokens(40), noon(0));
    assert_eq!(account.standing(noon(0)).tokens.map(|left| (left.limit, left.remaining)), Some((100, 60)));
    account.lose(&held, &tokens(50), noon(0));
    assert_eq!(account.standing(noon(0)).tokens.map(|left| (left.limit, left.remaining)), Some((100, 50)));
    assert_eq!(account.standing(noon(60)).tokens.map(|left| (left.limit, left.remaining)), Some((100, 100)));
    charge(&mut account, 390, noon(60));
    assert_eq!(account.admit(noon(3_600)).unwrap_err().limit, Limit::TokensPerDay, "610 and 390");
}

#[test]
fn the_mean_follows_what_completions_are_like_of_late() {
    let mut account = account(None, None, None);
    assert_eq!(account.mean_completion(), 0);
    account.learn(800);
    assert_eq!(account.mean_completion(), 800);
    account.learn(0);
    assert_eq!(account.mean_completion(), 700);
    (0..100).for_each(|_| account.learn(2_000));
    assert!((1_990..=2_000).contains(&account.mean_completion()), "{}", account.mean_completion());
}
