//! Plugins deployed through the API: the answer says what became of them, and the directory is what a shell would have made of it.

use std::io::Write as _;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::components::components;
use crate::server::{Server, deploy};

/// Nothing but the API makes the server read the directory.
const CONFIG: &str = r#"
    [limits.plugins]
    debounce = "60s"
    poll = "1h"
    # What runs to its limits while it is loaded gets there on a busy machine too.
    starve_time = "1m"
    queue_time = "1m"
    [[pipelines]]
    id = "stamped"
    pipeline = [
        { stage = "pre_hook", config = { function_id = "stamp" } },
        { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } },
        { stage = "post_hook", config = { function_id = "stamp" } },
    ]
"#;

/// The type of a form whose parts are divided by `--x`.
const FORM: &str = "multipart/form-data; boundary=x";
/// The same patience without a pipeline.
const PATIENT: &str =
    "[limits.plugins]\nstarve_time = \"60s\"\nqueue_time = \"60s\"\n[limits.http]\nadmission_time = \"10m\"\nrequest_time = \"10m\"\n";

async fn put(client: &Client, name: &str, bytes: Vec<u8>) -> Answer {
    client.send(Method::POST, &format!("/api/v1/plugins?name={name}"), Some("application/wasm"), bytes.into()).await
}

async fn ask(client: &Client, method: Method, path: &str) -> Answer {
    client.send(method, &format!("/api/v1/plugins{path}"), None, Bytes::new()).await
}

fn files(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(server.plugin_dir()).expect("a folder");
    let mut names: Vec<String> = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn version(client: &Client) -> Value {
    ask(client, Method::GET, "/stamp").await.ok().json()["version"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_live_when_it_is_answered_and_goes_one_version_back_and_forth_and_away() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    let new = put(&client, "stamp", components().bytes("stamp_1")).await;
    assert_eq!((new.status.as_u16(), &new.json()["state"], &new.json()["version"]), (201, &json!("live"), &json!("1")));
    client.chat("stamped", "hello", json!({})).await.ok();
    assert_eq!(ask(&client, Method::POST, "/stamp/rollback").await.refused(409), "no_previous_version");
    let next = put(&client, "stamp", components().bytes("stamp_2")).await;
    assert_eq!((next.status.as_u16(), &next.json()["version"]), (200, &json!("2")));
    for wanted in ["1", "2", "1"] {
        let back = ask(&client, Method::POST, "/stamp/rollback").await.ok().json();
        assert_eq!((&back["version"], version(&client).await), (&json!(wanted), json!(wanted)));
    }
    assert_eq!(files(&server), ["stamp.wasm"]);
    let gone = ask(&client, Method::DELETE, "/stamp").await.ok().json();
    assert_eq!((&gone["deleted"], &gone["warnings"]), (&json!(true), &json!(["pipeline `stamped` names the plugin"])));
    assert_eq!(client.chat("stamped", "hello", json!({})).await.refused(503), "plugin_not_loaded");
    assert_eq!(ask(&client, Method::DELETE, "/stamp").await.refused(404), "plugin_not_found");
    assert_eq!(ask(&client, Method::GET, "/stamp").await.refused(404), "plugin_not_found");
    assert!(std::fs::read_dir(server.plugin_dir()).expect("a folder").next().is_none(), "nothing is left");
    server.wait_for_line(|line| line.contains("the plugin directory was changed") && line.contains("change=\"rollback\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_before_is_kept_however_its_file_came_and_over_a_restart() {
    let config = CONFIG.replace("60s", "20ms");
    let mut server = Server::with(&config).plugin_as("stamp_1", "stamp").start();
    deploy(&components().path("stamp_2"), &server.plugin_dir(), "stamp");
    server.wait_for_line(|line| line.contains("plugin loaded") && line.contains("version=\"2\""));
    server.kill();
    let server = Server::with(&config).folder(server.folder.clone()).start();
    let client = Client::of(server.address);
    assert_eq!(version(&client).await, "2");
    let back = ask(&client, Method::POST, "/stamp/rollback").await.ok().json();
    assert_eq!((&back["version"], &back["state"]), (&json!("1"), &json!("live")));
    assert_eq!(std::fs::read(server.plugin_dir().join("stamp.wasm")).expect("the file"), components().bytes("stamp_1"));
    // As a plugin that was deleted and deployed again has no past.
    ask(&client, Method::DELETE, "/stamp").await.ok();
    assert_eq!(put(&client, "stamp", components().bytes("stamp_1")).await.status, 201);
    assert_eq!(ask(&client, Method::POST, "/stamp/rollback").await.refused(409), "no_previous_version");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_cut_off_leaves_nothing_and_what_was_half_written_is_no_plugin() {
    let folder = {
        let server = Server::with(CONFIG).start();
        std::fs::write(server.plugin_dir().join(".uploading-x"), "half").expect("written");
        let bytes = components().bytes("stamp_1");
        let mut socket = std::net::TcpStream::connect(server.address).expect("a connection");
        let head = format!("POST /api/v1/plugins?name=stamp HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", bytes.len());
        socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&bytes[..bytes.len() / 2])).expect("sent");
        drop(socket);
        server.wait_for_line(|line| line.contains("deploy_plugin"));
        assert_eq!(files(&server), [".uploading-x"]);
        server.folder.clone()
    };
    let server = Server::with(CONFIG).folder(folder).start();
    assert!(files(&server).is_empty(), "the next start clears it away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_how_large_a_file_may_be() {
    let config = |limit: &str| format!("[limits.plugins]\nfile_bytes = \"{limit}\"\n");
    let server = Server::with(&config("64KiB")).start();
    let client = Client::of(server.address);
    assert_eq!(put(&client, "large", vec![b'x'; 65 << 10]).await.refused(413), "body_too_large");
    server.reconfigure(&config("128KiB"));
    server.hang_up();
    server.wait_for_log("configuration read again");
    assert_eq!(put(&client, "large", vec![b'x'; 65 << 10]).await.refused(422), "plugin_refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why_and_takes_nothing_from_what_is_live() {
    let server = Server::with(CONFIG).plugin_as("stamp_1", "stamp").start();
    let client = Client::of(server.address);
    let good = components().bytes("stamp_1");
    for (bytes, reason) in [
        (b"not wasm".to_vec(), "text file"),
        (b"\0asm\x01\0\0\0".to_vec(), "core module"),
        (good[..good.len() / 2].to_vec(), "truncated"),
        (Vec::new(), "empty"),
    ] {
        let refused = put(&client, "stamp", bytes).await;
        assert_eq!(refused.refused(422), "plugin_refused");
        let message = refused.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(message.contains(reason), "{message}");
    }
    // It can only be found out by running it.
    let refused = put(&client, "stamp", components().bytes("endless_loop_in_describe")).await;
    assert_eq!(refused.refused(422), "plugin_refused");
    let stale = ask(&client, Method::GET, "/stamp").await.ok().json();
    assert_eq!((&stale["state"], &stale["version"]), (&json!("stale"), &json!("1")));
    client.chat("stamped", "hello", json!({})).await.ok();
    let back = ask(&client, Method::POST, "/stamp/rollback").await.ok().json();
    assert_eq!((&back["state"], &back["version"]), (&json!("live"), &json!("1")), "the version that serves takes the bad file's place");
    assert_eq!(std::fs::read(server.plugin_dir().join("stamp.wasm")).expect("the file"), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_uses_up_its_time_while_it_is_loaded_is_refused_for_good() {
    let limits = |plugin: &str| format!("[plugins.{plugin}.limits]\ntime = \"20ms\"\nfuel = 1_000_000_000_000\n");
    let guests = ["endless_loop_in_describe", "endless_loop_in_models", "sleeper_in_describe"];
    let names = guests.map(|guest| guest.replace('_', "-"));
    let server = Server::with(&format!("{PATIENT}{}", names.each_ref().map(|name| limits(name)).concat())).start();
    let client = Client::of(server.address);
    for (guest, name) in guests.iter().zip(&names) {
        let refused = put(&client, name, components().bytes(guest)).await;
        assert_eq!(refused.refused(422), "plugin_refused", "{name}");
        let message = refused.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(message.contains("it ran longer than") && message.contains("limits.time"), "{name}: {message}");
        assert!(!message.contains("tried again"), "{name}: {message}");
        assert_eq!(ask(&client, Method::GET, &format!("/{name}")).await.ok().json()["state"], "refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_out_of_the_directory_or_makes_two_files_of_one_plugin() {
    let server = Server::with("").plugin_as("bare", "a_b").start();
    let client = Client::of(server.address);
    for name in
        ["", ".", "..", ".hidden", "..%2Fout", "a%2Fb", "a%00b", "a%0Ab", "%C3%A4", &"n".repeat(65), "a%5Cb", "-%20", "-rf", ".wasm"]
    {
        assert_eq!(put(&client, name, components().bytes("bare")).await.refused(400), "invalid_value", "{name}");
    }
    let same = put(&client, "a-b.wasm", components().bytes("bare")).await;
    assert_eq!((same.status.as_u16(), &same.json()["file"]), (200, &json!("a_b.wasm")));
    assert_eq!(files(&server), ["a_b.wasm"]);
    let folder = std::fs::read_dir(server.folder.path()).expect("a folder").count();
    assert!(folder <= 4, "nothing beside the directory, the data and the configuration: {folder}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_names_the_plugin_by_its_file_and_other_bodies_are_refused() {
    let server = Server::with("[limits.plugins]\nfile_bytes = \"64KiB\"\n").start();
    let client = Client::of(server.address);
    let form = |field: &str, file: &str, bytes: &[u8]| -> Bytes {
        let head = format!("--x\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"{file}\"\r\n\r\n");
        [head.as_bytes(), bytes, b"\r\n--x--\r\n"].concat().into()
    };
    let send = async |kind: &str, body: Bytes| client.send(Method::POST, "/api/v1/plugins", Some(kind), body).await;
    assert_eq!(send(FORM, form("file", "guard.wasm", b"text")).await.refused(422), "plugin_refused");
    assert_eq!(send(FORM, form("other", "guard.wasm", b"text")).await.refused(400), "invalid_value");
    assert_eq!(send(FORM, form("file", "../guard.wasm", b"text")).await.refused(400), "invalid_value");
    assert_eq!(send(FORM, Bytes::from_static(b"--x--\r\n")).await.refused(400), "invalid_value");
    assert_eq!(send(FORM, Bytes::from_static(b"nothing")).await.refused(400), "invalid_multipart");
    assert_eq!(send("application/wasm", Bytes::from_static(b"x")).await.refused(400), "invalid_value", "no name");
    assert_eq!(send("application/json", Bytes::from_static(b"{}")).await.refused(415), "unsupported_content_type");
    for (bytes, status, code) in [(64 << 10, 422, "plugin_refused"), ((64 << 10) + 1, 413, "body_too_large")] {
        assert_eq!(put(&client, "large", vec![b'x'; bytes]).await.refused(status), code, "{bytes}");
        assert_eq!(send(FORM, form("file", "large.wasm", &vec![b'x'; bytes])).await.refused(status), code, "{bytes} in a form");
    }
    assert!(files(&server).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_volume_swaps_its_files_under_the_server_and_is_not_written() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    let root = server.plugin_dir();
    let mount = |version: &str| {
        let folder = root.join(format!("..{version}"));
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::copy(components().path(version), folder.join("stamp.wasm")).expect("copied");
        std::os::unix::fs::symlink(format!("..{version}"), root.join("..data_tmp")).expect("a link");
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).expect("swapped");
    };
    mount("stamp_1");
    std::os::unix::fs::symlink("..data/stamp.wasm", root.join("stamp.wasm")).expect("a link");
    let list = ask(&client, Method::POST, "/reload").await.ok().json();
    assert_eq!((&list["data"][0]["version"], &list["data"][0]["state"]), (&json!("1"), &json!("live")));
    mount("stamp_2");
    ask(&client, Method::POST, "/reload").await.ok();
    assert_eq!(version(&client).await, "2");
    for refused in [put(&client, "stamp", components().bytes("stamp_1")).await, ask(&client, Method::DELETE, "/stamp").await] {
        assert_eq!(refused.refused(409), "plugin_read_only");
    }
    assert_eq!(version(&client).await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_waits_for_is_accepted_and_one_too_many_is_not() {
    let config = "[limits.http]\nadmission_time = \"0s\"\n[limits.plugins]\nfiles = 1\n";
    let server = Server::with(config).start();
    let client = Client::of(server.address);
    let answer = put(&client, "bare", components().bytes("bare")).await;
    // It may have been quick.
    assert!(matches!(answer.status.as_u16(), 201 | 202), "{answer:?}");
    server.wait_for_log("plugin loaded");
    let full = Server::with("[limits.plugins]\nfiles = 1\n").plugin("bare").start();
    let client = Client::of(full.address);
    assert_eq!(put(&client, "stamp", components().bytes("stamp_1")).await.refused(409), "too_many_plugins");
    assert_eq!(put(&client, "bare", components().bytes("bare")).await.status, 200, "what is there may be replaced");
}

#[tokio::test]
async fn a_client_key_deploys_nothing_and_the_log_names_the_key_that_did() {
    let entry = |name: &str| {
        use sha2::Digest;
        let hash: String = sha2::Sha256::digest(format!("{name}-key")).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name} = [{{ name = \"the-{name}\", sha256 = \"{hash}\" }}]\n")
    };
    let config = format!("[keys]\n{}{}", entry("client"), entry("admin"));
    let server = Server::with(&config).start();
    let of = |key: &str| Client::of(server.address).header("authorization", &format!("Bearer {key}"));
    assert_eq!(put(&of("client-key"), "bare", components().bytes("bare")).await.refused(403), "admin_key_required");
    assert_eq!(put(&of("admin-key"), "bare", components().bytes("bare")).await.status, 201);
    server.wait_for_line(|line| line.contains("the plugin directory was changed") && line.contains("the-admin"));
}
