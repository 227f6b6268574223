//! Each rule on a text that keeps it and a text that breaks it.

use super::*;

const ROOMS: Table<'_> = &[("http", &["chat", "rag"]), ("rag", &["chat"]), ("chat", &[])];
const CRATES: Table<'_> = &[("http", &["http"]), ("hyper", &["http", "rag"]), ("hyper::client", &["rag"]), ("serde_json", &["*"])];

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

#[track_caller]
fn uses(path: &str, text: &str, wrong: &[&str]) {
    let findings = edges(&source(path, text), ROOMS);
    let used: Vec<&str> = findings.iter().map(|finding| finding.rsplit('`').nth(1).unwrap_or_default()).collect();
    assert_eq!(used, wrong, "{text}");
}

#[test]
fn an_edge_that_is_not_in_the_table_is_found_however_it_is_written() {
    uses("host/src/http/a.rs", "use crate::{chat::Message, rag}; fn f() -> crate::http::Key {}", &[]);
    uses("host/src/rag.rs", "use crate::chat::{self, Hit};\nuse crate::http::Key;", &["http"]);
    uses("host/src/rag.rs", "use crate::{\n    chat::{Hit, Message},\n    http::{Key, Keys},\n};", &["http"]);
    uses("host/src/rag/a/b.rs", "fn f(key: &crate::http::Key) -> Result<(), crate::rag::Error>", &["http"]);
    uses("host/src/rag.rs", "pub(in crate::http) fn f() { cofferdam::http::g() }", &["http"]);
    uses("host/src/rag.rs", "use super::http::Key;", &["http"]);
    uses("host/src/rag/a.rs", "use super::super::http::Key;", &["http"]);
    uses("host/src/rag/a/b.rs", "use super::super::http::Key;", &[]);
    uses("host/src/rag/a.rs", "use super::http::Key;", &[]);
    uses(
        "host/src/rag.rs",
        "// crate::http::Key\nconst A: &str = \"crate::http\";\n#[cfg(test)]\nmod tests {\n use crate::http::Key; }",
        &[],
    );
    assert_eq!(edges(&source("host/src/new.rs", ""), ROOMS), ["host/src/new.rs: the room `new` is not in the table"]);
    assert!(edges(&source("host/src/lib.rs", "pub use crate::http;"), ROOMS).is_empty());
}

#[track_caller]
fn names(path: &str, text: &str, wrong: usize) {
    let findings = crates(&source(path, text), CRATES);
    assert_eq!(findings.len(), wrong, "{text}: {findings:?}");
}

#[test]
fn a_crate_outside_its_rooms_is_found_and_the_longest_row_decides() {
    names("host/src/http.rs", "use hyper::{Request, server::conn::http1};", 0);
    names("host/src/http.rs", "use hyper::{Request, client::conn::http1};", 1);
    names("host/src/rag/a.rs", "use hyper::client::conn::http1;", 0);
    names("host/src/chat.rs", "fn f(r: hyper::Request<()>) {}", 1);
    names("host/src/chat.rs", "use serde_json::Value; use hyper_util::rt::TokioIo;", 0);
}

#[test]
fn a_module_of_a_crates_name_is_not_the_crate() {
    names("host/src/rag.rs", "use crate::http;\nfn f() { http::serve() }", 0);
    names("host/src/rag.rs", "mod http;\nuse http::serve;", 0);
    names("host/src/rag.rs", "use crate::{chat, http::{self, Key}};\nfn f() { http::serve() }", 0);
    names("host/src/rag.rs", "use crate::http;\nuse ::http::Uri;", 1);
    names("host/src/rag.rs", "use http::Uri;", 1);
}

#[test]
fn a_crate_that_only_a_comment_names_is_not_used() {
    assert!(super::names(&source("host/src/a.rs", "use hyper::Request;"), "hyper"));
    assert!(!super::names(&source("host/src/a.rs", "// hyper::Request\nuse hyper_util::rt;"), "hyper"));
}

#[test]
fn a_manifests_dependencies_are_read_as_rust_spells_them() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nanyhow.workspace = true\ntext-splitter = { version = \"1\" }\n# no\n\n[dev-dependencies]\nproptest = \"1\"\n";
    assert_eq!(dependencies(manifest), ["anyhow", "text_splitter"]);
}

#[test]
fn a_file_is_measured_without_its_tests() {
    let code = "fn f() {}\n".repeat(LINES_MAX);
    assert_eq!(too_long(&source("host/src/a.rs", &code)), None);
    assert_eq!(too_long(&source("host/src/a.rs", &format!("{code}#[cfg(test)]\n#[path = \"b.rs\"]\nmod tests {{\n{code}}}"))), None);
    assert!(too_long(&source("host/src/a.rs", &format!("{code}// one more\n"))).is_some());
    assert!(too_long(&source("host/src/a.rs", &format!("#[cfg(test)]\nuse a;\n{code}"))).is_some());
}

#[test]
fn a_header_says_enough_and_not_too_much() {
    let long = "fn f() {}\n".repeat(SHORT);
    let file = |path: &str, lines: usize, rest: &str| no_header(&source(path, &("//! x\n".repeat(lines) + rest))).is_none();
    for (lines, fits) in [(0, false), (1, false), (2, true), (6, true), (7, false)] {
        assert_eq!(file("host/src/a.rs", lines, &long), fits, "{lines}");
    }
    let one_line = format!("//! What it is for. What it makes sure of.\n{long}");
    assert_eq!(no_header(&source("host/src/a.rs", &one_line)), None);
    assert!(no_header(&source("host/src/a.rs", &format!("//! What it is for. Must not know the rest.\n{long}"))).is_some());
    assert!(file("host/src/main.rs", 1, "fn main() {}"));
    assert!(file("host/src/a/tests.rs", 1, &long) && !file("host/src/a/tests.rs", 0, &long));
    assert!(file("plugins/p/src/lib.rs", 20, &long) && !file("plugins/p/src/lib.rs", 0, &long));
}

#[test]
fn a_name_that_says_nothing_is_found() {
    for path in ["host/src/util.rs", "host/src/rag/helpers.rs", "tests/it/common/a.rs", "host/src/rag/mod.rs"] {
        assert!(vague_name(&source(path, "")).is_some(), "{path}");
    }
    for path in ["host/src/rag/utility_bill.rs", "tests/it/support.rs"] {
        assert!(vague_name(&source(path, "")).is_none(), "{path}");
    }
}

#[test]
fn a_file_that_nobody_declares_is_found() {
    let all =
        [source("host/src/lib.rs", "pub mod rag;"), source("host/src/rag.rs", "mod chunk;\n// mod index;"), source("host/src/main.rs", "")];
    assert!(all.iter().all(|source| orphan(source, &all).is_none()));
    assert_eq!(orphan(&source("host/src/rag/chunk.rs", ""), &all), None);
    assert!(orphan(&source("host/src/rag/index.rs", ""), &all).is_some());
    assert!(orphan(&source("host/src/llm.rs", ""), &all).is_some());
}

#[test]
fn what_has_no_place_is_found_where_it_has_none() {
    let count = |path: &str, text: &str| banned(&source(path, text)).len();
    assert_eq!(count("host/src/a.rs", "fn f() { g().unwrap(); todo!() }"), 2);
    assert_eq!(count("host/src/a.rs", "// .unwrap()\nfn f() { g().unwrap_or(1) }\n#[cfg(test)]\nmod tests { fn f() { g().unwrap() } }"), 0);
    assert_eq!(count("host/src/a/tests.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() { std::thread::sleep(d) }"), 2);
    assert_eq!(count("tests/it/a.rs", "async fn f() { tokio::time::sleep(d).await }"), 1);
    assert_eq!(count("host/src/a.rs", "async fn retry() { tokio::time::sleep(d).await }"), 0);
    assert_eq!(count("tests/guests/examples/sleeper.rs", "fn f() { std::thread::sleep(d).unwrap() }"), 0);
}

#[test]
fn a_guest_without_a_test_is_found() {
    let tests = [source("tests/it/hostile.rs", "hostile(\"endless-loop\")")];
    assert_eq!(dead_guest(&source("tests/guests/examples/endless_loop.rs", ""), &tests), None);
    assert!(dead_guest(&source("tests/guests/examples/memory_hog.rs", ""), &tests).is_some());
}
