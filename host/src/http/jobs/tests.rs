//! Jobs under their limits, and to their ends, whichever these are.

use std::time::Duration;

use tokio::sync::Semaphore;

use super::*;
use crate::http::error::Failure;
use crate::http::respond;
use crate::http::taken::{RefusedFile, StoredDocument};

fn client(name: &str) -> Client {
    Client::Key(name.into())
}

fn new(api: &str, names: &[&str]) -> NewJob {
    NewJob {
        api: api.into(),
        namespace: "default".into(),
        names: names.iter().map(|name| (*name).into()).collect(),
        stored: Vec::new(),
        refused: Vec::new(),
        request: "r".into(),
        tell,
    }
}

fn tell(name: String, failure: &Failure) -> RefusedFile {
    respond::refused_file(name, failure).0
}

fn document(name: &str) -> StoredDocument {
    StoredDocument { id: name.into(), object: "document", name: name.into(), chunks: 1, bytes: 1, replaced: false, unchanged: false }
}

/// A job of two files, each of which waits for a permit. It heeds the server's stop as an upload does.
fn started(jobs: &Arc<Jobs>, of: &str, gate: &Arc<Semaphore>) -> Arc<Job> {
    let (ticket, gate) = (jobs.take(&client(of), 1).expect("room"), Arc::clone(gate));
    jobs.start(ticket, new("support", &["a", "b"]), move |job| async move {
        for name in ["a", "b"] {
            if job.stopping() {
                return;
            }
            gate.acquire().await.expect("open").forget();
            job.stored(document(name));
        }
    })
}

/// Lets all tasks go as far as they can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn full(taken: Result<Ticket, Refusal>) -> &'static str {
    match taken {
        Err(Refusal::JobsFull { key }) => key,
        Err(other) => panic!("{other}"),
        Ok(_) => "there is room",
    }
}

#[tokio::test]
async fn as_many_are_taken_as_may_wait_and_run_and_clients_share_them() {
    let jobs = Jobs::new(&Limits { jobs: 4, ..Limits::default() });
    let held: Vec<Ticket> = (0..3).map(|_| jobs.take(&client("a"), 1).expect("three quarters, at the edge")).collect();
    assert_eq!(full(jobs.take(&client("a"), 1)), "limits.http.jobs");
    let other = jobs.take(&client("b"), 1).expect("the last place");
    assert_eq!(full(jobs.take(&client("c"), 1)), "limits.http.jobs");
    drop(held);
    jobs.take(&client("c"), 1).expect("free again");
    drop(other);
    jobs.resize(&Limits { jobs: 0, ..Limits::default() });
    assert_eq!(full(jobs.take(&client("c"), 1)), "limits.http.jobs", "there are none");
}

#[tokio::test]
async fn as_many_bytes_are_held_as_may_be() {
    let jobs = Jobs::new(&Limits { jobs_bytes: 100, ..Limits::default() });
    let held = jobs.take(&client("a"), 75).expect("three quarters, at the edge");
    assert_eq!(full(jobs.take(&client("a"), 1)), "limits.http.jobs_bytes");
    drop(held);
    // One that is larger than a share is taken when it is alone.
    let large = jobs.take(&client("a"), 1_000).expect("alone");
    assert_eq!(full(jobs.take(&client("a"), 1)), "limits.http.jobs_bytes");
    drop(large);
    jobs.take(&client("a"), 75).expect("free again");
}

#[tokio::test]
async fn as_many_run_as_may_and_the_next_one_follows() {
    let jobs = Arc::new(Jobs::new(&Limits { jobs_running: 1, ..Limits::default() }));
    let gate = Arc::new(Semaphore::new(0));
    let (first, second) = (started(&jobs, "a", &gate), started(&jobs, "a", &gate));
    assert_eq!(first.standing().status, "queued");
    settle().await;
    let statuses = || [&first, &second].map(|job| job.standing().status);
    assert_eq!(statuses(), ["in_progress", "queued"]);
    gate.add_permits(1);
    settle().await;
    assert_eq!((statuses(), first.standing().counts), (["in_progress", "queued"], Counts { total: 2, stored: 1, refused: 0 }));
    gate.add_permits(1);
    settle().await;
    assert_eq!(statuses(), ["completed", "in_progress"]);
    gate.add_permits(2);
    settle().await;
    assert_eq!((statuses(), jobs.places.held(), jobs.bytes.held(), jobs.running.held()), (["completed", "completed"], 0, 0, 0));
}

#[tokio::test]
async fn a_job_is_known_to_its_client_under_its_api_alone() {
    let jobs = Arc::new(Jobs::new(&Limits::default()));
    let gate = Arc::new(Semaphore::new(9));
    let [mine, other] = ["a", "b"].map(|name| started(&jobs, name, &gate));
    assert!(jobs.find("support", &client("a"), &mine.id).is_some());
    assert!(jobs.find("support", &client("a"), &other.id).is_none());
    assert!(jobs.find("sales", &client("a"), &mine.id).is_none());
    let ids = |api: &str, of: &str, after: &str| jobs.page(api, &client(of), after, 9).iter().map(|job| job.id.clone()).collect::<Vec<_>>();
    assert_eq!((ids("support", "a", ""), ids("support", "b", "")), (vec![mine.id.clone()], vec![other.id.clone()]));
    assert_eq!((ids("sales", "a", ""), ids("support", "a", &mine.id)), (vec![], vec![]));
}

#[tokio::test]
async fn whoever_fails_or_panics_leaves_an_outcome_for_each_file() {
    let jobs = Arc::new(Jobs::new(&Limits::default()));
    let refused = jobs.start(jobs.take(&client("a"), 1).expect("room"), new("support", &["a", "b"]), |job| async move {
        job.refused("a".into(), &Refusal::JobSlow.into());
        job.stored(document("b"));
    });
    let panicked = jobs.start(jobs.take(&client("a"), 1).expect("room"), new("support", &["a", "b"]), |job| async move {
        job.stored(document("a"));
        panic!("on purpose");
    });
    settle().await;
    let Standing { status, counts, refused, .. } = refused.standing();
    assert_eq!((status, counts), ("failed", Counts { total: 2, stored: 1, refused: 1 }));
    assert_eq!((refused[0].name.as_str(), refused[0].status, &refused[0].error["code"]), ("a", 504, &"job_timeout".into()));
    let Standing { status, counts, refused, finished, .. } = panicked.standing();
    assert_eq!((status, counts, finished.is_some()), ("failed", Counts { total: 2, stored: 1, refused: 1 }, true));
    assert_eq!((refused[0].name.as_str(), refused[0].status, &refused[0].error["code"]), ("b", 500, &"internal_error".into()));
    assert_eq!(jobs.places.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_remembered_for_its_time_and_what_runs_for_as_long_as_it_runs() {
    let jobs = Arc::new(Jobs::new(&Limits { jobs_kept_time: Duration::from_secs(60), ..Limits::default() }));
    let gate = Arc::new(Semaphore::new(2));
    let ended = started(&jobs, "a", &gate);
    settle().await;
    let running = started(&jobs, "a", &gate);
    settle().await;
    let known = |job: &Job| jobs.find("support", &client("a"), &job.id).is_some();
    tokio::time::advance(Duration::from_millis(59_999)).await;
    assert!(known(&ended) && known(&running));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!known(&ended) && known(&running));
}

#[tokio::test]
async fn of_more_than_may_be_remembered_the_oldest_of_whoever_has_most_is_forgotten() {
    let jobs = Arc::new(Jobs::new(&Limits { jobs_kept: 3, ..Limits::default() }));
    let gate = Arc::new(Semaphore::new(99));
    let mut all = Vec::new();
    for of in ["b", "a", "a"] {
        all.push((of, started(&jobs, of, &gate)));
        settle().await;
    }
    let known = |(of, job): &(&str, Arc<Job>)| jobs.find("support", &client(of), &job.id).is_some();
    assert!(all.iter().all(known), "three, at the edge");
    all.push(("a", started(&jobs, "a", &gate)));
    settle().await;
    assert_eq!(all.iter().map(known).collect::<Vec<_>>(), [true, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_lets_the_file_at_hand_be_stored_and_says_of_the_others_that_they_are_not() {
    let jobs = Arc::new(Jobs::new(&Limits { jobs_running: 1, ..Limits::default() }));
    let gate = Arc::new(Semaphore::new(0));
    let (running, waiting) = (started(&jobs, "a", &gate), started(&jobs, "b", &gate));
    settle().await;
    let ending = {
        let jobs = Arc::clone(&jobs);
        tokio::spawn(async move { jobs.end(Duration::from_secs(30)).await })
    };
    settle().await;
    assert!(matches!(jobs.take(&client("c"), 1), Err(Refusal::Stopping)));
    assert_eq!([&running, &waiting].map(|job| job.standing().status), ["in_progress", "failed"]);
    gate.add_permits(1);
    ending.await.expect("it ends");
    for (job, stored, codes) in [(&running, 1, 1), (&waiting, 0, 2)] {
        let Standing { status, counts, refused, .. } = job.standing();
        assert_eq!((status, counts), ("failed", Counts { total: 2, stored, refused: codes }));
        assert!(refused.iter().all(|file| file.status == 503 && file.error["code"] == "stopping"), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_in_time_is_cut() {
    let jobs = Arc::new(Jobs::new(&Limits::default()));
    let running = started(&jobs, "a", &Arc::new(Semaphore::new(0)));
    settle().await;
    let begun = Instant::now();
    jobs.end(Duration::from_secs(30)).await;
    assert!(begun.elapsed() >= Duration::from_secs(30));
    let Standing { status, counts, .. } = running.standing();
    assert_eq!((status, counts, jobs.places.held()), ("failed", Counts { total: 2, stored: 0, refused: 2 }, 0));
}
