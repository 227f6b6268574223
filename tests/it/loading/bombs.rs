//! Small components that ask for much: disk, processor time, words in every log. Each is refused by its limit, and before compiling if that
//! can be known.

use std::path::Path;

use super::{SOON, refused};
use crate::client::Client;
use crate::server::{Builder, Server};

/// What the server writes when it starts to compile a file.
const COMPILING: &str = "work: compiling";

/// A component with a hook's export and these parts, which nothing instantiates.
fn component(parts: &str) -> Vec<u8> {
    let text = format!(r#"(component {parts} (instance $empty) (export "cofferdam:hooks/pre-hook@0.2.0" (instance $empty)))"#);
    wat::parse_str(text).expect("WebAssembly text")
}

fn with_file(config: &str, name: &str, bytes: &[u8]) -> Builder {
    let builder = Server::with(config);
    put(&builder.plugin_dir(), name, bytes);
    builder
}

fn put(directory: &Path, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(directory).expect("a folder");
    std::fs::write(directory.join(format!(".{name}")), bytes).expect("written");
    std::fs::rename(directory.join(format!(".{name}")), directory.join(name)).expect("renamed");
}

/// Bytes of all files under `data_dir/compiled`.
fn compiled_bytes(server: &Server) -> u64 {
    let entries = std::fs::read_dir(server.folder.path().join("data/compiled")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").metadata().expect("its size").len()).sum()
}

#[tokio::test]
async fn gaps_between_data_or_table_elements_of_unused_modules_do_not_fill_the_disk() {
    let memory = r#"(core module (memory 1024) (data (i32.const 0) "a") (data (i32.const 67000000) "b"))"#;
    let table = "(core module (table 1048576 funcref) (func) (elem (i32.const 1048575) func 0))";
    for (part, times) in [(memory, 15), (table, 100)] {
        let bomb = component(&part.repeat(times));
        assert!(bomb.len() < 5_000, "{} bytes", bomb.len());
        let server = with_file(SOON, "bomb.wasm", &bomb).start();
        let reason = refused(&Client::of(server.address), "bomb.wasm").await;
        assert!(reason.contains("limits.plugins.image_bytes"), "{reason}");
        assert!(!server.log().contains(COMPILING) && compiled_bytes(&server) == 0, "it is known before it is compiled");
    }
}

#[tokio::test]
async fn the_size_of_initial_memories_is_limited_to_the_byte() {
    for (last, part) in [(65_535, "it has no function `on-request`"), (65_536, "limits.plugins.image_bytes")] {
        let gap = component(&format!(r#"(core module (memory 2) (data (i32.const 0) "a") (data (i32.const {last}) "b"))"#));
        let server = with_file("[limits.plugins]\nimage_bytes = \"64KiB\"\n", "gap.wasm", &gap).start();
        let reason = refused(&Client::of(server.address), "gap.wasm").await;
        assert!(reason.contains(part), "{reason}");
    }
}

#[tokio::test]
async fn machine_code_over_the_limit_of_a_file_is_never_written() {
    let gap = component(r#"(core module (memory 64) (data (i32.const 0) "a") (data (i32.const 2000000) "b"))"#);
    let config = "[limits.plugins]\ncompiled_file_bytes = \"1MiB\"\n";
    let server = with_file(config, "large.wasm", &gap).start();
    let reason = refused(&Client::of(server.address), "large.wasm").await;
    assert!(reason.contains("limits.plugins.compiled_file_bytes"), "{reason}");
    assert!(compiled_bytes(&server) < 10_000, "nothing but the reason is kept");
}

#[tokio::test]
async fn long_names_of_imports_and_exports_are_cut_and_nothing_is_compiled_for_them() {
    let name = "x".repeat(90_000);
    let importing: String = (0..300).map(|i| format!("(import \"a{i}-{name}\" (func))")).collect();
    let exporting: String = (0..300).map(|i| format!("(export \"a{i}-{name}\" (instance $e))")).collect();
    for text in [format!("(component {importing})"), format!("(component (instance $e) {exporting})")] {
        let bytes = wat::parse_str(text).expect("WebAssembly text");
        assert!(bytes.len() > 27_000_000);
        let server = with_file(SOON, "wordy.wasm", &bytes).start();
        let client = Client::of(server.address);
        let reason = refused(&client, "wordy.wasm").await;
        assert!(reason.len() <= 2_010 && reason.contains("and more"), "{} bytes", reason.len());
        assert!(client.get("/api/v1/plugins").await.body.len() < 5_000);
        assert!(server.log().len() < 100_000 && !server.log().contains(COMPILING));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_compiler_refused_is_refused_at_once_after_a_restart_until_its_limit_changes() {
    let config = |limit: &str| format!("{SOON}compiled_file_bytes = \"{limit}\"\n");
    let gap = component(r#"(core module (memory 64) (data (i32.const 0) "a") (data (i32.const 2000000) "b"))"#);
    let server = with_file(&config("1MiB"), "bomb.wasm", &gap).plugin("noop_pre").start();
    assert!(server.log().contains(COMPILING));
    let reason = refused(&Client::of(server.address), "bomb.wasm").await;
    let folder = server.folder.clone();
    drop(server);
    // Under another name, too: the bytes are known, not the file.
    std::fs::copy(folder.path().join("plugins/bomb.wasm"), folder.path().join("plugins/again.wasm")).expect("copied");
    let server = Server::with(&config("1MiB")).folder(folder.clone()).start();
    let client = Client::of(server.address);
    for file in ["bomb.wasm", "again.wasm"] {
        assert_eq!(refused(&client, file).await, reason);
    }
    assert!(!server.log().contains(COMPILING), "neither the bomb nor the plugin, whose code is kept");
    drop(server);
    let server = Server::with(&config("2MiB")).folder(folder).start();
    assert!(server.log().contains(COMPILING));
    assert!(refused(&Client::of(server.address), "bomb.wasm").await.contains("it has no function `on-request`"));
}
