//! What is reserved, settled and written down in advance, with a store that works, one that fails and one that does not answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;

use tokio::time::Instant;

use super::*;
use crate::ledger::reservation::{Ask, Reservation};

fn asking(completion: Option<u64>) -> Ask<'static> {
    Ask { caller: Some("a"), end_user: None, provider: "openai", model: "m", prompt: 10, completion, choices: 1 }
}

pub(super) fn daily(tokens: u64) -> Config {
    allowing("a", Allowance { tokens_per_day: Some(tokens), ..Allowance::default() })
}

pub(super) async fn reserved(ledger: &Arc<Ledger>, completion: u64) -> Reservation {
    ledger.reserve(&asking(Some(completion))).await.expect("it fits").expect("the key has limits")
}

pub(super) fn left(ledger: &Ledger) -> u64 {
    ledger.standing("a", None).and_then(|standing| standing.tokens).expect("a limit").remaining
}

#[tokio::test]
async fn a_reservation_is_given_back_once_whatever_happens() {
    let house = House::new(daily(1_000)).await;
    let settled = reserved(&house.ledger, 90).await;
    assert_eq!(left(&house.ledger), 900);
    settled.settle(&reply(Some("a"), "m", 10, 10));
    assert_eq!(left(&house.ledger), 980);
    reserved(&house.ledger, 90).await.release();
    assert_eq!(left(&house.ledger), 980);
    drop(reserved(&house.ledger, 90).await);
    assert_eq!(left(&house.ledger), 880, "nobody said what it used");
    let panics = reserved(&house.ledger, 70).await;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = panics;
        panic!("in the middle of a reply");
    }));
    assert!(panicked.is_err());
    assert_eq!(left(&house.ledger), 800);
    assert_eq!(names(&house.today().await), ["support/a/openai/m 1"]);
}

#[tokio::test]
async fn who_has_no_limits_reserves_nothing() {
    let house = House::new(daily(1_000)).await;
    for caller in [None, Some("b")] {
        assert!(house.ledger.reserve(&Ask { caller, ..asking(None) }).await.expect("no limit").is_none());
    }
}

#[tokio::test]
async fn a_completion_without_a_limit_is_expected_to_be_as_those_before_it() {
    let limits = Limits { completion_tokens: 50, ..Limits::default() };
    let house = House::new(Config { limits, ..daily(1_000_000) }).await;
    let expected = async |ask: Ask<'static>| {
        let reservation = house.ledger.reserve(&ask).await.expect("it fits").expect("the key has limits");
        let expected = reservation.expected();
        reservation.release();
        (expected.prompt, expected.completion)
    };
    assert_eq!(expected(asking(None)).await, (10, 50), "at least `completion_tokens`");
    reserved(&house.ledger, 4_000).await.settle(&reply(Some("a"), "m", 10, 3_000));
    assert_eq!(expected(Ask { choices: 3, ..asking(None) }).await, (10, 9_000));
    reserved(&house.ledger, 90).await.settle(&Entry { estimated: true, ..reply(Some("a"), "m", 10, 90) });
    assert_eq!(expected(asking(None)).await, (10, 3_000), "a guess teaches nothing");
    assert_eq!(expected(Ask { choices: 2, ..asking(Some(7)) }).await, (10, 14));
    for most in [128_000, 128_001, u64::MAX] {
        assert_eq!(expected(asking(Some(most))).await, (10, 128_000), "no more than `reservation_tokens`");
        assert_eq!(expected(Ask { choices: most, ..asking(None) }).await, (10, 128_000), "nor by the number of choices");
    }
    assert_eq!(expected(asking(Some(127_999))).await, (10, 127_999));
}

#[tokio::test]
async fn a_reply_past_what_was_expected_reserves_more_and_ends_with_the_budget() {
    let limits = Limits { completion_tokens: 100, ..Limits::default() };
    let house = House::new(Config { limits, ..daily(600) }).await;
    let mut reservation = house.ledger.reserve(&asking(None)).await.expect("it fits").expect("the key has limits");
    assert!(reservation.extend(100));
    assert_eq!(left(&house.ledger), 490);
    assert!(reservation.extend(101));
    assert_eq!(left(&house.ledger), 489 - 256);
    assert!(reservation.extend(357) && !reservation.extend(613));
    reservation.settle(&reply(Some("a"), "m", 10, 650));
    let refused = house.ledger.reserve(&asking(None)).await.err().expect("it is used up");
    assert_eq!((refused.limit, &refused.why, refused.remedy()), (Limit::TokensPerDay, &Why::UsedUp, Remedy::Later));
    house.wait(3_600);
    let mut bounded = reserved(&house.ledger, 100).await;
    assert!(bounded.extend(456), "a count from bytes is not exact, and the provider was told the limit");
    assert_eq!(left(&house.ledger), 490);
    assert!(bounded.extend(457), "it does not keep it");
    assert_eq!(left(&house.ledger), 0);
}

/// A key with a million tokens a day, a million a minute and ten dollars, whose end users have one limit.
fn shared_by_end_users(each: Allowance) -> Config {
    let price = Price { input: 1_000_000, cached_input: 0, output: 10_000_000 };
    let million = Some(1_000_000);
    let key = Allowance { tokens_per_day: million, tokens_per_minute: million, usd_per_month: Some(10_000_000), ..Allowance::default() };
    let end_users = Some(EndUserLimits { allowance: each, tracked: 100 });
    Config { end_users, prices: [("m".into(), price)].into(), ..allowing("a", key) }
}

async fn reserved_by(ledger: &Arc<Ledger>, end_user: &str, completion: Option<u64>, choices: u64) -> Result<Reservation, Why> {
    let end_user = Arc::from(end_user);
    let ask = Ask { end_user: Some(&end_user), completion, choices, ..asking(None) };
    let reserved = ledger.reserve(&ask).await.map_err(|refused| refused.why)?;
    Ok(reserved.expect("it has limits"))
}

#[tokio::test]
async fn whatever_an_end_user_asks_for_before_it_leaves_the_key_pays_what_that_one_had_left() {
    let none = Allowance::default();
    for each in [
        Allowance { tokens_per_day: Some(2_000), ..none },
        Allowance { tokens_per_minute: Some(2_000), ..none },
        // Ten for the prompt's tokens, and ten for each other one.
        Allowance { usd_per_day: Some(19_910), ..none },
        Allowance { usd_per_month: Some(19_910), ..none },
    ] {
        let house = House::new(shared_by_end_users(each)).await;
        for (n, (completion, choices)) in
            [(Some(10_000_000), 1), (Some(1), u64::MAX), (None, 1_000_000), (Some(2_000), 1), (Some(100_000), 7)].into_iter().enumerate()
        {
            let before = left(&house.ledger);
            let evil = reserved_by(&house.ledger, &format!("evil{n}"), completion, choices).await.expect("something is left");
            assert_eq!(before - left(&house.ledger), 2_000, "{each:?}, {completion:?} times {choices}, under way");
            drop(evil);
            assert_eq!(before - left(&house.ledger), 2_000, "{each:?}, {completion:?} times {choices}, left");
            let again = reserved_by(&house.ledger, &format!("evil{n}"), Some(1), 1).await;
            assert_eq!(again.err(), Some(Why::UsedUp), "its own limit is used up");
        }
        assert!(reserved_by(&house.ledger, "honest", Some(1_000), 1).await.is_ok());
    }
}

#[tokio::test]
async fn end_users_that_leave_over_and_over_cost_their_key_no_more_than_all_their_limits() {
    let house = House::new(shared_by_end_users(Allowance { tokens_per_day: Some(2_000), ..Allowance::default() })).await;
    let mut running = Vec::new();
    for round in 0_u64..40 {
        for user in 0..10 {
            running
                .extend(reserved_by(&house.ledger, &format!("u{user}"), Some(1 + (round * 7 + user * 13) % 900), 1 + round % 9).await.ok());
        }
        // Some of those before go on.
        while running.len() > 5 {
            drop(running.swap_remove((round as usize * 3) % running.len()));
        }
    }
    drop(running);
    assert_eq!(left(&house.ledger), 1_000_000 - 10 * 2_000);
}

#[tokio::test]
async fn a_stream_whose_limit_was_cut_goes_on_to_the_end_of_the_end_users_budget_and_a_whole_reply_is_charged_as_counted() {
    let house = House::new(shared_by_end_users(Allowance { tokens_per_day: Some(2_000), ..Allowance::default() })).await;
    let mut stream = reserved_by(&house.ledger, "x", Some(5_000), 1).await.expect("something is left");
    assert_eq!(stream.expected().completion, 1_990);
    assert!(stream.extend(1_990) && !stream.extend(1_991));
    drop(stream);
    assert_eq!(left(&house.ledger), 1_000_000 - 2_001);
    let whole = reserved_by(&house.ledger, "y", Some(5_000), 1).await.expect("something is left");
    assert_eq!(
        reserved_by(&house.ledger, "y", Some(1), 1).await.err(),
        Some(Why::UnderWay),
        "all that it may use is kept by its own limit"
    );
    whole.settle(&reply(Some("a"), "m", 10, 4_990));
    assert_eq!(left(&house.ledger), 1_000_000 - 2_001 - 5_000, "the key pays what was used");
}

#[tokio::test]
async fn a_request_that_is_left_takes_no_more_than_a_minute_of_a_rate_in_advance() {
    let house = House::new(allowing("a", Allowance { tokens_per_minute: Some(1_000), ..Allowance::default() })).await;
    drop(reserved(&house.ledger, 10_000_000).await);
    let refused = house.ledger.admit("a").unwrap_err();
    assert_eq!((refused.limit, refused.retry_after), (Limit::TokensPerMinute, Duration::from_millis(60)));
    house.wait(1);
    drop(reserved(&house.ledger, 10_000_000).await);
    assert_eq!(house.ledger.admit("a").unwrap_err().retry_after.as_secs(), 59, "not an hour");
}

#[tokio::test]
async fn what_is_under_way_when_the_process_is_killed_is_used_after_it() {
    let house = House::new(daily(1_000)).await;
    let held = reserved(&house.ledger, 790).await;
    let house = house.restarted(daily(1_000)).await;
    let part = 1_000 / 16;
    assert!((200 - part..=200).contains(&left(&house.ledger)), "{}", left(&house.ledger));
    drop(held);
    house.ledger.close().await.unwrap();
    let before = left(&house.ledger);
    let house = house.restarted(daily(1_000)).await;
    assert_eq!(left(&house.ledger), before, "a server that stops writes down what is used and no more");
    house.wait(3_600);
    let house = house.restarted(daily(1_000)).await;
    assert_eq!(left(&house.ledger), 1_000, "yesterday does not count");
}

#[tokio::test]
async fn dollars_are_reserved_at_the_price_and_refused_without_one() {
    let price = Price { input: 1_000_000, cached_input: 0, output: 10_000_000 };
    let allowance = Allowance { usd_per_month: Some(10_000), ..Allowance::default() };
    let config = || Config { prices: [("m".into(), price)].into(), ..allowing("a", allowance) };
    let house = House::new(config()).await;
    let refused = house.ledger.reserve(&Ask { model: "n", ..asking(Some(1)) }).await.err().expect("no price");
    assert_eq!((refused.remedy(), refused.why), (Remedy::OtherModel, Why::NoPrice { model: "openai/n".into() }));
    // A cent: a thousand tokens at ten millionths each.
    let first = reserved(&house.ledger, 600).await;
    let second = reserved(&house.ledger, 600).await;
    let refused = house.ledger.reserve(&asking(Some(1))).await.err().expect("all is reserved");
    assert_eq!((refused.limit, &refused.why, refused.remedy()), (Limit::UsdPerMonth, &Why::UnderWay, Remedy::Wait));
    first.settle(&reply(Some("a"), "m", 10, 500));
    second.settle(&reply(Some("a"), "m", 10, 498));
    house.ledger.close().await.unwrap();
    let house = house.restarted(config()).await;
    // 9,980 millionths and 20 for the prompts.
    let refused = house.ledger.admit("a").unwrap_err();
    assert_eq!(
        (refused.limit, refused.allowed, refused.retry_after),
        (Limit::UsdPerMonth, 10_000, Duration::from_secs(9 * 86_400 + 3_600))
    );
}

fn with_end_users(tracked: usize) -> Config {
    let allowance = Allowance { tokens_per_day: Some(100), ..Allowance::default() };
    let end_users = Some(EndUserLimits { allowance, tracked });
    Config { end_users, ..allowing("a", Allowance::default()) }
}

async fn uses(ledger: &Arc<Ledger>, end_user: &str) -> Result<(), Limit> {
    let end_user = Arc::from(end_user);
    let ask = Ask { end_user: Some(&end_user), ..asking(Some(200)) };
    ledger.admit_end_user("a", &end_user).map_err(|refused| refused.limit)?;
    let reservation = ledger.reserve(&ask).await.map_err(|refused| refused.limit)?;
    reservation.expect("it has limits").settle(&reply(Some("a"), "m", 10, 100));
    Ok(())
}

#[tokio::test]
async fn end_users_are_remembered_and_those_that_were_let_go_are_not() {
    let house = House::new(with_end_users(2)).await;
    for end_user in ["x", "y", "z"] {
        assert_eq!(uses(&house.ledger, end_user).await, Ok(()));
    }
    assert_eq!(uses(&house.ledger, "z").await, Err(Limit::TokensPerDay));
    house.ledger.close().await.unwrap();
    let accounts: Vec<_> = house.ledger.books.store.budgets().await.unwrap().into_iter().map(|row| row.account).collect();
    assert_eq!(accounts, ["user/a/y", "user/a/z"]);
    let house = house.restarted(with_end_users(2)).await;
    assert_eq!((uses(&house.ledger, "y").await, uses(&house.ledger, "x").await), (Err(Limit::TokensPerDay), Ok(())));
    house.wait(3_600);
    assert_eq!(uses(&house.ledger, "y").await, Ok(()));
}

#[tokio::test]
async fn a_store_that_cannot_write_lets_requests_go_on_within_their_budget() {
    let house = House::new(daily(1_000)).await;
    let database = rusqlite::Connection::open(house.database()).unwrap();
    database.execute_batch("ALTER TABLE budgets RENAME TO elsewhere").unwrap();
    let held = reserved(&house.ledger, 990).await;
    assert_eq!(house.ledger.reserve(&asking(Some(1))).await.err().expect("all is reserved").why, Why::UnderWay);
    assert!(house.ledger.flush().await.is_err());
    database.execute_batch("ALTER TABLE elsewhere RENAME TO budgets").unwrap();
    house.ledger.flush().await.unwrap();
    let house = house.restarted(daily(1_000)).await;
    assert_eq!(left(&house.ledger), 0, "what could not be written was kept");
    drop(held);
}

/// Keeps budgets in memory, counts the writes, and after the first one does not answer unless it is told to.
struct Silent {
    writes: AtomicUsize,
    answers: bool,
}

impl UsageStore for Silent {
    fn add<'a>(&'a self, _: &'a [UseRow]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn read(&self, _: Day, _: Day, _: Option<Group>, _: usize) -> BoxFuture<'_, Result<Vec<UseRow>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn forget_before(&self, _: Day) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn put_budgets<'a>(&'a self, _: &'a [BudgetRow], _: &'a [String]) -> BoxFuture<'a, Result<(), StoreError>> {
        let first = self.writes.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move { if first || self.answers { Ok(()) } else { std::future::pending().await } })
    }

    fn budgets(&self) -> BoxFuture<'_, Result<Vec<BudgetRow>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn forget_budgets_before(&self, _: Day) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

async fn over(store: &Arc<Silent>, config: Config) -> Arc<Ledger> {
    let clock: Clock = Arc::new(|| Moment { steady: Duration::from_secs(1), unix: Duration::from_secs(20_778 * 86_400) });
    let store = Arc::clone(store) as Arc<dyn UsageStore>;
    Arc::new(Ledger::open(store, config, clock, Metrics::new()).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_waited_for_as_long_as_the_limit_says_and_once() {
    for wait in [Duration::ZERO, Duration::from_millis(1_500)] {
        let store = Arc::new(Silent { writes: AtomicUsize::new(0), answers: false });
        let limits = Limits { budget_wait: wait, ..Limits::default() };
        let ledger = over(&store, Config { limits, ..daily(100_000) }).await;
        let begun = Instant::now();
        let _small = reserved(&ledger, 500).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "the first part is written down");
        let _large = reserved(&ledger, 50_000).await;
        assert!((wait..wait + Duration::from_millis(2)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        let waited = begun.elapsed();
        let _again = reserved(&ledger, 10_000).await;
        assert_eq!(begun.elapsed(), waited, "nobody waits again while nothing is written");
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_used_up_with_few_writes_that_no_request_waits_for() {
    let store = Arc::new(Silent { writes: AtomicUsize::new(0), answers: true });
    let ledger = over(&store, daily(1_600_000)).await;
    let mut asked_in_time = 0;
    for _ in 0..16_000 {
        // Ready at once, or it would have to wait for the store.
        let reservation = ledger.reserve(&asking(Some(90))).now_or_never().expect("it is written down already").expect("it fits");
        reservation.expect("the key has limits").settle(&reply(Some("a"), "m", 10, 90));
        asked_in_time += 1;
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(asked_in_time, 16_000);
    assert!(ledger.admit("a").is_err());
    let writes = store.writes.load(Ordering::SeqCst);
    assert!((16..=40).contains(&writes), "{writes} writes of 16 parts");
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_stuck_reservations_leave_one_task_behind_and_no_more() {
    let store = Arc::new(Silent { writes: AtomicUsize::new(0), answers: false });
    let ledger = over(&store, daily(160_000)).await;
    // More than half of the first part, so that each of those after it finds that little is written down.
    let _held = reserved(&ledger, 6_000).await;
    tokio::task::yield_now().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    assert_eq!((before, store.writes.load(Ordering::SeqCst)), (1, 2), "it writes, and nobody answers");
    for _ in 0..100 {
        reserved(&ledger, 1).await.release();
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn once_the_store_has_written_it_writes_the_next_part_ahead_too() {
    let store = Arc::new(Silent { writes: AtomicUsize::new(0), answers: true });
    let ledger = over(&store, daily(160_000)).await;
    let mut held = Vec::new();
    for writes in 2..8 {
        held.push(reserved(&ledger, 6_000).await);
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(store.writes.load(Ordering::SeqCst), writes);
    }
}
