//! Files that another user of the machine exchanges, and files that another user must not read.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{SOON, pipeline, refused, wait_for};
use crate::client::Client;
use crate::components::components;
use crate::server::{Server, deploy};

/// The user `nobody`.
const OTHER: u32 = 65_534;

fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_exchanged_for_a_pipe_again_and_again_stops_no_deployment() {
    let server = Server::with(SOON).start();
    let (client, directory) = (Client::of(server.address), server.plugin_dir());
    let good = components().path("bare");
    let swap = directory.clone();
    let swapping = tokio::task::spawn_blocking(move || {
        for _ in 0..200 {
            pipe(&swap.join(".pipe"));
            std::fs::rename(swap.join(".pipe"), swap.join("swapped.wasm")).expect("renamed");
            std::fs::copy(&good, swap.join(".file")).expect("copied");
            std::fs::rename(swap.join(".file"), swap.join("swapped.wasm")).expect("renamed");
            std::os::unix::fs::symlink("/etc/hostname", swap.join(".link")).expect("a link");
            std::fs::rename(swap.join(".link"), swap.join("swapped.wasm")).expect("renamed");
        }
        pipe(&swap.join(".pipe"));
        std::fs::rename(swap.join(".pipe"), swap.join("swapped.wasm")).expect("renamed");
    });
    deploy(&components().path("noop_pre"), &directory, "noop_pre");
    wait_for(&client, "noop_pre.wasm", |entry| entry["state"] == "live").await;
    swapping.await.expect("every exchange was made");
    wait_for(&client, "swapped.wasm", |entry| entry["reason"].as_str().is_some_and(|reason| reason.contains("not a regular file"))).await;
    deploy(&components().path("stamp_1"), &directory, "stamp");
    wait_for(&client, "stamp.wasm", |entry| entry["state"] == "live").await;
}

#[tokio::test]
async fn sockets_devices_and_links_out_are_refused_and_hold_nothing_up() {
    let builder = Server::with(SOON).plugin("noop_pre");
    let directory = builder.plugin_dir();
    let _socket = std::os::unix::net::UnixListener::bind(directory.join("socket.wasm")).expect("a socket");
    for (to, name) in [("/dev/zero", "zero.wasm"), ("/proc/self/mem", "mem.wasm"), ("loop.wasm", "loop.wasm"), ("/dev/stdin", "stdin.wasm")]
    {
        std::os::unix::fs::symlink(to, directory.join(name)).expect("a link");
    }
    let server = builder.start();
    let client = Client::of(server.address);
    for name in ["socket.wasm", "zero.wasm", "mem.wasm", "loop.wasm", "stdin.wasm"] {
        refused(&client, name).await;
    }
    wait_for(&client, "noop_pre.wasm", |entry| entry["state"] == "live").await;
}

#[tokio::test]
async fn a_secret_that_is_a_pipe_fails_its_own_request_at_once() {
    let config = r#"
        secret_dir = "secrets"
        [providers.up]
        kind = "openai"
        base_url = "http://127.0.0.1:9/v1"
        secret_key_name = "KEY"
        [[pipelines]]
        id = "p"
        pipeline = [ { stage = "llm", config = { primary = { provider = "up", model = "m" } } } ]
    "#;
    let builder = Server::with(config);
    let secrets = builder.plugin_dir().with_file_name("secrets");
    std::fs::create_dir(&secrets).expect("a folder");
    pipe(&secrets.join("KEY"));
    let server = builder.start();
    let client = Client::of(server.address);
    for _ in 0..2 {
        assert_eq!(client.chat("p", "x", json!({})).await.refused(500), "provider_secret_missing");
    }
}

/// Every file and folder under `folder`.
fn all_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { [vec![path.clone()], all_under(&path)].concat() } else { vec![path] }).collect()
}

/// A server whose every kind of file in `data_dir` is there, over a directory that an earlier version left open.
async fn with_all_files() -> Server {
    let builder = Server::with(&[SOON, &pipeline("p", "noop-pre")].concat()).plugin("noop_pre");
    let data = builder.plugin_dir().with_file_name("data");
    std::fs::create_dir_all(data.join("compiled")).expect("a folder");
    for name in ["lock", "cofferdam.db"] {
        std::fs::write(data.join(name), "").expect("written");
        std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(0o666)).expect("opened");
    }
    for folder in [data.join("compiled"), data] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).expect("opened");
    }
    let server = builder.start();
    std::fs::set_permissions(server.folder.path(), std::fs::Permissions::from_mode(0o755)).expect("others may pass");
    std::fs::write(server.plugin_dir().join("refused.wasm"), [b"\0asm\x0d\0\x01\0".as_slice(), &[0xff; 9]].concat()).expect("written");
    let client = Client::of(server.address);
    refused(&client, "refused.wasm").await;
    client.upload("p", "a.txt", b"The lock is for one server.").await.ok();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_keeps_is_for_its_own_user_alone_also_if_it_was_open_before() {
    let server = with_all_files().await;
    let data = server.folder.path().join("data");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").mode() & 0o7777;
    assert_eq!(mode(&data), 0o700);
    let found = all_under(&data);
    assert!(
        ["lock", "cofferdam.db", "cofferdam.db-wal", "cofferdam.db-shm", "kv.db", "kv.db-wal", "compiled"]
            .iter()
            .all(|name| found.contains(&data.join(name))),
        "{found:?}"
    );
    for path in found {
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_can_neither_read_what_the_server_keeps_nor_take_its_lock() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: the other user (only root can become one)");
        return;
    }
    let mut server = with_all_files().await;
    let data = server.folder.path().join("data");
    let as_other = |script: &str, path: &Path| {
        let status = Command::new("sh").arg("-c").arg(script).arg("sh").arg(path).uid(OTHER).gid(OTHER).status();
        status.expect("a shell").success()
    };
    assert!(as_other("test -x \"$1\"", server.folder.path()), "the way there is open");
    for path in all_under(&data) {
        for script in ["cat \"$1\" > /dev/null 2>&1", "ls \"$1\" > /dev/null 2>&1", "exec 9< \"$1\" && flock -n 9"] {
            assert!(!as_other(&format!("({script}) 2> /dev/null"), &path), "{script} {}", path.display());
        }
    }
    assert!(!as_other("touch \"$1/compiled/x\" 2> /dev/null || mv \"$1/compiled\" \"$1/x\" 2> /dev/null", &data));
    server.kill();
    assert!(!as_other("(exec 9< \"$1/lock\" && flock -n 9) 2> /dev/null", &data), "nor when no server runs");
    let folder = server.folder.clone();
    drop(server);
    Server::with(SOON).folder(folder).start();
}
