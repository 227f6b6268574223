//! The room as a whole: a real file, a clock that the test moves, metrics that are read as they are shown.

mod handover;
mod renewal;
mod reservations;

use std::path::{Path, PathBuf};

use futures_util::FutureExt;

use super::clock::Moment;
use super::flusher::Flusher;
use super::*;
use crate::chat::Usage;
use crate::chat::usage::TOKENS_MAX;

/// A ledger in a folder of its own, and its time.
struct House {
    folder: tempfile::TempDir,
    now: Arc<Mutex<Moment>>,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
}

impl House {
    async fn new(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // An hour before midnight.
        let now = Moment { steady: Duration::from_secs(100), unix: Duration::from_secs(20_778 * 86_400 + 82_800) };
        let (now, metrics) = (Arc::new(Mutex::new(now)), Metrics::new());
        let ledger = opened(&folder.path().join("cofferdam.db"), config, &now, &metrics).await;
        Self { folder, now, metrics, ledger }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("cofferdam.db")
    }

    /// As a restart after a kill: what was not written is lost.
    async fn restarted(self, config: Config) -> Self {
        let ledger = opened(&self.database(), config, &self.now, &self.metrics).await;
        Self { ledger, ..self }
    }

    fn wait(&self, seconds: u64) {
        let mut now = lock(&self.now);
        now.steady += Duration::from_secs(seconds);
        now.unix += Duration::from_secs(seconds);
    }

    async fn today(&self) -> Vec<UseRow> {
        let today = self.ledger.today();
        self.ledger.report(today, today, None).await.unwrap()
    }
}

async fn opened(database: &Path, config: Config, now: &Arc<Mutex<Moment>>, metrics: &Arc<Metrics>) -> Arc<Ledger> {
    let (now, store) = (Arc::clone(now), crate::storage::sqlite::open(database).unwrap().usage);
    Arc::new(Ledger::open(store, config, Arc::new(move || *lock(&now)), metrics.clone()).await.unwrap())
}

fn allowing(caller: &str, allowance: Allowance) -> Config {
    Config { allowances: [(caller.into(), allowance)].into(), ..Config::default() }
}

fn limited(limits: Limits) -> Config {
    Config { limits, ..Config::default() }
}

fn reply(caller: Option<&'static str>, model: &'static str, prompt: u64, completion: u64) -> Entry<'static> {
    let usage = Usage { prompt, completion, ..Usage::default() };
    Entry { pipeline: "support", caller, provider: "openai", model, usage, estimated: false }
}

fn names(rows: &[UseRow]) -> Vec<String> {
    rows.iter().map(|row| format!("{}/{}/{}/{} {}", row.pipeline, row.caller, row.provider, row.model, row.sums.replies)).collect()
}

#[tokio::test]
async fn a_report_holds_what_is_not_written_down_yet() {
    let house = House::new(Config::default()).await;
    house.ledger.used(&reply(Some("a"), "m", 10, 5));
    house.ledger.flush().await.unwrap();
    house.ledger.used(&reply(Some("a"), "m", 100, 50));
    house.ledger.used(&reply(None, "m", 1, 1));
    let rows = house.today().await;
    assert_eq!(names(&rows), ["support//openai/m 1", "support/a/openai/m 2"]);
    assert_eq!((rows[1].day.to_string().as_str(), rows[1].sums.prompt, rows[1].sums.completion), ("2026-11-21", 110, 55));
    let text = house.metrics.render();
    let line = r#"cofferdam_tokens_total{pipeline="support",caller="a",provider="openai",model="m",type="prompt"} 110"#;
    assert!(text.lines().any(|l| l == line), "{text}");
}

#[tokio::test]
async fn a_killed_process_loses_only_what_was_not_written_down() {
    let house = House::new(Config::default()).await;
    house.ledger.used(&reply(Some("a"), "m", 10, 5));
    house.ledger.flush().await.unwrap();
    house.ledger.used(&reply(Some("a"), "m", 100, 50));
    let house = house.restarted(Config::default()).await;
    assert_eq!(house.today().await[0].sums.prompt, 10);
}

#[tokio::test]
async fn what_cannot_be_written_is_kept_for_the_next_time() {
    let house = House::new(Config::default()).await;
    let database = rusqlite::Connection::open(house.database()).unwrap();
    database.execute_batch("ALTER TABLE use_by_day RENAME TO elsewhere").unwrap();
    house.ledger.used(&reply(Some("a"), "m", 10, 5));
    assert!(matches!(house.ledger.flush().await, Err(Error::Store(why)) if why.contains("use_by_day")));
    house.ledger.used(&reply(Some("a"), "m", 1, 1));
    assert!(house.ledger.report(house.ledger.today(), house.ledger.today(), None).await.is_err());
    database.execute_batch("ALTER TABLE elsewhere RENAME TO use_by_day").unwrap();
    assert_eq!((house.today().await[0].sums.replies, house.today().await[0].sums.prompt), (2, 11));
}

#[tokio::test]
async fn the_day_s_budget_survives_a_restart_and_is_renewed_at_midnight() {
    let allowance = || allowing("a", Allowance { tokens_per_day: Some(100), ..Allowance::default() });
    let house = House::new(allowance()).await;
    house.ledger.used(&reply(Some("a"), "m", 60, 39));
    house.ledger.used(&reply(Some("b"), "m", 1_000, 0));
    assert_eq!(house.ledger.admit("a"), Ok(()), "one token is left");
    house.ledger.used(&reply(Some("a"), "n", 1, 0));
    house.ledger.flush().await.unwrap();
    let house = house.restarted(allowance()).await;
    let refused = house.ledger.admit("a").unwrap_err();
    assert_eq!((refused.limit, refused.allowed, refused.retry_after), (Limit::TokensPerDay, 100, Duration::from_secs(3_600)));
    assert_eq!(house.ledger.admit("b"), Ok(()), "who has no limits is never refused");
    let line = r#"cofferdam_rate_limited_total{caller="a",limit="tokens_per_day"} 1"#;
    assert!(house.metrics.render().lines().any(|l| l == line));
    house.wait(3_599);
    assert!(house.ledger.admit("a").is_err());
    house.wait(1);
    assert_eq!(house.ledger.admit("a"), Ok(()));
    let house = house.restarted(allowance()).await;
    assert_eq!(house.ledger.admit("a"), Ok(()), "yesterday's tokens do not count");
}

#[tokio::test]
async fn a_budget_is_read_back_also_from_what_was_counted_under_other() {
    let config = || Config {
        limits: Limits { rows: 1, ..Limits::default() },
        ..allowing("a", Allowance { tokens_per_day: Some(30), ..Allowance::default() })
    };
    let house = House::new(config()).await;
    for model in ["m", "n", "o"] {
        house.ledger.used(&reply(Some("a"), model, 5, 5));
    }
    assert_eq!(names(&house.today().await), ["other/a/other/other 2", "support/a/openai/m 1"]);
    let house = house.restarted(config()).await;
    assert!(house.ledger.admit("a").is_err());
    house.ledger.used(&reply(Some("a"), "n", 5, 5));
    assert_eq!(names(&house.today().await), ["other/a/other/other 3", "support/a/openai/m 1"], "lines of before the restart count");
}

#[tokio::test]
async fn requests_and_tokens_of_the_minute_are_kept_apart() {
    let allowance = Allowance { requests_per_minute: Some(2), tokens_per_minute: Some(600), ..Allowance::default() };
    let house = House::new(allowing("a", allowance)).await;
    assert_eq!((house.ledger.admit("a"), house.ledger.admit("a")), (Ok(()), Ok(())));
    let refused = house.ledger.admit("a").unwrap_err();
    assert_eq!((refused.limit, refused.retry_after), (Limit::RequestsPerMinute, Duration::from_secs(30)));
    house.ledger.used(&reply(Some("a"), "m", 600, 5));
    let refused = house.ledger.admit("a").unwrap_err();
    assert_eq!((refused.limit, refused.retry_after), (Limit::TokensPerMinute, Duration::from_millis(600)));
    house.wait(30);
    assert_eq!(house.ledger.admit("a"), Ok(()));
    let tokens = house.ledger.standing("a", None).and_then(|standing| standing.tokens);
    assert_eq!(tokens.map(|left| (left.limit, left.remaining)), Some((600, 295)));
    assert_eq!((house.ledger.standing("b", None), house.ledger.admit("b")), (None, Ok(())));
}

#[tokio::test]
async fn requests_that_come_at_once_are_let_in_to_the_limit_exactly() {
    let house = House::new(allowing("a", Allowance { requests_per_minute: Some(100), ..Allowance::default() })).await;
    let came_in = || (0..50).filter(|_| house.ledger.admit("a").is_ok()).count();
    let all: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(came_in)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(all, 100);
    let line = r#"cofferdam_rate_limited_total{caller="a",limit="requests_per_minute"} 100"#;
    assert!(house.metrics.render().lines().any(|l| l == line));
}

#[tokio::test]
async fn a_report_is_limited_at_its_edge() {
    let house = House::new(limited(Limits { report_rows: 2, ..Limits::default() })).await;
    house.ledger.used(&reply(Some("a"), "m", 1, 1));
    house.ledger.used(&reply(Some("a"), "n", 1, 1));
    assert_eq!(house.today().await.len(), 2);
    house.ledger.used(&reply(Some("a"), "o", 1, 1));
    let today = house.ledger.today();
    assert!(matches!(house.ledger.report(today, today, None).await, Err(Error::TooMany { limit: 2 })));
    let rows = house.ledger.report(today, today, Some(Group::Caller)).await.unwrap();
    assert_eq!((names(&rows), rows[0].sums.prompt), (vec!["/a// 3".to_owned()], 3));
}

#[tokio::test]
async fn so_many_days_are_kept_and_the_one_before_is_not() {
    let house = House::new(limited(Limits { days: 2, ..Limits::default() })).await;
    for _ in 0..3 {
        house.ledger.used(&reply(None, "m", 1, 1));
        house.ledger.flush().await.unwrap();
        house.wait(86_400);
    }
    let (first, last) = (house.ledger.today().back(9), house.ledger.today().back(1));
    let days = house.ledger.books.store.read(first, last, None, 9).await.unwrap();
    assert_eq!(days.iter().map(|row| row.day.to_string()).collect::<Vec<_>>(), ["2026-11-22", "2026-11-23"]);
    let rows = house.ledger.report(first, last, None).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.day.to_string()).collect::<Vec<_>>(), ["2026-11-23"], "on a new day one more is forgotten");
}

#[tokio::test]
async fn a_count_that_nobody_can_have_used_is_not_believed() {
    let house = House::new(allowing("a", Allowance { tokens_per_minute: Some(1_000_000_000), ..Allowance::default() })).await;
    house.ledger.used(&reply(Some("a"), "m", TOKENS_MAX, 0));
    house.ledger.used(&reply(Some("a"), "m", u64::MAX, u64::MAX));
    let sums = house.today().await[0].sums;
    assert_eq!((sums.prompt, sums.completion), (2 * TOKENS_MAX, TOKENS_MAX));
    assert_eq!(house.ledger.admit("a").unwrap_err().retry_after, Duration::from_nanos(120_000_000_060));
}

#[tokio::test]
async fn costs_are_added_up_to_the_millionth_and_say_of_how_many_replies() {
    let price = Price { input: 150_000, cached_input: 75_000, output: 600_000 };
    let house = House::new(Config { prices: [("openai/m".into(), price)].into(), ..Config::default() }).await;
    // 0.15 + 0.6 millionths each: three quarters, which no single reply rounds.
    for _ in 0..4 {
        house.ledger.used(&reply(None, "m", 1, 1));
        house.ledger.flush().await.unwrap();
    }
    house.ledger.used(&Entry { provider: "elsewhere", ..reply(None, "m", 1, 1) });
    let rows = house.today().await;
    assert_eq!((rows[0].provider.as_str(), rows[0].sums.priced, rows[0].sums.cost), ("elsewhere", 0, 0));
    assert_eq!((rows[1].sums.replies, rows[1].sums.priced, rows[1].sums.cost), (4, 4, 3));
}

#[tokio::test]
async fn threads_lose_no_token_while_others_write_them_down() {
    let house = House::new(Config::default()).await;
    let add = |ledger: Arc<Ledger>| move || (0..500).for_each(|_| ledger.used(&reply(Some("a"), "m", 3, 2)));
    let adding: Vec<_> = (0..4).map(|_| std::thread::spawn(add(house.ledger.clone()))).collect();
    while !adding.iter().all(std::thread::JoinHandle::is_finished) {
        house.ledger.flush().await.unwrap();
    }
    adding.into_iter().for_each(|thread| thread.join().unwrap());
    let sums = house.today().await[0].sums;
    assert_eq!((sums.replies, sums.prompt, sums.completion), (2_000, 6_000, 4_000));
}

#[tokio::test]
async fn what_was_used_is_written_every_period_and_at_the_end() {
    let house = House::new(Config::default()).await;
    let on_disk = async || {
        let today = house.ledger.today();
        house.ledger.books.store.read(today, today, None, 9).await.unwrap().first().map_or(0, |row| row.sums.replies)
    };
    let often = Flusher::start(house.ledger.clone(), Duration::from_millis(1));
    for replies in 1..3 {
        house.ledger.used(&reply(None, "m", 1, 1));
        let written = async {
            while on_disk().await < replies {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), written).await.expect("it is written");
    }
    drop(often);
    let never = Flusher::start(house.ledger.clone(), Duration::from_secs(3_600));
    house.ledger.used(&reply(None, "m", 1, 1));
    never.finish().await;
    assert_eq!(on_disk().await, 3);
    house.ledger.used(&reply(None, "m", 1, 1));
    drop(never);
    assert_eq!(on_disk().await, 4);
}

#[tokio::test]
async fn a_report_whose_client_goes_away_loses_no_row() {
    let house = House::new(Config::default()).await;
    let today = house.ledger.today();
    for _ in 0..20 {
        house.ledger.used(&reply(None, "m", 1, 1));
        // Begun, and dropped at its first wait.
        let report = house.ledger.report(today, today, None).now_or_never();
        assert!(report.is_none_or(|report| report.is_ok()));
    }
    assert_eq!(house.today().await[0].sums.replies, 20);
}

#[test]
fn a_flusher_that_outlives_its_runtime_still_writes_what_is_left() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (house, flusher) = first.block_on(async {
        let house = House::new(Config::default()).await;
        let flusher = Flusher::start(house.ledger.clone(), Duration::from_secs(3_600));
        (house, flusher)
    });
    drop(first);
    house.ledger.used(&reply(None, "m", 1, 1));
    drop(flusher);
    runtime().block_on(async {
        let house = house.restarted(Config::default()).await;
        assert_eq!(house.today().await[0].sums.replies, 1);
    });
}

/// A store whose reads wait to be let go, and how many wait.
#[derive(Default)]
struct Slow {
    reading: std::sync::atomic::AtomicUsize,
    /// The one read by which a ledger is opened is over.
    opened: std::sync::atomic::AtomicBool,
    go: tokio::sync::Notify,
}

impl UsageStore for Slow {
    fn add<'a>(&'a self, _: &'a [UseRow]) -> futures_util::future::BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn read(&self, _: Day, _: Day, group: Option<Group>, _: usize) -> futures_util::future::BoxFuture<'_, Result<Vec<UseRow>, StoreError>> {
        Box::pin(async move {
            if group.is_some() && self.opened.swap(true, std::sync::atomic::Ordering::SeqCst) {
                self.reading.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                self.go.notified().await;
            }
            Ok(Vec::new())
        })
    }

    fn forget_before(&self, _: Day) -> futures_util::future::BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn put_budgets<'a>(&'a self, _: &'a [BudgetRow], _: &'a [String]) -> futures_util::future::BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn budgets(&self) -> futures_util::future::BoxFuture<'_, Result<Vec<BudgetRow>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn forget_budgets_before(&self, _: Day) -> futures_util::future::BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_reports_are_made_at_once_even_if_their_callers_leave() {
    let store = Arc::new(Slow::default());
    let clock: Clock = Arc::new(|| Moment { steady: Duration::from_secs(1), unix: Duration::from_secs(20_778 * 86_400) });
    let ledger = Arc::new(Ledger::open(Arc::clone(&store) as Arc<dyn UsageStore>, Config::default(), clock, Metrics::new()).await.unwrap());
    let today = ledger.today();
    let report = || ledger.report(today, today, Some(Group::Caller));
    for _ in 0..10 {
        // The caller leaves: with the clock paused the limit passes once nothing else can go on.
        assert!(tokio::time::timeout(Duration::from_secs(1), report()).await.is_err());
    }
    assert_eq!(store.reading.load(std::sync::atomic::Ordering::SeqCst), REPORTS_MAX);
    let last = report();
    store.go.notify_waiters();
    let ((), rows) = tokio::join!(
        async {
            while store.reading.load(std::sync::atomic::Ordering::SeqCst) == REPORTS_MAX {
                tokio::task::yield_now().await;
            }
            store.go.notify_one();
        },
        last
    );
    assert_eq!(rows.unwrap(), Vec::new(), "one whose turn comes is made");
}
