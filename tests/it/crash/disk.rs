//! A disk that fills up: what does not fit is refused and said so, nothing acknowledged is lost, what is there is read, also after a kill, and
//! with room again all goes on. The disk is one in memory, which only the server and what this test starts can see.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use hyper::Method;

use super::words::{self, Shape};
use super::work::{KNOWLEDGE, Work, find, upload};
use crate::client::Client;
use crate::packages::skipped;
use crate::server::{Builder, Server};

/// A write-ahead log of SQLite's is written back at 4 MB, and there must be room for both.
const SIZE: &str = "14m";
/// More than can fit.
const UPLOADS: usize = 1_000;

/// A file system in a mount namespace of its own, which lives as long as the process that holds it.
struct Disk {
    holder: Child,
    at: PathBuf,
}

impl Disk {
    /// With a file on it that can be taken away. `None` where this is not allowed.
    fn new(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let made = format!(
            r#"mount -t tmpfs -o size={SIZE},mode=0700 tmpfs "$0" && head -c 1000000 /dev/zero > "$0/filler" && echo made && exec cat"#
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &made]).arg(at);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut line = String::new();
        let said = BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut line);
        let disk = Self { holder, at: at.to_owned() };
        (said.is_ok() && line == "made\n").then_some(disk)
    }

    /// For a server whose data lies on it.
    fn under(&self, builder: Builder) -> Builder {
        let (holder, folder) = (self.holder.id(), self.at.parent().expect("a folder").display());
        let enter = format!(
            r#"exec nsenter --target {holder} --user --mount --preserve-credentials sh -c 'cd "{folder}" && exec "$0" "$@"' "$0" "$@""#
        );
        builder.through(&enter)
    }

    fn make_room(&self) {
        let filler = Path::new("/proc")
            .join(self.holder.id().to_string())
            .join("root")
            .join(self.at.join("filler").strip_prefix("/").expect("absolute"));
        std::fs::remove_file(filler).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_loses_nothing_and_all_goes_on_when_there_is_room() {
    let home = Arc::new(tempfile::tempdir().expect("a folder"));
    words::model(&home.path().join("model"));
    let Some(disk) = Disk::new(&home.path().join("data")) else {
        return skipped("the disk that fills up", "this needs `unshare` and `nsenter`, and namespaces of users");
    };
    let start = || disk.under(Server::with(&words::config(home.path())).folder(home.clone())).start();
    let mut server = start();
    let client = Client::of(server.address);
    let mut work = Work::new(0, 1);
    let shape = Shape { sections: 150, markdown: false };
    let mut stored = Vec::new();
    let refused = loop {
        assert!(stored.len() < UPLOADS, "it is never full");
        let version = work.version(shape);
        let answer = upload(&client, "n", &format!("{}.txt", stored.len()), version).await.expect("the server answers");
        if !answer.status.is_success() {
            break answer;
        }
        stored.push(version);
    };
    assert_eq!(refused.refused(507), "disk_full");
    assert!(refused.text().contains("make room"), "{refused:?}");
    assert!(stored.len() > 3, "{}", stored.len());
    // A replaced document has its old form or its new one.
    let first = work.version(shape);
    let answer = upload(&client, "n", "0.txt", first).await.expect("the server answers");
    match answer.status.as_u16() {
        200 => stored[0] = first,
        _ => assert_eq!(answer.refused(507), "disk_full"),
    }
    all_is_there(&client, &stored).await;

    server.kill();
    server = start();
    let client = Client::of(server.address);
    all_is_there(&client, &stored).await;
    let answer = upload(&client, "n", "more.txt", work.version(shape)).await.expect("the server answers");
    assert_eq!(answer.refused(507), "disk_full", "it is still full");

    disk.make_room();
    let last = work.version(shape);
    upload(&client, "n", "0.txt", last).await.expect("the server answers").ok();
    stored[0] = last;
    all_is_there(&client, &stored).await;
    client.send(Method::DELETE, &format!("{KNOWLEDGE}?namespace=n"), None, bytes::Bytes::new()).await.ok();
    for at in 0..4 {
        upload(&client, "n", &format!("again-{at}.txt"), work.version(shape)).await.expect("the server answers").ok();
    }
}

/// Each is listed in its version, and found by its word and by the text of a chunk.
async fn all_is_there(client: &Client, stored: &[words::Version]) {
    let listed = client.get(&format!("{KNOWLEDGE}/documents?limit=1000")).await.ok().json();
    let listed: Vec<_> =
        listed["data"].as_array().expect("a list").iter().map(|document| (document["name"].clone(), document["sha256"].clone())).collect();
    assert_eq!(listed.len(), stored.len());
    for (at, version) in stored.iter().enumerate() {
        assert!(listed.contains(&(format!("{at}.txt").into(), version.sha256().into())), "{at}.txt: {listed:?}");
    }
    for version in [stored.first(), stored.last()].into_iter().flatten() {
        let by_word = find(client, "n", "keyword", &version.word()).await;
        let (id, ordinal, text) = by_word.first().expect("it is found by its word").clone();
        assert_eq!(find(client, "n", "vector", &text).await.first(), Some(&(id, ordinal, text)));
    }
}
