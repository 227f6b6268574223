//! `[limits.http]`: the numbers of the front door. Must not know what they are for; the room says it.

use super::walk::{GIB, KIB, MIB, Walk, millis, seconds};
use crate::http::Limits;

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
