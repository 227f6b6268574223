//! The last good version of a plugin survives a restart beside the bad file that took its place, and only what the operator still allows does.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{SOON, pipeline, refused, wait_for};
use crate::client::Client;
use crate::components::components;
use crate::sandbox_limits::compile::heavy;
use crate::server::{PATIENCE, Server, deploy};

/// Both stamps answer what they are asked with their version.
fn config() -> String {
    [SOON, &pipeline("p", "stamp"), "\n[plugins.stamp]\n"].concat()
}

fn again(folder: &Arc<TempDir>, config: &str) -> (Server, Client) {
    let server = Server::with(config).folder(folder.clone()).start();
    let client = Client::of(server.address);
    (server, client)
}

/// A server that had `stamp_1` as its plugin, and is stopped.
fn stopped(config: &str) -> (Arc<TempDir>, String) {
    let mut server = Server::with(config).plugin_as("stamp_1", "stamp").start();
    server.kill();
    (server.folder.clone(), sha256(&components().bytes("stamp_1")))
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
}

fn replace(folder: &TempDir, bytes: &[u8]) {
    let plugins = folder.path().join("plugins");
    std::fs::write(plugins.join(".stamp"), bytes).expect("written");
    std::fs::rename(plugins.join(".stamp"), plugins.join("stamp.wasm")).expect("renamed");
}

/// The names under `data_dir/last-good`.
fn kept(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path().join("data/last-good")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

async fn stale(client: &Client) -> Value {
    wait_for(client, "stamp.wasm", |entry| entry["state"] == "stale").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_takes_no_plugin_away_with_a_restart() {
    let (folder, first) = stopped(&config());
    let bad: [(&[u8], &str); 3] =
        [(b"not wasm", "text file"), (&components().bytes("stamp_2")[..5_000], "truncated"), (b"\0asm\x0d\0\x01\0", "it exports nothing")];
    for (bytes, reason) in bad {
        replace(&folder, bytes);
        for _ in 0..2 {
            let (server, client) = again(&folder, &config());
            let entry = stale(&client).await;
            assert_eq!((&entry["hash"], &entry["name"], &entry["hooks"][0]), (&json!(first), &json!("stamp"), &json!("pre_hook")));
            assert!(entry["reason"].as_str().expect("a reason").contains(reason), "{entry}");
            client.chat("p", "hello", json!({})).await.ok();
            assert!(server.readiness().starts_with("HTTP/1.1 200"), "{}", server.readiness());
            assert!(!server.log().contains("work: compiling"), "its code is kept, too");
        }
    }
    // The next good version is the one that stays.
    let (server, client) = again(&folder, &config());
    replace(&folder, &components().bytes("stamp_2"));
    wait_for(&client, "stamp.wasm", |entry| entry["state"] == "live").await;
    let second = sha256(&components().bytes("stamp_2"));
    // And the one before it, to go back to.
    let mut both = [format!("stamp.{first}.wasm"), format!("stamp.{second}.wasm")];
    both.sort();
    assert_eq!(kept(&folder), both);
    replace(&folder, b"");
    stale(&client).await;
    drop(server);
    let (_server, client) = again(&folder, &config());
    assert_eq!(stale(&client).await["hash"], json!(second));
    // And the first one may come back as a file.
    replace(&folder, &components().bytes("stamp_1"));
    let entry = wait_for(&client, "stamp.wasm", |entry| entry["state"] == "live").await;
    assert_eq!((&entry["hash"], &entry["reason"]), (&json!(first), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_version_serves_while_the_file_is_still_compiled() {
    let (folder, first) = stopped(&config());
    replace(&folder, &heavy(28_000));
    let server = Server::with(&config()).folder(folder).start_loading();
    let client = Client::of(server.address);
    wait_for(&client, "stamp.wasm", |entry| entry["hash"] == json!(first)).await;
    client.chat("p", "hello", json!({})).await.ok();
    assert_eq!(super::entry(&client, "stamp.wasm").await.expect("listed")["state"], "compiling");
    assert!(server.readiness().starts_with("HTTP/1.1 200"), "{}", server.readiness());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_operator_removes_takes_its_last_good_version_along_while_a_server_runs_or_not() {
    let (folder, _) = stopped(&config());
    let file = folder.path().join("plugins/stamp.wasm");
    std::fs::remove_file(&file).expect("removed");
    let (server, client) = again(&folder, &config());
    assert_eq!(kept(&folder), [""; 0]);
    assert_eq!(client.chat("p", "hello", json!({})).await.refused(503), "plugin_not_loaded");
    deploy(&components().path("stamp_1"), &server.plugin_dir(), "stamp");
    wait_for(&client, "stamp.wasm", |entry| entry["state"] == "live").await;
    assert_eq!(kept(&folder).len(), 1);
    replace(&folder, b"bad");
    stale(&client).await;
    std::fs::remove_file(&file).expect("removed");
    server.wait_for_log("plugin removed");
    let gone = async { while !kept(&folder).is_empty() {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("the copy goes with the file");
    replace(&folder, b"bad");
    refused(&client, "stamp.wasm").await;
    drop(server);
    let (_server, client) = again(&folder, &config());
    refused(&client, "stamp.wasm").await;
    assert_eq!(client.chat("p", "hello", json!({})).await.refused(503), "plugin_not_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_good_version_passes_admission_again_under_what_the_operator_allows_now() {
    let (folder, first) = stopped(&config());
    replace(&folder, b"bad");
    let size = components().bytes("stamp_1").len();
    for (now, part) in
        [("limits = { fuel = 1 }\n".to_owned(), "fuel"), (format!("[limits.plugins]\nfile_bytes = {}\n", size - 1), "file_bytes")]
    {
        let strict = [&pipeline("p", "stamp"), "\n[plugins.stamp]\n", &now].concat();
        let (_server, client) = again(&folder, &strict);
        let reason = refused(&client, "stamp.wasm").await;
        assert!(
            reason.contains("text file") && reason.contains("last good version is not taken any more") && reason.contains(part),
            "{reason}"
        );
        assert_eq!(client.chat("p", "hello", json!({})).await.refused(503), "plugin_not_loaded");
    }
    let (_server, client) = again(&folder, &config());
    assert_eq!(stale(&client).await["hash"], json!(first), "what the operator allows again serves again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_damaged_serves_nobody_and_one_over_the_limit_is_not_kept() {
    let (folder, first) = stopped(&config());
    let copy = folder.path().join(format!("data/last-good/stamp.{first}.wasm"));
    let mut damaged = std::fs::read(&copy).expect("a copy");
    let size = damaged.len();
    damaged[size / 2] ^= 1;
    std::fs::write(&copy, damaged).expect("written");
    replace(&folder, b"bad");
    let (server, client) = again(&folder, &config());
    server.wait_for_log("last good version is damaged");
    refused(&client, "stamp.wasm").await;
    drop(server);
    for (limit, survives) in [(size - 1, false), (size, true)] {
        let config =
            [&config(), "\n[limits.plugins]\ndebounce = \"20ms\"\n", &format!("last_good_bytes = {limit}\n")].concat().replace(SOON, "");
        replace(&folder, &components().bytes("stamp_1"));
        let (server, client) = again(&folder, &config);
        wait_for(&client, "stamp.wasm", |entry| entry["state"] == "live").await;
        assert_eq!(server.log().contains("last_good_bytes"), !survives, "the key is named in the log");
        replace(&folder, b"bad");
        drop(server);
        let (_server, client) = again(&folder, &config);
        let state = if survives { "stale" } else { "refused" };
        wait_for(&client, "stamp.wasm", |entry| entry["state"] == state).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_server_is_killed_the_old_version_or_the_new_one_serves_afterwards() {
    let (folder, first) = stopped(&config());
    let second = sha256(&components().bytes("stamp_2"));
    // Killed when it has read the new file, when it compiles it, when it has taken it, and when the list shows it.
    for (round, moment) in ["work: compiling", "plugin loaded", "", "plugin loaded", ""].into_iter().enumerate() {
        replace(&folder, &components().bytes(["stamp_2", "stamp_1"][round % 2]));
        let mut server = Server::with(&config()).folder(folder.clone()).start_loading();
        if moment.is_empty() {
            let client = Client::of(server.address);
            wait_for(&client, "stamp.wasm", |entry| entry["state"] == "live").await;
        } else {
            server.wait_for_log(moment);
        }
        server.kill();
        replace(&folder, b"bad");
        let (mut server, client) = again(&folder, &config());
        let hash = stale(&client).await["hash"].clone();
        assert!(hash == json!(first) || hash == json!(second), "{hash}");
        client.chat("p", "hello", json!({})).await.ok();
        assert!((1..=2).contains(&kept(&folder).len()), "the one that serves, and the one before it");
        server.kill();
    }
    assert!(Path::new(&folder.path().join("data/last-good")).is_dir());
}
