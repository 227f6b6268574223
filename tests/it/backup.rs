//! `cofferdam backup` beside a server that runs, and `cofferdam restore` into another place: nothing waits, nothing is half there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Script, Upstream};

const CONFIG: &str = r#"
    [[pipelines]]
    id = "kb"
    pipeline = [
        { stage = "rag", config = { top_k = 5, score_threshold = 0.0 } },
        { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } },
    ]
"#;

/// A command of the program in a folder that has a `cofferdam.toml`.
pub fn command(name: &str, folder: &Path, directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command.arg(name).arg(directory).arg("--config").arg(folder.join("cofferdam.toml")).stdin(Stdio::null());
    command
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("cofferdam.toml"), CONFIG).expect("written");
    folder
}

#[track_caller]
pub fn done(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

/// What the command said when it failed.
#[track_caller]
fn refused(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let stderr = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!((status.code(), stdout.len(), stderr.lines().count()), (Some(1), 0, 1), "{stderr}");
    stderr
}

async fn search(client: &Client, query: &str) -> Value {
    let question = json!({"query": query, "top_k": 50});
    client.post("/api/v1/gateway/apis/kb/knowledge/test", &question).await.ok().json()
}

fn documents(listed: &Value) -> Vec<Value> {
    listed["data"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_under_writes_and_restored_elsewhere_answers_as_the_server_did() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("It runs at night."));
    let config = format!("{CONFIG}\n[providers.a]\nkind = \"openai\"\nbase_url = \"{}\"\n", upstream.url());
    let mut server = Server::with(&config).start();
    let client = Client::of(server.address);
    let definition = json!({"pipeline": [{"stage": "llm", "config": {"primary": {"provider": "a", "model": "m"}}}]});
    client.put("/api/v1/gateway/apis/mine/pipeline", &definition).await.ok();
    client.upload("kb", "pumps.md", b"# Pumps\n\nThe pump in the cellar runs at night.").await.ok();
    client.upload("kb", "doors.md", b"# Doors\n\nThe door to the yard is locked at ten.").await.ok();
    client.chat("mine", "When does the pump run?", json!({})).await.ok();
    // What was used is on the disk when the server has ended.
    server.terminate();
    server.wait();
    let server = Server::with(&config).folder(server.folder.clone()).start();
    let client = Client::of(server.address);
    let usage = client.get("/api/v1/usage?group=pipeline").await.ok().json();
    assert_eq!(usage["data"][0]["replies"], 1, "{usage}");

    let stop = Arc::new(AtomicBool::new(false));
    let (writer, stopped) = (Client::of(server.address), Arc::clone(&stop));
    let writing = tokio::spawn(async move {
        let mut acknowledged = 0;
        while !stopped.load(Ordering::SeqCst) {
            acknowledged += 1;
            writer.upload("kb", &format!("more-{acknowledged}.txt"), format!("Fact {acknowledged} about a gauge.").as_bytes()).await.ok();
        }
        acknowledged
    });
    let backups = tempfile::tempdir().expect("a folder");
    let (home, to) = (server.folder.path().to_owned(), backups.path().join("first"));
    let said = tokio::task::spawn_blocking(move || done(command("backup", &home, &to))).await.expect("no panic");
    assert!(said.contains("first") && said.contains("cofferdam.db ("), "{said}");
    stop.store(true, Ordering::SeqCst);
    let acknowledged = writing.await.expect("no upload fails");

    let elsewhere = folder();
    let said = done(command("restore", elsewhere.path(), &backups.path().join("first")));
    assert!(!said.contains("before"), "{said}");
    let restored = Server::with(&config).folder(Arc::new(elsewhere)).start();
    let again = Client::of(restored.address);
    assert_eq!(again.get("/api/v1/gateway/apis/mine/pipeline").await.ok().json()["pipeline"], definition["pipeline"]);
    assert_eq!(again.get("/api/v1/usage?group=pipeline").await.ok().json(), usage);
    let (mine, theirs) = ("/api/v1/gateway/apis/kb/knowledge/documents?limit=1000", documents);
    let (before, after) = (theirs(&client.get(mine).await.ok().json()), theirs(&again.get(mine).await.ok().json()));
    assert!(after.len() >= 2 && after.len() <= before.len() && before.len() == 2 + acknowledged, "{} of {}", after.len(), before.len());
    assert_eq!(after[..], before[..after.len()], "the first ones, each as it was");
    let found = search(&again, "When does the pump in the cellar run?").await;
    assert_eq!(found["data"][0]["source"], "pumps.md");
    let expected = search(&client, "When does the pump in the cellar run?").await;
    // What words weigh depends on what else is there, and more was uploaded here since.
    for key in ["source", "document", "ordinal", "heading", "page", "text", "score", "vector_rank", "keyword_rank"] {
        assert_eq!(found["data"][0][key], expected["data"][0][key], "{key}");
    }
    assert_eq!(found["data"].as_array().map(Vec::len), Some(after.len().min(50)), "every document of it is found");
    assert_eq!(again.chat("mine", "x", json!({})).await.ok().content(), "It runs at night.");
    again.upload("kb", "new.txt", b"The new server goes on.").await.ok();
}

#[tokio::test]
async fn nothing_is_restored_under_a_running_server_and_what_was_there_is_kept() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    client.upload("kb", "saved.txt", b"What was saved.").await.ok();
    let backups = tempfile::tempdir().expect("a folder");
    let backup = backups.path().join("b");
    done(command("backup", server.folder.path(), &backup));
    client.upload("kb", "later.txt", b"What came later.").await.ok();
    let said = refused(command("restore", server.folder.path(), &backup));
    assert!(said.contains("must be stopped") && said.contains("in use"), "{said}");
    assert_eq!(search(&client, "what").await["data"].as_array().map(Vec::len), Some(2));

    let folder = server.folder.clone();
    drop(server);
    let said = done(command("restore", folder.path(), &backup));
    let before =
        said.lines().find_map(|line| line.strip_prefix("What was there before is in ")).expect("it is said where").trim_end_matches('.');
    assert!(Path::new(before).join("cofferdam.db").exists(), "{said}");
    let server = Server::with(CONFIG).folder(folder).start();
    let found = search(&Client::of(server.address), "what").await;
    assert_eq!((found["data"].as_array().map(Vec::len), &found["data"][0]["source"]), (Some(1), &json!("saved.txt")));
}

#[test]
fn where_no_server_ran_nothing_is_backed_up_and_what_is_no_backup_is_not_restored() {
    let home = folder();
    let to = home.path().join("b");
    let said = refused(command("backup", home.path(), &to));
    assert!(said.contains("nothing to back up") && !to.exists() && !home.path().join("data").exists(), "{said}");
    std::fs::create_dir(&to).expect("made");
    assert!(refused(command("restore", home.path(), &to)).contains("no whole backup"));
    assert!(refused(command("restore", home.path(), &home.path().join("nowhere"))).contains("no whole backup"));
    assert!(!home.path().join("data").exists(), "nothing is made for nothing");
    std::fs::write(home.path().join("cofferdam.toml"), "data_dri = \"x\"").expect("written");
    let output = command("backup", home.path(), &to).output().expect("it starts");
    assert_eq!(output.status.code(), Some(64));
}

/// A command whose files may grow to no more than that many blocks of 512 bytes: with the signal that this sends it is killed in its middle,
/// without it, it is told so, as it is told of a full disk.
fn cramped(name: &str, folder: &Path, directory: &Path, blocks: usize, killed: bool) -> Command {
    let mut shell = Command::new("sh");
    let trap = if killed { "" } else { "trap '' XFSZ; " };
    shell.arg("-c").arg(format!("{trap}ulimit -c 0; ulimit -f {blocks}; exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_cofferdam"));
    shell.arg(name).arg(directory).arg("--config").arg(folder.join("cofferdam.toml")).stdin(Stdio::null());
    shell
}

fn names(folder: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_or_restore_that_is_killed_or_has_no_room_leaves_what_was_there() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    client.upload("kb", "saved.txt", b"What was saved.").await.ok();
    let backups = tempfile::tempdir().expect("a folder");
    let backup = backups.path().join("b");
    let said = refused(cramped("backup", server.folder.path(), &backup, 16, false));
    assert!(said.contains("cannot copy the database"), "{said}");
    assert_eq!(names(backups.path()), [""; 0]);
    let killed = cramped("backup", server.folder.path(), &backup, 16, true).output().expect("it starts");
    assert_eq!((killed.status.code(), backup.exists()), (None, false));
    let left: PathBuf = backups.path().join(names(backups.path()).first().expect("it left a part"));
    assert!(refused(command("restore", folder().path(), &left)).contains("no whole backup"));
    done(command("backup", server.folder.path(), &backup));
    assert_eq!(names(backups.path()), ["b"], "the next one takes it over");

    client.upload("kb", "later.txt", b"What came later.").await.ok();
    let home = server.folder.clone();
    drop(server);
    let said = refused(cramped("restore", home.path(), &backup, 16, false));
    assert!(said.contains("nothing was restored"), "{said}");
    let killed = cramped("restore", home.path(), &backup, 16, true).output().expect("it starts");
    assert_eq!(killed.status.code(), None);
    let server = Server::with(CONFIG).folder(home.clone()).start();
    assert_eq!(search(&Client::of(server.address), "what").await["data"].as_array().map(Vec::len), Some(2));
    assert!(!names(&home.path().join("data")).iter().any(|name| name.starts_with(".cofferdam-restore")), "its part is removed");
}
