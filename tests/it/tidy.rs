//! The house rules as tests: which room may use which, which crate may appear where, sizes, headers, names and documents.
//! Sources are read as text. A new edge or crate is a new entry in a table here, so that it is seen in review.

mod circles;
mod document;
mod documents;
mod keys;
mod rules;
pub(crate) mod source;

use std::collections::BTreeMap;

use source::Source;

/// The rooms that each room may use. The order is the direction: a room uses only rooms below it.
const ROOMS: [(&str, &[&str]); 18] = [
    ("main", &["cli"]),
    ("cli", &["app", "config", "http", "pipeline", "sandbox", "rag", "llm", "subprocess", "chat", "telemetry"]),
    (
        "app",
        &["config", "storage", "http", "pipeline", "stages", "sandbox", "rag", "llm", "ledger", "outbound", "chat", "telemetry", "files"],
    ),
    ("config", &["http", "pipeline", "sandbox", "rag", "llm", "ledger", "chat", "telemetry"]),
    // The ports that it implements are the rooms' own.
    ("storage", &["pipeline", "sandbox", "rag", "ledger", "chat", "telemetry", "files"]),
    ("http", &["pipeline", "stages", "sandbox", "rag", "llm", "ledger", "fair", "chat", "telemetry"]),
    ("pipeline", &["stages", "sandbox", "rag", "llm", "chat", "telemetry"]),
    ("stages", &["sandbox", "rag", "llm", "chat", "telemetry"]),
    ("sandbox", &["outbound", "subprocess", "fair", "chat", "telemetry", "files"]),
    ("rag", &["subprocess", "fair", "chat", "telemetry"]),
    ("llm", &["fair", "chat", "telemetry", "files"]),
    ("ledger", &["chat", "telemetry"]),
    // The requests of plugins, which nobody vetted, take another way than those to providers.
    ("outbound", &["fair", "chat"]),
    // What nobody vetted is worked on elsewhere.
    ("subprocess", &[]),
    // Below all that is shared between clients.
    ("fair", &["chat"]),
    ("chat", &[]),
    ("telemetry", &[]),
    ("files", &[]),
];

const EVERYWHERE: &[&str] = &["*"];

/// The rooms in which each dependency of the host may be named. The longest entry that matches a path decides.
const CRATES: &[(&str, &[&str])] = &[
    ("anyhow", &["main", "cli", "app"]),
    ("arc_swap", &["http", "sandbox", "pipeline"]),
    ("async_task", &["sandbox"]),
    ("brotli_decompressor", &["llm"]),
    ("bytes", &["http", "pipeline", "stages", "sandbox", "rag", "llm", "outbound", "chat", "cli"]),
    ("bytesize", &["config", "sandbox"]),
    ("chardetng", &["rag"]),
    ("clap", &["cli"]),
    ("cofferdam_encoder", &["rag"]),
    ("csv_core", &["rag"]),
    ("data_encoding", EVERYWHERE),
    ("encoding_rs", &["rag"]),
    ("fastrand", &["http", "llm"]),
    ("flate2", &["http", "llm"]),
    ("form_urlencoded", &["cli", "http", "llm"]),
    ("futures_util", EVERYWHERE),
    ("getrandom", &["http", "stages", "telemetry"]),
    ("htmd", &["rag"]),
    ("http", &["config", "http", "sandbox", "llm", "outbound"]),
    ("http_body_util", &["http", "sandbox", "llm", "outbound"]),
    ("httpdate", &["llm"]),
    ("humantime", &["config", "pipeline", "sandbox", "outbound"]),
    // Which side of hyper: the server's answers clients, the client's asks providers, and what plugins want to ask.
    ("hyper", &["http", "llm", "outbound"]),
    ("hyper::client", &["llm", "outbound"]),
    ("hyper::server", &["http"]),
    ("hyper_rustls", &["llm", "outbound"]),
    ("hyper_util", &["http", "llm", "outbound"]),
    ("hyper_util::client", &["llm"]),
    ("hyper_util::server", &["http"]),
    ("indicatif", &["cli"]),
    ("jiff", &["storage", "http", "ledger"]),
    ("jsonschema", &["sandbox"]),
    ("listenfd", &["http"]),
    ("memchr", &["http", "rag", "llm", "outbound", "chat"]),
    ("multer", &["http"]),
    ("notify", &["sandbox"]),
    ("percent_encoding", &["http", "llm"]),
    ("prometheus_client", &["telemetry"]),
    ("pulldown_cmark", &["rag"]),
    ("rusqlite", &["storage"]),
    ("rustix", &["cli", "sandbox", "rag", "subprocess", "telemetry", "fair", "files"]),
    ("ruzstd", &["http"]),
    ("schemars", &["http"]),
    ("serde", &["cli", "storage", "http", "pipeline", "sandbox", "rag", "llm", "chat", "stages"]),
    ("serde_json", EVERYWHERE),
    ("serde_path_to_error", &["http", "chat"]),
    ("sha2", &["http", "sandbox", "rag", "storage"]),
    ("socket2", &["http"]),
    ("subtle", &["http"]),
    ("tempfile", &["sandbox", "storage"]),
    ("text_splitter", &["rag"]),
    ("thiserror", EVERYWHERE),
    ("tikv_jemallocator", &["main"]),
    ("tokio", EVERYWHERE),
    ("tokio_rustls", &["http", "outbound"]),
    ("tokio_util", &["http"]),
    ("toml", &["config"]),
    ("tower_service", &["llm"]),
    ("tracing", EVERYWHERE),
    ("tracing_subscriber", &["telemetry"]),
    ("undoc", &["rag"]),
    ("unicode_segmentation", &["rag", "llm"]),
    ("unpdf", &["rag"]),
    ("url", &["outbound", "stages", "rag"]),
    ("usearch", &["storage"]),
    ("uuid", &["cli", "http", "stages", "rag", "llm"]),
    ("wasmparser", &["sandbox"]),
    ("wasmtime", &["sandbox"]),
    ("wasmtime_wasi", &["sandbox"]),
    ("wasmtime_wasi_http", &["sandbox"]),
    ("zip", &["rag"]),
];

/// Fails with every finding, one a line.
#[track_caller]
fn clean(findings: impl IntoIterator<Item = String>) {
    let findings: Vec<String> = findings.into_iter().collect();
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn every_room_uses_only_the_rooms_below_it() {
    clean(source::under("host/src").iter().flat_map(|source| rules::edges(source, &ROOMS)));
}

#[test]
fn the_table_of_rooms_has_no_cycle_and_no_strangers() {
    let order: BTreeMap<&str, usize> = ROOMS.iter().enumerate().map(|(i, (room, _))| (*room, i)).collect();
    for (i, (room, uses)) in ROOMS.iter().enumerate() {
        for used in *uses {
            assert!(order.get(used).is_some_and(|at| *at > i), "{room} uses {used}, which does not stand below it");
        }
    }
}

#[test]
fn sandbox_rag_and_llm_do_not_know_each_other() {
    let siblings = ["sandbox", "rag", "llm"];
    for (room, uses) in ROOMS.iter().filter(|(room, _)| siblings.contains(room)) {
        assert!(!uses.iter().any(|used| siblings.contains(used)), "{room}");
    }
}

#[test]
fn no_two_files_of_a_room_import_each_other_in_a_circle() {
    clean(circles::circles(&source::under("host/src")));
}

#[test]
fn listening_knows_no_route() {
    // The room's name stands in `pub(in crate::http)`.
    const OWN: [&str; 2] = ["crate::http", "crate::http::limits::Limits"];
    let listening = source::under("host/src/http/listen");
    assert!(listening.len() > 3, "the folder is where it was");
    clean(listening.iter().flat_map(|source| {
        let paths = source::paths(&source::code(source.split_tests().0));
        let outside = |path: &String| path.starts_with("super::super") || (path.starts_with("crate::") && !OWN.contains(&path.as_str()));
        paths.into_iter().filter(outside).map(|path| format!("{}: names {path}", source.path)).collect::<Vec<_>>()
    }));
}

#[test]
fn every_crate_stays_in_its_rooms() {
    clean(source::under("host/src").iter().flat_map(|source| rules::crates(source, CRATES)));
}

#[test]
fn the_table_of_crates_lists_every_dependency_of_the_host() {
    let declared = rules::dependencies(&source::read("host/Cargo.toml"));
    assert!(declared.len() > 10, "read only {declared:?}");
    let listed = |name: &String| CRATES.iter().any(|(row, _)| row == name);
    clean(declared.iter().filter(|name| !listed(name)).map(|name| format!("{name} is not in the table")));
    let gone = CRATES.iter().filter(|(row, _)| !row.contains("::") && !declared.iter().any(|name| name == row));
    clean(gone.map(|(row, _)| format!("{row} is in the table and not in host/Cargo.toml")));
}

#[test]
fn every_dependency_of_the_host_is_used() {
    let sources = source::under("host/src");
    let used = |row: &str| sources.iter().any(|source| rules::names(source, row));
    clean(CRATES.iter().filter(|(row, _)| !row.contains("::") && !used(row)).map(|(row, _)| format!("nothing names {row}")));
}

#[test]
fn no_file_is_longer_than_can_be_read_in_one_sitting() {
    clean(rust().iter().filter_map(rules::too_long));
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let clippy = source::read("clippy.toml");
    assert!(clippy.contains("too-many-lines-threshold = 70"), "clippy counts the lines of functions, here only that it does");
    assert!(source::read("Cargo.toml").contains("too_many_lines = \"warn\""));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    clean(rust().iter().filter_map(rules::no_header));
}

#[test]
fn every_module_is_named_after_its_concept() {
    clean(rust().iter().filter_map(rules::vague_name));
}

#[test]
fn every_file_of_the_host_is_declared_by_its_parent() {
    let sources = source::under("host/src");
    clean(sources.iter().filter_map(|source| rules::orphan(source, &sources)));
}

#[test]
fn nothing_panics_or_waits_where_it_must_not() {
    clean(rust().iter().flat_map(rules::banned));
}

#[test]
fn every_hostile_guest_has_a_test() {
    let tests: Vec<Source> = source::under("tests/it").into_iter().filter(|source| !source.path.contains("tidy")).collect();
    clean(source::under("tests/guests/examples").iter().filter_map(|guest| rules::dead_guest(guest, &tests)));
}

/// Every Rust source that people maintain.
fn rust() -> Vec<Source> {
    ["host", "guest-sdk", "plugins", "tests"].into_iter().flat_map(source::under).collect()
}
