//! What the suite of the port cannot see: the sums, the steps of the sweep, the open transaction, and other writers of the same disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::file::Due;
use super::*;
use crate::sandbox::kv::Quota;

const MANY: Quota = Quota { bytes: 1 << 40, keys: 1 << 40 };

fn write(ttl: Option<u64>, quota: Quota) -> Write {
    Write { ttl: ttl.map(Duration::from_secs), relaxed: true, quota }
}

fn bucket(plugin: &str) -> Bucket {
    Bucket::of_plugin(plugin.into())
}

struct Test {
    folder: tempfile::TempDir,
    now: Arc<AtomicU64>,
}

impl Test {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), now: Arc::new(AtomicU64::new(1_000)) }
    }

    fn file(&self, limits: KvLimits) -> File {
        let now = self.now.clone();
        let clock = Arc::new(move || Duration::from_secs(now.load(Ordering::Relaxed)));
        File::open(&self.folder.path().join("kv.db"), limits, clock).unwrap()
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[track_caller]
fn sums_agree(file: &File) {
    let (connection, used, total) = file.state();
    let counted = rows::sums(connection).unwrap();
    assert_eq!((used, total), (&counted, counted.values().map(|used| used.bytes).sum()));
}

fn rows_of(file: &File) -> i64 {
    file.state().0.query_row("SELECT count(*) FROM kv", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_sums_are_those_of_the_rows() {
    let test = Test::new();
    let mut file = test.file(KvLimits::default());
    let mut random = 12_345_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for step in 0..3_000 {
        let bucket = Bucket { plugin: format!("p{}", next(3)).into(), owner: ["", "key:é"][next(2) as usize].into() };
        let (key, ttl) = (format!("ключ{}", next(40)), Some(next(50)).filter(|ttl| *ttl > 0));
        let quota = Quota { bytes: 4_000, keys: 25 };
        // Refusals are part of the game.
        match next(6) {
            0 => drop(file.delete(&bucket, &key).unwrap()),
            1 => drop(file.increment(&bucket, &key, 1, write(ttl, quota))),
            2 => drop(file.swap(&bucket, &key, None, b"swapped", write(ttl, quota))),
            3 if step % 7 == 0 => drop(file.sweep()),
            _ => drop(file.set(&bucket, &key, &vec![0; next(300) as usize], write(ttl, quota))),
        }
        test.pass(next(3));
        if step % 50 == 0 {
            sums_agree(&file);
            file.commit();
        }
    }
    sums_agree(&file);
    let (used, before): (HashMap<_, _>, _) = (file.state().1.clone(), file.state().2);
    file.commit();
    drop(file);
    let file = test.file(KvLimits::default());
    assert_eq!((file.state().1, file.state().2), (&used, before));
}

#[test]
fn what_has_expired_is_deleted_in_steps_and_not_seen_before() {
    let test = Test::new();
    let mut file = test.file(KvLimits::default());
    for key in 0..250 {
        file.set(&bucket("p"), &format!("{key:03}"), b"x", write(Some(10), MANY)).unwrap();
    }
    file.set(&bucket("p"), "stays", b"x", write(None, MANY)).unwrap();
    test.pass(10);
    assert_eq!((file.keys(&bucket("p"), "", None, 1_000).unwrap(), rows_of(&file)), (vec!["stays".to_owned()], 251));
    assert_eq!((file.sweep(), rows_of(&file)), (true, 151));
    assert_eq!((file.sweep(), rows_of(&file)), (true, 51));
    assert_eq!((file.sweep(), rows_of(&file)), (false, 1));
    sums_agree(&file);
}

#[test]
fn what_has_expired_makes_room_for_its_plugin_and_if_all_is_full_for_everybody() {
    let test = Test::new();
    let one = Quota { bytes: 1 << 20, keys: 1 };
    let mut file = test.file(KvLimits { bytes: 200, ..KvLimits::default() });
    file.set(&bucket("p"), "a", b"x", write(Some(1), one)).unwrap();
    assert_eq!(file.set(&bucket("p"), "b", b"x", write(None, one)), Err(KvError::QuotaKeys { max: 1 }));
    test.pass(1);
    file.set(&bucket("p"), "b", b"x", write(Some(1), one)).unwrap();
    file.set(&bucket("q"), "a", &[0; 60], write(None, MANY)).unwrap();
    assert_eq!(file.set(&bucket("q"), "b", b"x", write(None, MANY)), Err(KvError::Full { max: 200 }));
    test.pass(1);
    file.set(&bucket("q"), "b", b"x", write(None, MANY)).unwrap();
    assert_eq!(rows_of(&file), 2);
    sums_agree(&file);
}

#[test]
fn relaxed_changes_are_due_when_their_time_is_over_or_they_are_many_and_durable_ones_at_once() {
    let test = Test::new();
    let mut file = test.file(KvLimits::default());
    let flush = Duration::from_millis(100);
    assert_eq!(file.due(std::time::Instant::now(), flush), Due::Never);
    file.set(&bucket("p"), "a", b"x", write(None, MANY)).unwrap();
    assert!(file.take_wake() && !file.take_wake(), "the committer is told once");
    let now = std::time::Instant::now();
    assert!(matches!(file.due(now, flush), Due::In(_)));
    assert_eq!(file.due(now + flush, flush), Due::Now);
    let written = file.when_written();
    assert!(file.take_wake());
    assert_eq!(file.due(now, flush), Due::Now);
    file.commit();
    assert_eq!((written.blocking_recv().unwrap(), file.due(now, flush)), (Ok(()), Due::Never));
    for key in 0..5 {
        file.set(&bucket("p"), &key.to_string(), &vec![0; 1 << 20], write(None, MANY)).unwrap();
    }
    assert_eq!(file.due(std::time::Instant::now(), Duration::from_secs(1_000)), Due::Now);
}

#[test]
fn changes_that_are_lost_are_told_to_who_waits_and_are_no_longer_counted() {
    let test = Test::new();
    let mut file = test.file(KvLimits::default());
    file.set(&bucket("p"), "kept", b"x", write(None, MANY)).unwrap();
    file.commit();
    // The room for one more page is gone, as on a full disk.
    file.state().0.pragma_update(None, "max_page_count", 1).unwrap();
    file.set(&bucket("p"), "lost", b"x", write(None, MANY)).unwrap();
    let written = file.when_written();
    let full = file.set(&bucket("p"), "large", &vec![0; 1 << 20], write(None, MANY));
    assert!(matches!(full, Err(KvError::Store(_))), "{full:?}");
    sums_agree(&file);
    file.commit();
    let kept = file.get(&bucket("p"), "lost").unwrap().is_some();
    assert_eq!(written.blocking_recv().unwrap().is_ok(), kept, "it is told what became of it");
    assert!(file.get(&bucket("p"), "kept").unwrap().is_some());
    sums_agree(&file);
}

#[test]
fn a_version_never_comes_again_not_even_after_a_restart() {
    let test = Test::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let mut file = test.file(KvLimits::default());
        for _ in 0..3 {
            file.set(&bucket("p"), "a", b"x", write(None, MANY)).unwrap();
            assert!(seen.insert(file.get(&bucket("p"), "a").unwrap().unwrap().version));
            file.delete(&bucket("p"), "a").unwrap();
        }
        file.commit();
    }
}

#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let test = Test::new();
    let _file = test.file(KvLimits::default());
    for entry in std::fs::read_dir(test.folder.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_flood_holds_no_lock_of_the_main_database() {
    let test = Test::new();
    let mut file = test.file(KvLimits::default());
    let database = super::super::database::Database::open(&test.folder.path().join("cofferdam.db")).unwrap();
    file.set(&bucket("p"), "a", b"x", write(None, MANY)).unwrap();
    // The transaction is open; whoever writes elsewhere must not wait for its lock, which would end in an error after a while.
    database.writer().busy_timeout(Duration::ZERO).unwrap();
    database.writer().execute("INSERT INTO pipelines VALUES ('a', '{}')", []).unwrap();
    assert!(!file.state().0.is_autocommit());
}

#[test]
fn two_servers_that_have_the_file_lose_no_change_and_both_know_who_keeps_how_much() {
    let test = Test::new();
    let (mut old, p) = (test.file(KvLimits::default()), bucket("p"));
    old.increment(&p, "count", 1, write(None, MANY)).unwrap();
    old.set(&p, "short", b"x", write(Some(10), MANY)).unwrap();
    old.share();
    let mut new = test.file(KvLimits::default());
    for round in 0..20 {
        for file in [&mut new, &mut old] {
            file.increment(&p, "count", 1, write(None, MANY)).unwrap();
            file.set(&p, &format!("of {round}"), &vec![0; 100 * round], write(None, MANY)).unwrap();
            sums_agree(file);
            file.commit();
        }
    }
    new.set(&p, "short", b"renewed", write(None, MANY)).unwrap();
    new.commit();
    test.pass(20);
    assert!(!old.sweep(), "what the other server renewed has not expired");
    let count = |file: &File| file.get(&p, "count").unwrap().expect("it is there").value;
    assert_eq!((count(&old), count(&new)), (b"41".to_vec(), b"41".to_vec()));
    let one = Quota { bytes: 1 << 20, keys: 22 };
    assert_eq!(old.set(&p, "one more", b"", write(None, one)), Err(KvError::QuotaKeys { max: 22 }), "the other's keys count");
}

#[test]
fn a_server_that_has_handed_the_file_over_leaves_no_transaction_open() {
    let test = Test::new();
    let (mut old, p) = (test.file(KvLimits::default()), bucket("p"));
    old.set(&p, "a", b"x", write(None, MANY)).unwrap();
    old.share();
    let mut new = test.file(KvLimits::default());
    assert_eq!(old.due(std::time::Instant::now(), Duration::from_secs(1_000)), Due::Never, "what waited is written");
    new.set(&p, "b", b"x", write(None, MANY)).unwrap();
    new.commit();
    old.set(&p, "c", b"x", write(None, MANY)).unwrap();
    assert_eq!(old.due(std::time::Instant::now(), Duration::from_secs(1_000)), Due::Now);
    old.commit();
    assert!(old.swap(&p, "c", Some("none of its versions"), b"y", write(None, MANY)) == Ok(false) && old.take_wake(), "refused, and told");
}

#[test]
fn a_change_waits_for_no_other_server_on_the_thread_of_a_request() {
    let test = Test::new();
    let (mut old, p) = (test.file(KvLimits::default()), bucket("p"));
    let mut new = test.file(KvLimits::default());
    assert!(new.begin_at_once());
    new.set(&p, "a", b"x", write(None, MANY)).unwrap();
    assert!(!old.begin_at_once(), "the other one has the file");
    new.commit();
    assert!(old.begin_at_once());
    sums_agree(&old);
    old.set(&p, "b", b"x", write(None, MANY)).unwrap();
    sums_agree(&old);
}

#[test]
fn sums_are_known_when_the_file_is_opened_again_and_after_a_lost_transaction() {
    let test = Test::new();
    let mut file = test.file(KvLimits::default());
    for (plugin, key) in [("p", "a"), ("p", "b"), ("q", "a")] {
        file.set(&bucket(plugin), key, b"value", write(None, MANY)).unwrap();
    }
    file.commit();
    file.delete(&bucket("q"), "a").unwrap();
    file.commit();
    drop(file);
    let file = test.file(KvLimits::default());
    sums_agree(&file);
    assert_eq!(file.state().1.len(), 1);
}
