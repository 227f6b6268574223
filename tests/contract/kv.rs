//! What every `KvStore` promises: no change is lost or done twice, buckets do not see each other, quotas hold, and what was durable is there
//! after a restart.

use std::sync::Arc;
use std::time::Duration;

use cofferdam::chat::Client;
use cofferdam::sandbox::kv::{Bucket, ENTRY_BYTES, KvError, KvLimits, KvStore, NUMBER_MAX, Quota, Write};
use cofferdam::storage::Stores;

use super::backends::{Backend, Time};

on_every_backend!(
    a_value_is_read_as_it_was_written_until_it_is_deleted,
    a_thousand_increments_from_32_tasks_lose_none,
    a_number_keeps_its_time_and_counts_from_0_when_it_is_over,
    what_is_no_number_or_would_be_too_large_is_not_added_to,
    a_key_is_gone_when_its_time_is_over,
    of_many_who_swap_the_same_version_one_wins,
    versions_differ_after_every_change,
    keys_come_in_the_order_of_their_bytes_after_the_last_and_by_prefix,
    plugins_and_callers_do_not_see_each_other,
    the_quota_of_bytes_holds_to_the_byte,
    the_quota_of_keys_holds_over_all_buckets_of_a_plugin,
    less_always_fits_even_if_the_quota_was_made_smaller,
    all_plugins_together_have_a_limit,
    tasks_that_write_at_once_do_not_pass_a_quota_together,
    what_was_written_is_there_after_a_restart_with_its_time,
    a_change_whose_caller_left_is_done_whole_or_not_at_all,
);

const MANY: Quota = Quota { bytes: 1 << 40, keys: 1 << 40 };
const DURABLE: Write = Write { ttl: None, relaxed: false, quota: MANY };
const RELAXED: Write = Write { relaxed: true, ..DURABLE };

async fn store(backend: &impl Backend) -> Arc<dyn KvStore> {
    backend.open().await.kv
}

fn own(plugin: &str) -> Bucket {
    Bucket::of_plugin(plugin.into())
}

fn ttl(seconds: u64, write: Write) -> Write {
    Write { ttl: Some(Duration::from_secs(seconds)), ..write }
}

async fn value(store: &Arc<dyn KvStore>, bucket: &Bucket, key: &str) -> Option<Vec<u8>> {
    store.get(bucket, key).await.unwrap().map(|entry| entry.value)
}

async fn version(store: &Arc<dyn KvStore>, key: &str) -> Option<String> {
    store.get(&own("p"), key).await.unwrap().map(|entry| entry.version)
}

async fn a_value_is_read_as_it_was_written_until_it_is_deleted(backend: impl Backend) {
    let (store, p) = (store(&backend).await, own("p"));
    for write in [DURABLE, RELAXED] {
        for key in ["a", "é\u{1f600}", "a\0b", "'; DROP TABLE kv; --", "%_", &"k".repeat(4_096)] {
            assert_eq!(value(&store, &p, key).await, None);
            for bytes in [vec![], vec![0, 0xff, b'\n'], vec![7; 1 << 20]] {
                store.set(&p, key, bytes.clone(), write).await.unwrap();
                assert_eq!(value(&store, &p, key).await, Some(bytes));
            }
            assert!(store.delete(&p, key).await.unwrap());
            assert!(!store.delete(&p, key).await.unwrap());
            assert_eq!(value(&store, &p, key).await, None);
        }
    }
}

async fn a_thousand_increments_from_32_tasks_lose_none(backend: impl Backend) {
    let store = store(&backend).await;
    for (key, write) in [("relaxed", RELAXED), ("durable", DURABLE)] {
        let count = |n: usize| 1_000 / 32 + usize::from(n < 1_000 % 32);
        let tasks = (0..32).map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut sums = Vec::new();
                for _ in 0..count(n) {
                    sums.push(store.increment(&own("p"), key, 1, write).await.unwrap());
                }
                sums
            })
        });
        let mut sums = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            sums.extend(task.await.unwrap());
        }
        sums.sort_unstable();
        assert_eq!(sums, (1..=1_000).collect::<Vec<_>>(), "{key}");
        assert_eq!(value(&store, &own("p"), key).await, Some(b"1000".to_vec()));
    }
}

async fn a_number_keeps_its_time_and_counts_from_0_when_it_is_over(backend: impl Backend) {
    let time = Time::default();
    let (store, p) = (backend.open_with(KvLimits::default(), time.clock()).await.kv, own("p"));
    assert_eq!(store.increment(&p, "n", 5, ttl(10, RELAXED)).await, Ok(5));
    time.pass(9);
    assert_eq!(store.increment(&p, "n", 1, ttl(10, RELAXED)).await, Ok(6));
    time.pass(1);
    assert_eq!(value(&store, &p, "n").await, None);
    assert_eq!(store.increment(&p, "n", -2, RELAXED).await, Ok(-2));
    time.pass(1_000_000_000);
    assert_eq!(store.increment(&p, "n", 1, ttl(1, RELAXED)).await, Ok(-1));
    time.pass(1);
    assert_eq!(value(&store, &p, "n").await, Some(b"-1".to_vec()), "its time was given when it was made, and it has none");
}

async fn what_is_no_number_or_would_be_too_large_is_not_added_to(backend: impl Backend) {
    let (store, p) = (store(&backend).await, own("p"));
    for text in ["", "x", "1.5", "1e3", " 1", "99999999999999999999", "\u{ff11}"] {
        store.set(&p, "n", text.as_bytes().to_vec(), RELAXED).await.unwrap();
        assert!(matches!(store.increment(&p, "n", 1, RELAXED).await, Err(KvError::Invalid(_))), "{text}");
        assert_eq!(value(&store, &p, "n").await, Some(text.as_bytes().to_vec()));
    }
    store.set(&p, "n", (NUMBER_MAX - 1).to_string().into_bytes(), RELAXED).await.unwrap();
    assert_eq!(store.increment(&p, "n", 1, RELAXED).await, Ok(NUMBER_MAX));
    assert!(matches!(store.increment(&p, "n", 1, RELAXED).await, Err(KvError::Invalid(_))));
    assert_eq!(store.increment(&p, "n", -NUMBER_MAX, RELAXED).await, Ok(0));
    assert_eq!(store.increment(&p, "n", -NUMBER_MAX, RELAXED).await, Ok(-NUMBER_MAX));
    assert!(matches!(store.increment(&p, "n", -1, RELAXED).await, Err(KvError::Invalid(_))));
}

async fn a_key_is_gone_when_its_time_is_over(backend: impl Backend) {
    let time = Time::default();
    let (store, p) = (backend.open_with(KvLimits::default(), time.clock()).await.kv, own("p"));
    store.set(&p, "a", b"1".to_vec(), ttl(10, RELAXED)).await.unwrap();
    store.set(&p, "b", b"1".to_vec(), ttl(10, RELAXED)).await.unwrap();
    time.pass(9);
    // Its time counts anew, and now it has none.
    store.set(&p, "b", b"2".to_vec(), RELAXED).await.unwrap();
    assert_eq!(store.keys(&p, "", None, 9).await.unwrap(), ["a", "b"]);
    time.pass(1);
    assert_eq!((value(&store, &p, "a").await, value(&store, &p, "b").await), (None, Some(b"2".to_vec())));
    assert_eq!(store.keys(&p, "", None, 9).await.unwrap(), ["b"]);
    assert!(!store.delete(&p, "a").await.unwrap());
    store.set(&p, "a", b"1".to_vec(), ttl(1, RELAXED)).await.unwrap();
    time.pass(1);
    assert!(store.swap(&p, "a", None, b"3".to_vec(), RELAXED).await.unwrap(), "to `swap` it is not there");
}

async fn of_many_who_swap_the_same_version_one_wins(backend: impl Backend) {
    let store = store(&backend).await;
    for (round, write) in [RELAXED, DURABLE, RELAXED, DURABLE].into_iter().enumerate() {
        let expected = version(&store, "a").await;
        let tasks = (0..16).map(|n| {
            let (store, expected) = (store.clone(), expected.clone());
            tokio::spawn(
                async move { store.swap(&own("p"), "a", expected.as_deref(), format!("{round} {n}").into(), write).await.unwrap() },
            )
        });
        let mut won = Vec::new();
        for (n, task) in tasks.collect::<Vec<_>>().into_iter().enumerate() {
            won.extend(task.await.unwrap().then_some(n));
        }
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(value(&store, &own("p"), "a").await, Some(format!("{round} {}", won[0]).into()));
    }
}

async fn versions_differ_after_every_change(backend: impl Backend) {
    let p = own("p");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let store = store(&backend).await;
        for _ in 0..2 {
            store.set(&p, "a", b"0".to_vec(), DURABLE).await.unwrap();
            assert!(seen.insert(version(&store, "a").await));
            store.increment(&p, "a", 0, DURABLE).await.unwrap();
            assert!(seen.insert(version(&store, "a").await));
            let expected = version(&store, "a").await;
            assert!(!store.swap(&p, "a", None, vec![], DURABLE).await.unwrap());
            assert!(!store.swap(&p, "a", Some("no such version"), vec![], DURABLE).await.unwrap());
            assert!(store.swap(&p, "a", expected.as_deref(), vec![], DURABLE).await.unwrap());
            assert!(seen.insert(version(&store, "a").await));
            assert!(!store.swap(&p, "a", expected.as_deref(), vec![], DURABLE).await.unwrap());
            store.delete(&p, "a").await.unwrap();
        }
    }
}

async fn keys_come_in_the_order_of_their_bytes_after_the_last_and_by_prefix(backend: impl Backend) {
    let (store, p) = (store(&backend).await, own("p"));
    let mut all = ["a", "a\0", "a/", "a/1", "a/10", "a/2", "a0", "b", "B", "é", "e\u{301}", "\u{ffff}", "\u{10ffff}"].map(str::to_owned);
    for key in &all {
        store.set(&p, key, vec![], RELAXED).await.unwrap();
    }
    all.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(store.keys(&p, "", None, 100).await.unwrap(), all);
    assert_eq!(store.keys(&p, "a/", None, 100).await.unwrap(), ["a/", "a/1", "a/10", "a/2"]);
    assert_eq!(store.keys(&p, "a/", None, 2).await.unwrap(), ["a/", "a/1"]);
    assert_eq!(store.keys(&p, "a/", Some("a/1"), 2).await.unwrap(), ["a/10", "a/2"]);
    assert_eq!(store.keys(&p, "a/", Some("a/2"), 2).await.unwrap(), [""; 0]);
    assert_eq!(store.keys(&p, "a/", Some("A"), 1).await.unwrap(), ["a/"], "`after` may stand before the prefix");
    assert_eq!(store.keys(&p, "%", None, 100).await.unwrap(), [""; 0]);
    let mut paged = Vec::new();
    while let Some(last) = store.keys(&p, "", paged.last().map(String::as_str), 3).await.unwrap().pop() {
        paged = [&paged[..], &store.keys(&p, "", paged.last().map(String::as_str), 3).await.unwrap()].concat();
        assert_eq!(paged.last(), Some(&last));
    }
    assert_eq!(paged, all);
}

async fn plugins_and_callers_do_not_see_each_other(backend: impl Backend) {
    let store = store(&backend).await;
    let caller = |client: Client| Bucket::of_caller("p".into(), &client);
    let address = |text: &str| Client::Address(text.parse().unwrap());
    let buckets = [
        own("p"),
        own("q"),
        caller(Client::Key("team-a".into())),
        caller(Client::Key("team-b".into())),
        // Names that look like another kind of caller.
        caller(Client::Key("address:127.0.0.1".into())),
        caller(Client::Key("".into())),
        caller(address("127.0.0.1")),
        caller(address("::1")),
        caller(Client::Host),
        Bucket::of_caller("q".into(), &Client::Key("team-a".into())),
    ];
    for (n, bucket) in buckets.iter().enumerate() {
        assert_eq!(store.keys(bucket, "", None, 9).await.unwrap(), [""; 0]);
        store.set(bucket, "a", vec![n as u8], RELAXED).await.unwrap();
        store.set(bucket, &format!("only {n}"), vec![], RELAXED).await.unwrap();
    }
    for (n, bucket) in buckets.iter().enumerate() {
        assert_eq!(value(&store, bucket, "a").await, Some(vec![n as u8]));
        assert_eq!(store.keys(bucket, "", None, 9).await.unwrap(), ["a".to_owned(), format!("only {n}")]);
        assert!(store.delete(bucket, "a").await.unwrap());
    }
}

async fn the_quota_of_bytes_holds_to_the_byte(backend: impl Backend) {
    let (store, p) = (store(&backend).await, own("p"));
    // `a` and 9 bytes, `b` and 5 bytes.
    let quota = Quota { bytes: 2 * ENTRY_BYTES + 1 + 9 + 1 + 5, keys: 10 };
    for write in [Write { quota, ..RELAXED }, Write { quota, ..DURABLE }] {
        store.set(&p, "a", vec![0; 9], write).await.unwrap();
        let over = KvError::QuotaBytes { bytes: quota.bytes + 1, max: quota.bytes };
        assert_eq!(store.set(&p, "b", vec![0; 6], write).await, Err(over.clone()));
        assert_eq!(store.swap(&p, "b", None, vec![0; 6], write).await, Err(over.clone()));
        assert_eq!(value(&store, &p, "b").await, None);
        store.set(&p, "b", vec![0; 5], write).await.unwrap();
        assert_eq!(store.set(&p, "a", vec![0; 10], write).await, Err(over));
        assert!(over_quota(store.increment(&p, "n", 1, write).await.unwrap_err()));
        assert_eq!(value(&store, &p, "a").await, Some(vec![0; 9]), "it is as it was");
        store.set(&p, "a", vec![1; 9], write).await.unwrap();
        store.set(&own("q"), "a", vec![0; 9], write).await.unwrap();
        for (bucket, key) in [(&p, "a"), (&p, "b"), (&own("q"), "a")] {
            store.delete(bucket, key).await.unwrap();
        }
    }
}

fn over_quota(error: KvError) -> bool {
    matches!(error, KvError::QuotaBytes { .. }) && error.to_string().contains("grants.kv.bytes")
}

async fn the_quota_of_keys_holds_over_all_buckets_of_a_plugin(backend: impl Backend) {
    let store = store(&backend).await;
    let write = Write { quota: Quota { keys: 2, ..MANY }, ..RELAXED };
    let callers = ["a", "b", "c"].map(|name| Bucket::of_caller("p".into(), &Client::Key(name.into())));
    store.set(&callers[0], "k", vec![], write).await.unwrap();
    store.increment(&callers[1], "k", 1, write).await.unwrap();
    for bucket in [&callers[2], &own("p")] {
        let refused = store.set(bucket, "k", vec![], write).await.unwrap_err();
        assert_eq!(refused, KvError::QuotaKeys { max: 2 });
        assert!(refused.to_string().contains("grants.kv.keys"));
    }
    store.set(&callers[0], "k", vec![1], write).await.unwrap();
    store.set(&own("q"), "k", vec![], write).await.unwrap();
    store.delete(&callers[1], "k").await.unwrap();
    store.set(&callers[2], "k", vec![], write).await.unwrap();
}

async fn less_always_fits_even_if_the_quota_was_made_smaller(backend: impl Backend) {
    let (store, p) = (store(&backend).await, own("p"));
    store.set(&p, "a", vec![0; 100], RELAXED).await.unwrap();
    let write = Write { quota: Quota { bytes: 10, keys: 1 }, ..RELAXED };
    assert!(over_quota(store.set(&p, "a", vec![0; 101], write).await.unwrap_err()));
    store.set(&p, "a", vec![0; 100], write).await.unwrap();
    store.set(&p, "a", vec![], write).await.unwrap();
}

async fn all_plugins_together_have_a_limit(backend: impl Backend) {
    let bytes = 2 * (ENTRY_BYTES + 11);
    let store = backend.open_with(KvLimits { bytes, ..KvLimits::default() }, Time::default().clock()).await.kv;
    store.set(&own("p"), "a", vec![0; 10], RELAXED).await.unwrap();
    assert_eq!(store.set(&own("q"), "a", vec![0; 11], RELAXED).await, Err(KvError::Full { max: bytes }));
    store.set(&own("q"), "a", vec![0; 10], RELAXED).await.unwrap();
    let refused = store.set(&own("r"), "a", vec![], DURABLE).await.unwrap_err();
    assert!(refused.to_string().contains("limits.kv.bytes"), "{refused}");
    store.delete(&own("p"), "a").await.unwrap();
    store.set(&own("r"), "a", vec![], DURABLE).await.unwrap();
}

async fn tasks_that_write_at_once_do_not_pass_a_quota_together(backend: impl Backend) {
    let store = store(&backend).await;
    let tasks = (0..64).map(|n| {
        let store = store.clone();
        let write = Write { quota: Quota { keys: 10, ..MANY }, relaxed: n % 2 == 0, ..DURABLE };
        tokio::spawn(async move { store.set(&own("p"), &n.to_string(), vec![], write).await.is_ok() })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        done += usize::from(task.await.unwrap());
    }
    assert_eq!((done, store.keys(&own("p"), "", None, 100).await.unwrap().len()), (10, 10));
}

async fn what_was_written_is_there_after_a_restart_with_its_time(backend: impl Backend) {
    let time = Time::default();
    let open = || backend.open_with(KvLimits::default(), time.clock());
    let p = own("p");
    let store = open().await.kv;
    store.set(&p, "a", b"1".to_vec(), DURABLE).await.unwrap();
    store.increment(&p, "n", 7, ttl(10, RELAXED)).await.unwrap();
    let kept = store.get(&p, "a").await.unwrap();
    drop(store);
    time.pass(9);
    let store = open().await.kv;
    assert_eq!(store.get(&p, "a").await.unwrap(), kept);
    assert_eq!(value(&store, &p, "n").await, Some(b"7".to_vec()), "a store that is closed writes what was relaxed");
    let full = Write { quota: Quota { keys: 2, ..MANY }, ..DURABLE };
    assert_eq!(store.set(&p, "b", vec![], full).await, Err(KvError::QuotaKeys { max: 2 }), "what was kept counts");
    drop(store);
    time.pass(1);
    assert_eq!(value(&open().await.kv, &p, "n").await, None);
}

async fn a_change_whose_caller_left_is_done_whole_or_not_at_all(backend: impl Backend) {
    let Stores { kv: store, .. } = backend.open().await;
    for n in 0..20 {
        let task = tokio::spawn({
            let store = store.clone();
            async move { store.set(&own("p"), &n.to_string(), vec![7; 1_000], DURABLE).await }
        });
        tokio::task::yield_now().await;
        task.abort();
        drop(task.await);
    }
    // Whatever was begun is over once a later change is.
    store.set(&own("p"), "last", vec![], DURABLE).await.unwrap();
    for key in store.keys(&own("p"), "", None, 100).await.unwrap() {
        let expected = if key == "last" { vec![] } else { vec![7; 1_000] };
        assert_eq!(value(&store, &own("p"), &key).await, Some(expected));
    }
}
