//! `[limits.http]` and `[keys]`: what the front door is told. Keys stand in the file as hashes only.
//! Must not know how a key is checked.

use super::json::quote;
use super::print::Printer;
use super::section::{Entry, Section};
use super::walk::{GIB, KIB, MIB, Walk, millis, seconds};
use crate::http::{Key, Keys, Limits, keys};

/// `[limits.http]`
pub(super) fn limits(keys: &mut impl Walk, limits: &mut Limits) {
    keys.duration("header_time", &mut limits.header_time, millis(1)..=seconds(600));
    // hyper needs 8 KiB at least.
    keys.bytes("header_bytes", &mut limits.header_bytes, 8 * KIB..=MIB);
    keys.duration("idle_time", &mut limits.idle_time, millis(1)..=seconds(3_600));
    keys.bytes("body_bytes", &mut limits.body_bytes, KIB..=GIB);
    keys.duration("body_time", &mut limits.body_time, millis(1)..=seconds(3_600));
    keys.bytes("upload_bytes", &mut limits.upload_bytes, KIB..=4 * GIB);
    keys.count("upload_files", &mut limits.upload_files, 1..=10_000);
    keys.count("connections", &mut limits.connections, 1..=1_000_000);
    keys.count("requests", &mut limits.requests, 1..=1_000_000);
    keys.duration("request_time", &mut limits.request_time, millis(1)..=seconds(86_400));
    // None: whatever still runs is cut.
    keys.duration("drain_time", &mut limits.drain_time, millis(0)..=seconds(3_600));
    keys.count("streams", &mut limits.streams, 1..=10_000);
    keys.count("embedding_inputs", &mut limits.embedding_inputs, 1..=100_000);
}

/// `[keys]`
pub(super) fn read_keys(section: &mut Section<'_>, keys: &mut Keys) {
    keys.client = section.take("client").map(list).unwrap_or_default();
    keys.admin = section.take("admin").map(list).unwrap_or_default();
}

/// As a comment: a shortened hash must not be mistaken for one that works.
pub(super) fn print_keys(printer: &mut Printer, keys: &Keys) {
    printer.named("keys", |printer| {
        for (name, list) in [("client", &keys.client), ("admin", &keys.admin)] {
            // The prefix and eight digits.
            let entry = |key: &Key| format!("{{ name = {}, sha256 = \"{:.15}…\" }}", quote(&key.name), keys::format(&key.sha256));
            let list: Vec<_> = list.iter().map(entry).collect();
            printer.line(&format!("# {name} = [{}]", list.join(", ")));
        }
    });
}

fn list(entry: Entry<'_>) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for entry in entry.list() {
        entry.table(|section| {
            let name = section.need("name", "whose key it is, for logs and plugins").and_then(|entry| name(&entry, &keys));
            let hash = section.need("sha256", "the SHA-256 of the key").and_then(|entry| hash(&entry, &keys));
            if let (Some(name), Some(sha256)) = (name, hash) {
                keys.push(Key { name: name.into(), sha256 });
            }
        });
    }
    keys
}

fn name(entry: &Entry<'_>, before: &[Key]) -> Option<String> {
    let name = entry.text().filter(|name| crate::pipeline::definition::is_name(name)).map(str::to_owned);
    match &name {
        None => entry.wrong("1 to 64 letters, digits, `-`, `_` or `.`"),
        Some(name) if before.iter().any(|key| *key.name == **name) => entry.problem(format!("the name {name:?} stands twice")),
        Some(_) => {}
    }
    name
}

/// Never repeats what was found: it may be the key itself.
fn hash(entry: &Entry<'_>, before: &[Key]) -> Option<[u8; 32]> {
    let Some(hash) = entry.text().and_then(keys::parse) else {
        entry.problem("expected the SHA-256 of the key in 64 hex digits, as `printf %s \"$KEY\" | sha256sum` prints it");
        return None;
    };
    // What an unset variable hashes to; as a key it would let in everybody who sends none.
    if hash == keys::hash(b"") {
        entry.problem("is the SHA-256 of nothing; was the variable with the key empty?");
    } else if before.iter().any(|key| key.sha256 == hash) {
        entry.problem("the same key stands twice");
    }
    Some(hash)
}
