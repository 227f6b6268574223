//! What the machine fails to do for a plugin is told as the machine's failure, is not remembered against the plugin, and is tried again.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{SOON, pipeline, refused, wait_for};
use crate::client::Client;
use crate::server::Server;

/// What the server writes when it starts to compile a file.
const COMPILING: &str = "work: compiling";

/// A file system in memory; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// `None` for a user who may not mount.
    fn new(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let mount = Self(at.to_owned());
        mount.call(&["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"]).then_some(mount)
    }

    fn resize(&self, size: &str) {
        assert!(self.call(&["-o", &format!("remount,size={size}")]), "the file system can be made larger");
    }

    fn call(&self, options: &[&str]) -> bool {
        Command::new("mount").args(options).arg(&self.0).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn config() -> String {
    [SOON, &pipeline("p", "noop-pre")].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_fault_of_the_component_which_is_live_once_there_is_room() {
    let builder = Server::with(&config()).plugin("noop_pre");
    let compiled = builder.plugin_dir().with_file_name("data").join("compiled");
    let Some(disk) = Mount::new(&compiled, "64k") else {
        eprintln!("skipped: the full disk (only root can mount one)");
        return;
    };
    let server = builder.start();
    let client = Client::of(server.address);
    let reason = refused(&client, "noop_pre.wasm").await;
    assert!(reason.contains("the disk of `data_dir` is full") && reason.ends_with("it is tried again"), "{reason}");
    let answer = client.chat("p", "hello", json!({})).await;
    assert_eq!((answer.refused(503).as_str(), answer.header("retry-after")), ("plugin_not_loaded", Some("1")));
    assert!(!compiled.join("refused.json").exists(), "nothing is remembered");
    assert!(client.get("/metrics").await.ok().text().contains("cofferdam_plugin_loads_total{outcome=\"failed\"}"));
    disk.resize("64m");
    wait_for(&client, "noop_pre.wasm", |entry| entry["state"] == "live").await;
    client.chat("p", "hello", json!({})).await.ok();
    drop((server, disk));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_the_servers_trouble_and_is_used_again_when_it_can() {
    let server = Server::with(&config()).start();
    let client = Client::of(server.address);
    let compiled = server.folder.path().join("data/compiled");
    std::fs::rename(&compiled, compiled.with_extension("away")).expect("moved");
    crate::server::deploy(&crate::components::components().path("noop_pre"), &server.plugin_dir(), "noop-pre");
    let reason = refused(&client, "noop-pre.wasm").await;
    assert!(reason.contains("compiled code cannot be kept in") && reason.ends_with("it is tried again"), "{reason}");
    std::fs::rename(compiled.with_extension("away"), &compiled).expect("moved back");
    wait_for(&client, "noop-pre.wasm", |entry| entry["state"] == "live").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_file_sizes_that_the_server_runs_under_is_not_held_against_a_component() {
    let part = r#"(core module (memory 64) (data (i32.const 0) "a") (data (i32.const 2000000) "b"))"#;
    let text = format!(r#"(component {part} (instance $empty) (export "cofferdam:hooks/pre-hook@0.2.0" (instance $empty)))"#);
    let large = wat::parse_str(text).expect("WebAssembly text");
    let builder = Server::with(SOON).through("ulimit -f 1024 && exec \"$0\" \"$@\"");
    std::fs::create_dir_all(builder.plugin_dir()).expect("a folder");
    std::fs::write(builder.plugin_dir().join("large.wasm"), large).expect("written");
    let mut server = builder.start();
    let reason = refused(&Client::of(server.address), "large.wasm").await;
    assert!(reason.contains("a limit of file sizes") && reason.ends_with("it is tried again"), "{reason}");
    server.kill();
    let server = Server::with(SOON).folder(server.folder.clone()).start();
    let reason = refused(&Client::of(server.address), "large.wasm").await;
    assert!(
        reason.contains("it has no function `on-request`") && server.log().contains(COMPILING),
        "it compiles, and is no plugin: {reason}"
    );
}

/// Runs what it is given in a process that gets no right to execute memory later than to write it; the kernel has that since 6.3.
const FORBID: &str = r#"import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0: sys.exit(3)
os.execvp(sys.argv[1], sys.argv[1:])"#;

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_must_not_be_executed_is_told_with_its_remedy_and_nothing_is_compiled_again_and_again() {
    if !Command::new("python3").args(["-c", FORBID, "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: memory that must not be executed (this needs python3 and Linux 6.3)");
        return;
    }
    let mut server = Server::with(&config()).plugin("noop_pre").through(&format!("exec python3 -c '{FORBID}' \"$0\" \"$@\"")).start();
    let client = Client::of(server.address);
    // Refused, and tried again with the code that is kept, for as often as the figures say.
    let often = async {
        while !client.get("/metrics").await.ok().text().lines().any(|line| line == "cofferdam_plugin_loads_total{outcome=\"failed\"} 3") {}
    };
    tokio::time::timeout(crate::server::PATIENCE, often).await.expect("it is tried again");
    let reason = refused(&client, "noop_pre.wasm").await;
    assert!(reason.contains("MemoryDenyWriteExecute") && reason.ends_with("it is tried again"), "{reason}");
    assert_eq!(server.log().matches(COMPILING).count(), 1, "its code is kept");
    server.kill();
    let server = Server::with(&config()).folder(server.folder.clone()).start();
    wait_for(&Client::of(server.address), "noop_pre.wasm", |entry| entry["state"] == "live").await;
    assert!(!server.log().contains(COMPILING));
}
