//! Files that are no components, that lie outside of the directory, that change while they are read, or whose names are tricks. None is ever run,
//! none stops the others, and what a name holds reaches no log or list unescaped.

use std::os::unix::ffi::OsStrExt as _;

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::arena::{Arena, builder, is_refused, put};
use crate::client::Client;
use crate::server::Server;
use crate::texts::{Hook, calm};

/// A directory with the calm plugin and this file.
fn beside(name: &str, bytes: &[u8]) -> Arena {
    let builder = builder("{}", "", &Hook::default().component());
    put(&builder.plugin_dir(), name, bytes);
    Arena::of(builder)
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_code_that_the_server_made_itself_is_never_taken_from_the_directory() {
    let first = Arena::open("{}", &Hook::default().component());
    let compiled = std::fs::read_dir(first.server.folder.path().join("data/compiled")).expect("a folder");
    let mut paths = compiled.map(|entry| entry.expect("an entry").path());
    let code = paths.find(|path| path.extension().is_some_and(|extension| extension == "cwasm")).expect("machine code");
    let bytes = std::fs::read(&code).expect("machine code");
    assert!(bytes.starts_with(b"\x7fELF"));
    is_refused(&bytes, "never loaded", false).await;
    // Behind the header of a component it is no component either, and under its own name it is no plugin's file.
    is_refused(&[b"\0asm\x0d\0\x01\0", &bytes[..]].concat(), "", false).await;
    let arena = beside(&code.file_name().expect("a name").to_string_lossy(), &bytes);
    arena.all_is_well().await;
    let plugins = arena.client.get("/api/v1/plugins").await.ok().json();
    assert_eq!(plugins["data"].as_array().map(Vec::len), Some(2), "{plugins}");
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_code_under_the_name_of_another_components_is_not_run() {
    let first = Arena::open("{}", &Hook::default().component());
    let folder = first.server.folder.clone();
    let compiled = folder.path().join("data/compiled");
    drop(first);
    // Its name says what it was made of, by what, and what it holds; here it holds something else.
    let codes: Vec<_> = std::fs::read_dir(&compiled)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
        .collect();
    assert_eq!(codes.len(), 2);
    let (one, other) = (std::fs::read(&codes[0]).expect("code"), std::fs::read(&codes[1]).expect("code"));
    std::fs::write(&codes[0], other).expect("written");
    std::fs::write(&codes[1], one).expect("written");
    let builder = Server::with(&super::arena::house("{}", "")).folder(folder);
    let arena = Arena::of(builder);
    arena.server.wait_for_log("compiled code is damaged and is made anew");
    arena.all_is_well().await;
    arena.ask("hello").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_module_is_refused_with_what_to_do() {
    is_refused(&wat::parse_str("(module)").expect("text"), "wasm-tools component new", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_ends_early_or_goes_on_behind_its_end_is_refused_wherever_it_is_cut() {
    let whole = Hook::default().component();
    let builder = builder("{}", "", b"");
    let directory = builder.plugin_dir();
    let cuts: Vec<usize> = (0..12).map(|i| 1 + i * (whole.len() - 2) / 11).collect();
    for (i, cut) in cuts.iter().enumerate() {
        put(&directory, &format!("cut-{i}.wasm"), &whole[..*cut]);
    }
    put(&directory, "longer.wasm", &[&whole[..], &[0xff; 9]].concat());
    put(&directory, "twice.wasm", &[&whole[..], &whole[..]].concat());
    let arena = Arena::of(builder);
    for file in (0..cuts.len()).map(|i| format!("cut-{i}.wasm")).chain(["hostile.wasm", "longer.wasm", "twice.wasm"].map(str::to_owned)) {
        arena.refusal(&file).await;
    }
    arena.all_is_well().await;
    // Half of it was a copy under way; the rest comes.
    put(&directory, "cut-5.wasm", &whole);
    arena.wait_for("cut-5.wasm", |entry| entry["state"] == "live").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_while_it_is_read_never_serves_half_of_one_version() {
    let versions: Vec<Vec<u8>> =
        (0..4_u8).map(|i| Hook { body: &"(nop)".repeat(1 + usize::from(i) * 40_000), ..Hook::default() }.component()).collect();
    let hashes: Vec<String> = versions.iter().map(|bytes| HEXLOWER.encode(&Sha256::digest(bytes))).collect();
    let arena = Arena::open("{}", &versions[0]);
    let (path, written) = (arena.server.plugin_dir().join("hostile.wasm"), versions.clone());
    // In place, piece by piece, again and again: nobody renames anything.
    let writing = tokio::task::spawn_blocking(move || {
        for round in 0..40 {
            let version = &written[round % written.len()];
            let mut file = std::fs::File::create(&path).expect("written");
            for piece in version.chunks(version.len() / 7 + 1) {
                std::io::Write::write_all(&mut file, piece).expect("written");
            }
        }
        std::fs::write(&path, &written[3]).expect("written");
    });
    while !writing.is_finished() {
        if let Some(hash) = arena.entry("hostile.wasm").await.expect("listed")["hash"].as_str() {
            assert!(hashes.iter().any(|known| known == hash), "{hash}");
        }
        arena.all_is_well().await;
    }
    writing.await.expect("written");
    arena.wait_for("hostile.wasm", |entry| entry["state"] == "live" && entry["hash"] == hashes[3]).await;
    arena.ask("hello").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_good_components_outside_of_the_directory_are_refused() {
    let builder = builder("{}", "", &Hook::default().component());
    let (directory, outside) = (builder.plugin_dir(), builder.plugin_dir().with_file_name("outside"));
    put(&outside, "good.wasm", &calm());
    std::os::unix::fs::symlink(outside.join("good.wasm"), directory.join("absolute.wasm")).expect("a link");
    std::os::unix::fs::symlink("../outside/good.wasm", directory.join("relative.wasm")).expect("a link");
    std::os::unix::fs::symlink("../outside", directory.join("..data")).expect("a link");
    std::os::unix::fs::symlink("..data/good.wasm", directory.join("mounted.wasm")).expect("a link");
    // One that stays within is good.
    std::os::unix::fs::symlink("calm.wasm", directory.join("within.wasm")).expect("a link");
    let arena = Arena::of(builder);
    for file in ["absolute.wasm", "relative.wasm", "mounted.wasm"] {
        assert!(arena.refusal(file).await.contains("outside the plugin directory"), "{file}");
    }
    arena.wait_for("within.wasm", |entry| entry["state"] == "live").await;
    arena.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_and_directories_that_are_called_like_plugins_are_refused() {
    let builder = builder("{}", "", &Hook::default().component());
    let directory = builder.plugin_dir();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, directory.join("pipe.wasm"), rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    std::fs::create_dir_all(directory.join("folder.wasm/calm.wasm")).expect("a folder");
    let arena = Arena::of(builder);
    for file in ["pipe.wasm", "folder.wasm"] {
        assert!(arena.refusal(file).await.contains("not a regular file"), "{file}");
    }
    arena.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terabyte_of_nothing_is_refused_and_not_read() {
    let builder = builder("{}", "", &Hook::default().component());
    let file = std::fs::File::create(builder.plugin_dir().join("sparse.wasm")).expect("a file");
    std::io::Write::write_all(&mut &file, b"\0asm\x0d\0\x01\0").and_then(|()| file.set_len(1 << 40)).expect("a sparse file");
    let arena = Arena::of(builder);
    assert!(arena.refusal("sparse.wasm").await.contains("limits.plugins.file_bytes"));
    arena.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_would_forge_lines_hide_files_or_lead_elsewhere_do_none_of_it() {
    let builder = builder("{}", "", &Hook::default().component());
    let directory = builder.plugin_dir();
    let long = "n".repeat(250);
    let refused = [
        "line\nINFO forged: line.wasm",
        "\x1b[2Jclear.wasm",
        "carriage\rreturn.wasm",
        "\u{202e}reversed.wasm",
        "zero\u{200b}width.wasm",
        "ｃalm.wasm",
        "calm..wasm",
        " .wasm",
        "CALM.wasm",
        "calm%2f.wasm",
        "a\\b.wasm",
        "__.wasm",
    ];
    for name in refused {
        put(&directory, name, &calm());
    }
    put(&directory, &format!("{long}.wasm"), &calm());
    // What is hidden, no text, or has another ending is no plugin's file.
    for name in [&b".calm.wasm"[..], b"..wasm", b"..wasm.wasm", b"\xff\xfe.wasm", b"calm.wasm ", b"calm.WASM", b"calm.wasm.bak"] {
        std::fs::write(directory.join(std::ffi::OsStr::from_bytes(name)), calm()).expect("written");
    }
    let arena = Arena::of(builder);
    for name in refused.map(str::to_owned).into_iter().chain([format!("{long}.wasm")]) {
        let entry = arena.entry(&name).await.unwrap_or_else(|| panic!("{name:?} is listed"));
        assert_ne!((&entry["state"], &entry["name"]), (&json!("live"), &json!("calm")), "{name:?}: {entry}");
    }
    let plugins = arena.client.get("/api/v1/plugins").await.ok();
    let listed = plugins.json()["data"].as_array().expect("a list").len();
    assert_eq!(listed, refused.len() + 3, "{}", plugins.text());
    let log = arena.server.log();
    assert!(!log.lines().any(|line| line.starts_with("INFO forged")) && !log.contains("\x1b[2J") && !log.contains('\r'), "{log}");
    arena.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_in_an_archive_another_header_and_text_are_refused() {
    let whole = Hook::default().component();
    let mut other = whole.clone();
    other[4] = 0x0e;
    let mut layer = whole.clone();
    layer[6] = 0x02;
    let files = [
        ([b"\x1f\x8b\x08\0", &whole[..]].concat(), "no WebAssembly"),
        ([b"PK\x03\x04", &whole[..]].concat(), "no WebAssembly"),
        ([b"#!/bin/sh\n", &whole[..]].concat(), "no WebAssembly"),
        ([b"\xef\xbb\xbf", &whole[..]].concat(), "no WebAssembly"),
        (other, "unknown"),
        (layer, "unknown"),
        (b"(component)".to_vec(), "wasm-tools parse"),
    ];
    let builder = builder("{}", "", &whole);
    for (i, (bytes, _)) in files.iter().enumerate() {
        put(&builder.plugin_dir(), &format!("file-{i}.wasm"), bytes);
    }
    let arena = Arena::of(builder);
    for (i, (_, part)) in files.iter().enumerate() {
        let reason = arena.refusal(&format!("file-{i}.wasm")).await;
        assert!(reason.contains(part), "{reason}");
    }
    arena.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files_are_more_than_are_looked_at() {
    let builder = builder("{}", "files = 20\n", &Hook::default().component());
    for i in 0..10_000 {
        std::fs::write(builder.plugin_dir().join(format!("a{i:05}.wasm")), b"").expect("written");
    }
    let arena = Arena::of(builder);
    let plugins = arena.client.get("/api/v1/plugins").await.ok().json();
    assert_eq!(plugins["data"].as_array().map(Vec::len), Some(20));
    arena.server.wait_for_log("more plugin files than");
    // What the operator named is among them.
    arena.wait_for("hostile.wasm", |entry| entry["state"] == "live").await;
    Client::of(arena.server.address).get("/healthz").await.ok();
}
