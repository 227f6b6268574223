//! `[limits]` and a plugin's own limits: the keys and their ranges. The defaults stand in the rooms, with their reasons.
//! Zero is allowed only if it means "none"; the largest values keep a typing mistake from switching a limit off.

use super::walk::{GIB, KIB, MIB, Walk, millis, seconds};
use crate::{llm, rag, sandbox};

/// `[plugins.NAME.limits]`
pub(super) fn hook_call(keys: &mut impl Walk, limits: &mut sandbox::Limits) {
    keys.count("fuel", &mut limits.fuel, 1..=1_000_000_000_000_000);
    // Linear memory grows in pages of 64 KiB, up to the size of a slot in the engine's pool.
    keys.bytes("memory", &mut limits.memory, 64 * KIB..=sandbox::MEMORY_BYTES_MAX as u64);
    // One copy of a string lasts two milliseconds for each MiB of this, and a call may outlive its `time` by as much.
    keys.bytes("composed_memory", &mut limits.composed_memory, 64 * KIB..=24 * MIB);
    keys.count("table_elements", &mut limits.table_elements, 1..=sandbox::TABLE_ELEMENTS_MAX as u64);
    keys.duration("time", &mut limits.time, millis(1)..=seconds(600));
    keys.duration("reply_time", &mut limits.reply_time, millis(1)..=seconds(600));
    keys.duration("wait", &mut limits.wait, millis(1)..=seconds(600));
    keys.bytes("output", &mut limits.output, KIB..=GIB);
    keys.bytes("hostcall_bytes", &mut limits.hostcall_bytes, KIB..=GIB);
    keys.count("log_lines", &mut limits.log_lines, 0..=100_000);
    keys.bytes("log_line_bytes", &mut limits.log_line_bytes, 16..=64 * KIB);
}

/// `[limits.providers]`
pub(super) fn providers(keys: &mut impl Walk, limits: &mut llm::Limits) {
    keys.duration("connect", &mut limits.connect, millis(1)..=seconds(60));
    keys.duration("first_byte", &mut limits.first_byte, millis(1)..=seconds(3_600));
    keys.duration("idle", &mut limits.idle, millis(1)..=seconds(3_600));
    keys.duration("total", &mut limits.total, millis(1)..=seconds(86_400));
    keys.bytes("event_bytes", &mut limits.event_bytes, KIB..=256 * MIB);
    keys.bytes("reply_bytes", &mut limits.reply_bytes, KIB..=GIB);
    keys.bytes("replies_bytes", &mut limits.replies_bytes, 64 * KIB..=1_024 * GIB);
    // 0: a new connection for every attempt.
    keys.count("idle_connections", &mut limits.idle_connections, 0..=10_000);
    keys.count("retries", &mut limits.retries, 0..=5);
    // 0: no retries at the same provider.
    keys.duration("retry_budget", &mut limits.retry_budget, millis(0)..=seconds(60));
    keys.duration("retry_backoff", &mut limits.retry_backoff, millis(1)..=seconds(10));
    // 0: no circuit opens.
    keys.count("circuit_failures", &mut limits.circuit_failures, 0..=1_000);
    keys.duration("circuit_time", &mut limits.circuit_time, millis(1)..=seconds(3_600));
    keys.duration("circuit_time_max", &mut limits.circuit_time_max, millis(1)..=seconds(86_400));
}

/// `[limits.plugins]`
pub(super) fn plugins(keys: &mut impl Walk, limits: &mut sandbox::ServerLimits) {
    keys.count("calls", &mut limits.calls, 1..=10_000);
    keys.count("calls_per_plugin", &mut limits.calls_per_plugin, 1..=10_000);
    keys.count("streams", &mut limits.streams, 1..=10_000);
    keys.count("streams_per_plugin", &mut limits.streams_per_plugin, 1..=10_000);
    keys.bytes("streams_memory", &mut limits.streams_memory, MIB..=1_024 * GIB);
    keys.bytes("stream_buffer", &mut limits.stream_buffer, KIB..=64 * MIB);
    keys.count("model_calls", &mut limits.model_calls, 1..=10_000);
    keys.count("model_calls_per_plugin", &mut limits.model_calls_per_plugin, 1..=10_000);
    keys.bytes("model_memory", &mut limits.model_memory, MIB..=1_024 * GIB);
    keys.count("models_per_plugin", &mut limits.models_per_plugin, 1..=1_000);
    keys.duration("models_ttl", &mut limits.models_ttl, seconds(1)..=seconds(86_400));
    keys.count("embed_texts", &mut limits.embed_texts, 1..=10_000);
    keys.bytes("embed_bytes", &mut limits.embed_bytes, KIB..=64 * MIB);
    keys.count("embed_numbers", &mut limits.embed_numbers, 1..=1_000_000);
    keys.count("done_calls", &mut limits.done_calls, 1..=1_000);
    keys.count("done_calls_per_plugin", &mut limits.done_calls_per_plugin, 1..=1_000);
    keys.bytes("done_memory", &mut limits.done_memory, MIB..=1_024 * GIB);
    keys.count("done_queue", &mut limits.done_queue, 1..=100_000);
    keys.bytes("done_queue_bytes", &mut limits.done_queue_bytes, 64 * KIB..=GIB);
    keys.bytes("done_bytes", &mut limits.done_bytes, 64 * KIB..=1_024 * GIB);
    // 0: done-hooks see no reply.
    keys.bytes("done_reply_bytes", &mut limits.done_reply_bytes, 0..=256 * MIB);
    // 0: a call that gets no permit fails at once.
    keys.duration("queue_time", &mut limits.queue_time, millis(0)..=seconds(60));
    // 0: one for each processor.
    keys.count("threads", &mut limits.threads, 0..=256);
    keys.duration("starve_time", &mut limits.starve_time, millis(1)..=seconds(60));
    keys.bytes("memory", &mut limits.memory, MIB..=1_024 * GIB);
    keys.bytes("replies_bytes", &mut limits.replies_bytes, 64 * KIB..=1_024 * GIB);
    // 0: a new connection for every request.
    keys.count("idle_connections", &mut limits.idle_connections, 0..=10_000);
    keys.bytes("file_bytes", &mut limits.file_bytes, KIB..=GIB);
    keys.count("files", &mut limits.files, 1..=10_000);
    // The kernel counts CPU time in whole seconds.
    keys.duration("compile_time", &mut limits.compile_time, seconds(1)..=seconds(3_600));
    keys.bytes("compile_memory", &mut limits.compile_memory, 256 * MIB..=1_024 * GIB);
    keys.count("compiles", &mut limits.compiles, 1..=64);
    keys.bytes("image_bytes", &mut limits.image_bytes, 64 * KIB..=4 * GIB);
    keys.bytes("compiled_file_bytes", &mut limits.compiled_file_bytes, MIB..=4 * GIB);
    keys.bytes("compiled_bytes", &mut limits.compiled_bytes, MIB..=1_024 * GIB);
    keys.count("compiled", &mut limits.compiled, 0..=100_000);
    // 0: no version survives a restart beside a bad file.
    keys.bytes("last_good_bytes", &mut limits.last_good_bytes, 0..=1_024 * GIB);
    keys.duration("debounce", &mut limits.debounce, millis(1)..=seconds(60));
    keys.duration("poll", &mut limits.poll, millis(100)..=seconds(3_600));
}

/// `[limits.kv]`
pub(super) fn kv(keys: &mut impl Walk, limits: &mut sandbox::kv::KvLimits) {
    keys.bytes("bytes", &mut limits.bytes, MIB..=1_024 * GIB);
    // 0: relaxed changes are written as soon as the ones before them are.
    keys.duration("flush", &mut limits.flush, millis(0)..=seconds(10));
}

/// `[limits.rag]`
pub(super) fn rag(keys: &mut impl Walk, limits: &mut rag::Limits) {
    keys.bytes("document_bytes", &mut limits.document_bytes, KIB..=GIB);
    keys.count("chunks_per_document", &mut limits.chunks_per_document, 1..=1_000_000);
    keys.count("chunks_per_namespace", &mut limits.chunks_per_namespace, 1..=10_000_000);
    keys.count("top_k", &mut limits.top_k, 1..=rag::TOP_K_MAX as u64);
    keys.bytes("query_bytes", &mut limits.query_bytes, 64..=MIB);
    keys.count("queue", &mut limits.queue, 1..=100_000);
    // 0: every question is embedded.
    keys.bytes("query_cache_bytes", &mut limits.query_cache_bytes, 0..=GIB);
    keys.count("embed_threads", &mut limits.embed_threads, 1..=64);
    keys.count("reindexes", &mut limits.reindexes, 1..=64);
    keys.count("pages", &mut limits.pages, 1..=1_000_000);
    keys.count("expansion", &mut limits.expansion, 1..=100);
    // Less than the first does not hold the program.
    keys.bytes("extract_memory", &mut limits.extract_memory, 64 * MIB..=64 * GIB);
    keys.duration("extract_time", &mut limits.extract_time, seconds(1)..=seconds(3_600));
    keys.count("extract_concurrency", &mut limits.extract_concurrency, 1..=1_000);
    keys.bytes("source_bytes", &mut limits.source_bytes, KIB..=GIB);
    keys.duration("source_time", &mut limits.source_time, millis(1)..=seconds(3_600));
}
