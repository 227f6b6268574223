//! `kill -9` at random points of uploads, replacements, deletions, cleared namespaces, reloads, saved indexes, starts, stops and backups, all over one
//! data directory. `COFFERDAM_KILLS` says how many points, `COFFERDAM_SEED` which ones.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::judge::{self, Chunks};
use super::words::{self, Shape, Version};
use super::work::{BULK, Work, upload};
use crate::backup::{command, done};
use crate::client::Client;
use crate::server::{Builder, PATIENCE, Server};

/// In a run of all tests.
const KILLS: usize = 15;
const CLIENTS: u32 = 4;
/// Longer than a document of a few chunks takes.
const SOON: u64 = 60_000;

/// What happens at one point.
struct Point {
    /// Acknowledged operations before it.
    operations: u32,
    /// And so many microseconds.
    then: u64,
    /// The server is told to read its file again.
    hang_up: bool,
    /// The server is told to stop, so many microseconds before it is killed.
    stopping: Option<u64>,
    /// The next one is killed so many microseconds after its start, and another one follows.
    starting: Option<u64>,
    /// A backup is made meanwhile; killed so many microseconds after the server, if it is.
    backup: Option<Option<u64>>,
}

impl Point {
    fn of(rng: &mut fastrand::Rng) -> Self {
        let moment = |rng: &mut fastrand::Rng, one_in: u8, most: u64| (rng.u8(..one_in) == 0).then(|| rng.u64(..most));
        Self {
            operations: rng.u32(..12),
            then: rng.u64(..SOON),
            hang_up: rng.u8(..4) == 0,
            stopping: moment(rng, 5, SOON),
            starting: moment(rng, 4, 8 * SOON),
            backup: (rng.u8(..4) == 0).then(|| moment(rng, 2, SOON)),
        }
    }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |value| value.parse().expect("a number"))
}

fn server(home: &Arc<TempDir>) -> Builder {
    Server::with(&words::config(home.path())).folder(home.clone())
}

/// The points lie at random moments between two events, and nothing is waited for.
async fn pass(microseconds: u64) {
    let _ = tokio::time::timeout(Duration::from_micros(microseconds), std::future::pending::<()>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_it_is_killed_what_was_acknowledged_is_whole_and_nothing_is_half_there() {
    let (kills, seed) = (number("COFFERDAM_KILLS", KILLS as u64), number("COFFERDAM_SEED", 1));
    let mut rng = fastrand::Rng::with_seed(seed);
    let home = Arc::new(tempfile::tempdir().expect("a folder"));
    words::model(&home.path().join("model"));
    let mut running = server(&home).start();
    let mut works: Vec<Work> = (0..=CLIENTS).map(|client| Work::new(client, seed)).collect();
    let chunks = what_stays(&Client::of(running.address), &mut works[CLIENTS as usize]).await;
    let mut sent = HashMap::new();
    let mut acknowledged = 0;
    for at in 0..kills {
        let name = format!("point {at} of seed {seed}");
        let point = Point::of(&mut rng);
        let enough = Arc::new(Semaphore::new(0));
        // The last one has what stays.
        let last = works.pop().expect("clients");
        let clients: Vec<_> = works.drain(..).map(|work| tokio::spawn(work.go(Client::of(running.address), enough.clone()))).collect();
        let operations = tokio::time::timeout(PATIENCE, enough.acquire_many(point.operations)).await;
        operations.unwrap_or_else(|_| panic!("{name}: nothing is acknowledged any more")).expect("open").forget();
        let backup = point.backup.map(|_| backup(home.path(), at));
        if point.hang_up {
            running.hang_up();
        }
        pass(point.then).await;
        if let Some(before) = point.stopping {
            running.terminate();
            pass(before).await;
        }
        running.kill();
        for client in clients {
            works.push(client.await.unwrap_or_else(|error| panic!("{name}: {error}")));
        }
        works.push(last);
        for work in &mut works {
            sent.extend(work.sent.drain(..).map(|version| (version.sha256(), version)));
            acknowledged += std::mem::take(&mut work.acknowledged);
        }
        if let (Some(backup), Some(killed)) = (backup, point.backup) {
            let whole = ended(backup, killed).await;
            restored(&home.path().join(format!("backup-{at}")), whole, home.path(), &sent, &chunks, &name);
        }
        if let Some(after) = point.starting {
            let mut starting = server(&home).spawned();
            pass(after).await;
            starting.kill().expect("killed");
            starting.wait().expect("ended");
        }
        running = server(&home).start();
        judge::all(&Client::of(running.address), &mut works, &chunks, &mut rng, &name).await;
        judge::file(&home.path().join("data/cofferdam.db"), &sent, &chunks, &name);
    }
    assert!(acknowledged as u64 >= kills, "{acknowledged} operations were acknowledged");
    println!("{kills} kills, {acknowledged} operations acknowledged, each found as it was");
}

/// A document of each shape that nobody touches, and how many chunks each has.
async fn what_stays(client: &Client, work: &mut Work) -> Chunks {
    let small = (1..=4).flat_map(|sections| [false, true].map(|markdown| Shape { sections, markdown }));
    let mut chunks = Chunks::new();
    for (at, shape) in small.chain([BULK]).enumerate() {
        let version = work.version(shape);
        let (namespace, name) =
            (format!("{}-{}", work.name, if shape == BULK { "bulk" } else { "small" }), format!("{}-{at}.md", work.name));
        let name = if shape.markdown { name } else { name.replace(".md", ".txt") };
        let answer = upload(client, &namespace, &name, version).await.expect("the server answers").ok().json();
        work.sent.push(version);
        work.holds((namespace, name), version, answer["data"][0]["id"].as_str().map(str::to_owned));
        chunks.insert(shape, answer["data"][0]["chunks"].as_u64().expect("a number") as usize);
    }
    assert!(chunks.iter().all(|(shape, count)| *count >= shape.sections as usize), "{chunks:?}");
    chunks
}

fn backup(home: &Path, at: u64) -> Child {
    let mut command = command("backup", home, &home.join(format!("backup-{at}")));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Whether it came to its end.
async fn ended(mut backup: Child, killed: Option<u64>) -> bool {
    if let Some(after) = killed {
        pass(after).await;
        backup.kill().expect("killed");
    }
    let output = tokio::task::spawn_blocking(move || backup.wait_with_output()).await.expect("no panic").expect("it ends");
    assert!(output.status.success() || killed.is_some(), "{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

/// What a backup that came to its end, or that is there nevertheless, gives when it is restored.
fn restored(backup: &Path, whole: bool, home: &Path, sent: &HashMap<String, Version>, chunks: &Chunks, point: &str) {
    assert!(backup.exists() || !whole, "{point}: a backup that was made is there");
    if !backup.exists() {
        return;
    }
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::write(elsewhere.path().join("cofferdam.toml"), words::config(home)).expect("written");
    done(command("restore", elsewhere.path(), backup));
    let names = judge::file(&elsewhere.path().join("data/cofferdam.db"), sent, chunks, point);
    let stays = names.iter().filter(|name| name.starts_with(&format!("w{CLIENTS}-"))).count();
    assert_eq!(stays, chunks.len(), "{point}: {names:?}");
    std::fs::remove_dir_all(backup).expect("removed");
}
