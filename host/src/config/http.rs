//! `[http]`: whose pages may call from a browser; and `[limits.http]`, the numbers of the HTTP room, which says what each is for.
//! Invariant: an origin is kept only if a browser would send it exactly so, for it is compared byte for byte.

use super::json::quote;
use super::print::Printer;
use super::section::Section;
use super::walk::{GIB, KIB, MIB, Walk, millis, seconds};
use crate::http::{Limits, ORIGINS_MAX, Origins};

/// `[http]`
pub(super) fn read(section: &mut Section<'_>, origins: &mut Origins, with_keys: bool) {
    let Some(entry) = section.take("cors_origins") else { return };
    for (at, entry) in entry.list().into_iter().enumerate() {
        if at == ORIGINS_MAX {
            return entry.problem(format!("is one too many: at most {ORIGINS_MAX} origins can be listed"));
        }
        let Some(text) = entry.text() else {
            entry.wrong("an origin such as \"https://chat.example\", or \"*\"");
            continue;
        };
        if text == "*" && !with_keys {
            // Any page in a browser on this machine could use the operator's providers.
            entry.problem("\"*\" would let every web page use this server, for there are no `[keys]`; list origins, or configure keys");
            continue;
        }
        match origins.clone().with(text) {
            Ok(more) => *origins = more,
            Err(why) => entry.problem(format!("{} {why}", quote(text))),
        }
    }
}

pub(super) fn print(printer: &mut Printer, origins: &Origins) {
    let origins: Vec<_> = origins.texts().map(quote).collect();
    printer.entry("cors_origins", &format!("[{}]", origins.join(", ")));
}

/// `[limits.http]`
pub(super) fn limits(keys: &mut impl Walk, limits: &mut Limits) {
    keys.duration("header_time", &mut limits.header_time, millis(1)..=seconds(600));
    // hyper needs 8 KiB at least.
    keys.bytes("header_bytes", &mut limits.header_bytes, 8 * KIB..=MIB);
    keys.duration("idle_time", &mut limits.idle_time, millis(1)..=seconds(3_600));
    keys.bytes("body_bytes", &mut limits.body_bytes, KIB..=GIB);
    keys.duration("body_time", &mut limits.body_time, millis(1)..=seconds(3_600));
    keys.bytes("response_bytes", &mut limits.response_bytes, KIB..=GIB);
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
