//! Deploying by dropping a file, under load and by mistake: no request fails or mixes versions, a bad file never replaces a good one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::components::components;
use crate::server::{PATIENCE, Server, deploy};

const CONFIG: &str = r#"
    [limits.plugins]
    debounce = "20ms"
    poll = "1s"
    [[pipelines]]
    id = "stamped"
    pipeline = [
        { stage = "pre_hook", config = { function_id = "stamp" } },
        { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } },
        { stage = "post_hook", config = { function_id = "stamp" } },
    ]
"#;

/// Asks the plugin list until the file's entry is as wanted.
pub(crate) async fn wait_for(client: &Client, file: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let plugins = client.get("/api/v1/plugins").await.ok().json();
            let entry = plugins["data"].as_array().expect("a list").iter().find(|plugin| plugin["file"] == file);
            if let Some(entry) = entry.filter(|entry| wanted(entry)) {
                return entry.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the plugin list changes in time")
}

/// The two version numbers at a reply's end.
fn versions(text: &str) -> (&str, &str) {
    let stamp = text.rsplit_once("[v=").and_then(|(_, end)| end.strip_suffix(']')).unwrap_or_else(|| panic!("no stamp: {text}"));
    stamp.split_once('/').expect("two versions")
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_replacements_under_sixteen_streaming_clients_fail_and_mix_nothing() {
    let server = Server::with(CONFIG).plugin_as("stamp_1", "stamp").start();
    let client = Client::of(server.address);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (client, stop, answered) = (client.clone(), stop.clone(), answered.clone());
            tokio::spawn(async move {
                let mut seen = std::collections::BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let stream = client.chat_stream("stamped", "hello", json!({})).await;
                    assert_eq!(stream.status, 200);
                    let text = text_of(&stream.all().await.expect("a whole stream"));
                    let (before, after) = versions(&text);
                    assert_eq!(before, after, "one exchange, one version");
                    seen.insert(after.to_owned());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        })
        .collect();
    let mut hash = client.get("/api/v1/plugins").await.json()["data"][0]["hash"].clone();
    for round in 0..50 {
        let component = ["stamp_2", "stamp_1"][round % 2];
        deploy(&components().path(component), &server.plugin_dir(), "stamp");
        hash = wait_for(&client, "stamp.wasm", |entry| entry["hash"] != hash && entry["state"] == "live").await["hash"].clone();
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = std::collections::BTreeSet::new();
    for client in clients {
        seen.extend(client.await.expect("no client saw a failure"));
    }
    assert_eq!(seen.len(), 2, "both versions served: {seen:?}");
    assert!(answered.load(Ordering::Relaxed) > 50, "the load was a load");
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_plugin_live_and_the_list_says_why() {
    let server = Server::with(CONFIG).plugin_as("stamp_1", "stamp").start();
    let client = Client::of(server.address);
    let before = client.get("/api/v1/plugins").await.json()["data"][0]["hash"].clone();
    let good = components().bytes("stamp_1");
    let cases: [(&[u8], &str); 4] = [
        (b"not wasm", "text file"),
        (b"\0asm\x01\0\0\0", "core module"),
        (&good[..good.len() / 2], "truncated"),
        (b"\x7fELF", "never loaded"),
    ];
    for (bytes, reason) in cases {
        std::fs::write(server.plugin_dir().join("stamp.wasm"), bytes).expect("written");
        let says = |entry: &Value| entry["reason"].as_str().is_some_and(|text| text.contains(reason));
        let entry = wait_for(&client, "stamp.wasm", says).await;
        assert_eq!((&entry["state"], &entry["hash"], &entry["name"]), (&json!("stale"), &before, &json!("stamp")));
        client.chat("stamped", "hello", json!({})).await.ok();
    }
    deploy(&components().path("stamp_1"), &server.plugin_dir(), "stamp");
    let entry = wait_for(&client, "stamp.wasm", |entry| entry["state"] == "live").await;
    assert_eq!((&entry["hash"], &entry["reason"]), (&before, &Value::Null));
}

#[tokio::test]
async fn a_plugin_is_gone_with_its_file_and_back_with_it() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    assert_eq!(client.chat("stamped", "hello", json!({})).await.refused(503), "plugin_not_loaded");
    deploy(&components().path("stamp_1"), &server.plugin_dir(), "stamp");
    wait_for(&client, "stamp.wasm", |entry| entry["state"] == "live").await;
    client.chat("stamped", "hello", json!({})).await.ok();
    std::fs::remove_file(server.plugin_dir().join("stamp.wasm")).expect("removed");
    server.wait_for_log("plugin removed");
    let gone = async { while client.chat("stamped", "hello", json!({})).await.status == 200 {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("the plugin goes");
    assert_eq!(client.chat("stamped", "hello", json!({})).await.refused(503), "plugin_not_loaded");
}

#[tokio::test]
async fn limits_of_the_directory_hold_at_their_edge() {
    let bytes = components().bytes("noop_pre").len();
    let fits = Server::with(&format!("[limits.plugins]\nfile_bytes = {bytes}\nfiles = 1"))
        .plugin("noop_pre")
        .plugin_as("stamp_1", "stamp")
        .start();
    let plugins = Client::of(fits.address).get("/api/v1/plugins").await.json();
    assert_eq!((plugins["data"].as_array().map(Vec::len), &plugins["data"][0]["state"]), (Some(1), &json!("live")), "{plugins}");
    let over = Server::with(&format!("[limits.plugins]\nfile_bytes = {}", bytes - 1)).plugin("noop_pre").start();
    let plugins = Client::of(over.address).get("/api/v1/plugins").await.json();
    assert!(plugins["data"][0]["reason"].as_str().expect("a reason").contains("limits.plugins.file_bytes"), "{plugins}");
}

#[tokio::test]
async fn a_link_out_of_the_directory_is_refused_and_one_within_it_is_not() {
    let server = Server::with("[limits.plugins]\ndebounce = \"20ms\"\npoll = \"1s\"").plugin("noop_pre").start();
    let client = Client::of(server.address);
    let directory = server.plugin_dir();
    std::os::unix::fs::symlink(components().path("stamp_1"), directory.join("outside.wasm")).expect("a link");
    let entry = wait_for(&client, "outside.wasm", |entry| entry["state"] == "refused").await;
    assert!(entry["reason"].as_str().expect("a reason").contains("outside the plugin directory"), "{entry}");
    // As mounted volumes do it: the file is a link into a hidden folder that is swapped whole.
    std::fs::create_dir(directory.join("..2026")).expect("a folder");
    std::fs::copy(components().path("stamp_1"), directory.join("..2026/stamp.wasm")).expect("copied");
    std::os::unix::fs::symlink("..2026/stamp.wasm", directory.join("stamp.wasm")).expect("a link");
    wait_for(&client, "stamp.wasm", |entry| entry["state"] == "live").await;
}

#[tokio::test]
async fn a_restart_finds_compiled_code_and_damaged_code_is_made_anew() {
    let server = Server::with(CONFIG).plugin_as("stamp_1", "stamp").start();
    let folder = server.folder.clone();
    let compiled = folder.path().join("data/compiled");
    let code = || -> Vec<_> { std::fs::read_dir(&compiled).expect("a folder").map(|e| e.expect("an entry").path()).collect() };
    let first = code();
    assert_eq!(first.len(), 1, "{first:?}");
    let made = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").modified().expect("a time");
    let made_first = made(&first[0]);
    drop(server);
    let server = Server::with(CONFIG).folder(folder.clone()).start();
    Client::of(server.address).chat("stamped", "hello", json!({})).await.ok();
    assert_eq!((code(), made(&first[0])), (first.clone(), made_first), "not compiled again");
    drop(server);
    let mut damaged = std::fs::read(&first[0]).expect("code");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    std::fs::write(&first[0], damaged).expect("written");
    let server = Server::with(CONFIG).folder(folder).start();
    server.wait_for_log("compiled code is damaged");
    Client::of(server.address).chat("stamped", "hello", json!({})).await.ok();
}
