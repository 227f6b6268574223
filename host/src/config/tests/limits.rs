//! Every limit of a room is a key, whose least and most values are accepted and whose next ones are refused.

use super::*;

const PLUGIN: &str = "plugins.p.limits";

/// Table, key, the least and the most value, and a value below and above them.
pub(super) const KEYS: &[(&str, &str, &str, &str, &str, &str)] = &[
    (PLUGIN, "fuel", "1", "1_000_000_000_000_000", "0", "1_000_000_000_000_001"),
    (PLUGIN, "memory", "\"64KiB\"", "\"1GiB\"", "65535", "1_073_741_825"),
    (PLUGIN, "composed_memory", "\"64KiB\"", "\"24MiB\"", "65535", "25_165_825"),
    (PLUGIN, "table_elements", "1", "262_144", "0", "262_145"),
    (PLUGIN, "time", "\"1ms\"", "\"10m\"", "\"0s\"", "\"601s\""),
    (PLUGIN, "reply_time", "\"1ms\"", "\"10m\"", "\"0s\"", "\"601s\""),
    (PLUGIN, "wait", "\"1ms\"", "\"10m\"", "\"0s\"", "\"601s\""),
    (PLUGIN, "hostcall_bytes", "\"1KiB\"", "\"1GiB\"", "1023", "\"1025MiB\""),
    (PLUGIN, "output", "\"1KiB\"", "\"1GiB\"", "1023", "\"1025MiB\""),
    (PLUGIN, "log_lines", "0", "100_000", "-1", "100_001"),
    (PLUGIN, "log_line_bytes", "16", "\"64KiB\"", "15", "65537"),
    ("limits", "pipelines", "0", "100_000", "-1", "100_001"),
    ("limits", "handover_time", "\"0ms\"", "\"1h\"", "-1", "\"2h\""),
    ("limits.http", "header_time", "\"1ms\"", "\"10m\"", "\"0s\"", "\"601s\""),
    ("limits.http", "header_bytes", "\"8KiB\"", "\"1MiB\"", "8191", "1_048_577"),
    ("limits.http", "idle_time", "\"1ms\"", "\"1h\"", "\"0s\"", "\"2h\""),
    ("limits.http", "body_bytes", "\"1KiB\"", "\"1GiB\"", "0", "\"2GiB\""),
    ("limits.http", "bodies_bytes", "\"1MiB\"", "\"1TiB\"", "\"1023KiB\"", "\"2TiB\""),
    ("limits.http", "body_depth", "8", "127", "7", "128"),
    ("limits.http", "body_values", "100", "10_000_000", "99", "10_000_001"),
    ("limits.http", "body_fields", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "messages", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "parts", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "tool_calls", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "tools", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "parses", "1", "1_000", "0", "1_001"),
    ("limits.http", "body_time", "\"1ms\"", "\"1h\"", "\"0s\"", "\"2h\""),
    ("limits.http", "response_bytes", "\"1KiB\"", "\"1GiB\"", "0", "\"2GiB\""),
    ("limits.http", "upload_bytes", "\"1KiB\"", "\"4GiB\"", "0", "\"5GiB\""),
    ("limits.http", "admission_time", "\"0s\"", "\"1h\"", "\"-1s\"", "\"2h\""),
    ("limits.http", "upload_files", "1", "10_000", "0", "10_001"),
    ("limits.http", "background_bytes", "0", "\"4GiB\"", "\"-1\"", "\"5GiB\""),
    ("limits.http", "jobs", "0", "100_000", "-1", "100_001"),
    ("limits.http", "jobs_running", "1", "1_000", "0", "1_001"),
    ("limits.http", "jobs_bytes", "\"1MiB\"", "\"1TiB\"", "\"1023KiB\"", "\"2TiB\""),
    ("limits.http", "job_time", "\"1ms\"", "\"1day\"", "\"0s\"", "\"25h\""),
    ("limits.http", "jobs_kept", "1", "100_000", "0", "100_001"),
    ("limits.http", "jobs_kept_time", "\"1ms\"", "\"1day\"", "\"0s\"", "\"25h\""),
    ("limits.http", "connections", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "admin_connections", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "handshake_time", "\"1ms\"", "\"10m\"", "\"0s\"", "\"601s\""),
    ("limits.http", "handshakes", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "certificate_time", "\"10ms\"", "\"1day\"", "\"9ms\"", "\"25h\""),
    ("limits.http", "requests", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "bodies", "1", "1_000_000", "0", "1_000_001"),
    ("limits.http", "admin_requests", "1", "100_000", "0", "100_001"),
    ("limits.http", "write_time", "\"1ms\"", "\"1h\"", "\"0s\"", "\"2h\""),
    ("limits.http", "waiting_time", "\"0s\"", "\"1h\"", "\"-1s\"", "\"2h\""),
    ("limits.http", "answer_bytes", "\"64KiB\"", "\"1TiB\"", "65535", "\"2TiB\""),
    ("limits.http", "request_time", "\"1ms\"", "\"1day\"", "\"0s\"", "\"25h\""),
    ("limits.http", "drain_time", "\"0s\"", "\"1h\"", "\"-1s\"", "\"2h\""),
    ("limits.http", "streams", "1", "10_000", "0", "10_001"),
    ("limits.http", "embedding_inputs", "1", "100_000", "0", "100_001"),
    ("limits.http", "reloads", "1", "100", "0", "101"),
    ("limits.providers", "connect", "\"1ms\"", "\"1m\"", "\"0s\"", "\"61s\""),
    ("limits.providers", "first_byte", "\"1ms\"", "\"1h\"", "\"0s\"", "\"2h\""),
    ("limits.providers", "idle", "\"1ms\"", "\"1h\"", "\"0s\"", "\"2h\""),
    ("limits.providers", "total", "\"1ms\"", "\"1day\"", "\"0s\"", "\"25h\""),
    ("limits.providers", "event_bytes", "\"1KiB\"", "\"256MiB\"", "0", "\"257MiB\""),
    ("limits.providers", "reply_bytes", "\"1KiB\"", "\"1GiB\"", "0", "\"2GiB\""),
    ("limits.providers", "replies_bytes", "\"64KiB\"", "\"1TiB\"", "65535", "\"2TiB\""),
    ("limits.providers", "idle_connections", "0", "10_000", "-1", "10_001"),
    ("limits.providers", "retries", "0", "5", "-1", "6"),
    ("limits.providers", "retry_budget", "\"0s\"", "\"1m\"", "\"-1s\"", "\"61s\""),
    ("limits.providers", "retry_backoff", "\"1ms\"", "\"10s\"", "\"0s\"", "\"11s\""),
    ("limits.providers", "circuit_failures", "0", "1_000", "-1", "1_001"),
    ("limits.providers", "circuit_time", "\"1ms\"", "\"1h\"", "\"0s\"", "\"2h\""),
    ("limits.providers", "circuit_time_max", "\"1ms\"", "\"1day\"", "\"0s\"", "\"25h\""),
    ("limits.plugins", "calls", "1", "10_000", "0", "10_001"),
    ("limits.plugins", "calls_per_plugin", "1", "10_000", "0", "10_001"),
    ("limits.plugins", "streams", "1", "10_000", "0", "10_001"),
    ("limits.plugins", "streams_per_plugin", "1", "10_000", "0", "10_001"),
    ("limits.plugins", "streams_memory", "\"1MiB\"", "\"1TiB\"", "\"1023KiB\"", "\"2TiB\""),
    ("limits.plugins", "stream_buffer", "\"1KiB\"", "\"64MiB\"", "1023", "\"65MiB\""),
    ("limits.plugins", "model_calls", "1", "10_000", "0", "10_001"),
    ("limits.plugins", "model_calls_per_plugin", "1", "10_000", "0", "10_001"),
    ("limits.plugins", "model_memory", "\"1MiB\"", "\"1TiB\"", "1_048_575", "\"2TiB\""),
    ("limits.plugins", "models_per_plugin", "1", "1_000", "0", "1_001"),
    ("limits.plugins", "embed_texts", "1", "10_000", "0", "10_001"),
    ("limits.plugins", "embed_bytes", "\"1KiB\"", "\"64MiB\"", "\"1023B\"", "\"65MiB\""),
    ("limits.plugins", "embed_numbers", "1", "1_000_000", "0", "1_000_001"),
    ("limits.plugins", "models_ttl", "\"1s\"", "\"1day\"", "\"999ms\"", "\"25h\""),
    ("limits.plugins", "done_calls", "1", "1_000", "0", "1_001"),
    ("limits.plugins", "done_calls_per_plugin", "1", "1_000", "0", "1_001"),
    ("limits.plugins", "done_memory", "\"1MiB\"", "\"1TiB\"", "\"1023KiB\"", "\"2TiB\""),
    ("limits.plugins", "done_queue", "1", "100_000", "0", "100_001"),
    ("limits.plugins", "done_queue_bytes", "\"64KiB\"", "\"1GiB\"", "65535", "\"2GiB\""),
    ("limits.plugins", "done_bytes", "\"64KiB\"", "\"1TiB\"", "65535", "\"2TiB\""),
    ("limits.plugins", "done_reply_bytes", "0", "\"256MiB\"", "-1", "\"257MiB\""),
    ("limits.plugins", "memory", "\"1MiB\"", "\"1TiB\"", "\"1023KiB\"", "\"2TiB\""),
    ("limits.plugins", "replies_bytes", "\"64KiB\"", "\"1TiB\"", "65535", "\"2TiB\""),
    ("limits.plugins", "idle_connections", "0", "10_000", "-1", "10_001"),
    ("limits.plugins", "compiles", "1", "64", "0", "65"),
    ("limits.plugins", "image_bytes", "\"64KiB\"", "\"4GiB\"", "65535", "\"5GiB\""),
    ("limits.plugins", "compiled_file_bytes", "\"1MiB\"", "\"4GiB\"", "\"1023KiB\"", "\"5GiB\""),
    ("limits.plugins", "compiled_bytes", "\"1MiB\"", "\"1TiB\"", "\"1023KiB\"", "\"2TiB\""),
    ("limits.plugins", "compiled", "0", "100_000", "-1", "100_001"),
    ("limits.plugins", "last_good_bytes", "0", "\"1TiB\"", "-1", "\"2TiB\""),
    ("limits.plugins", "queue_time", "\"0s\"", "\"1m\"", "5", "\"61s\""),
    ("limits.plugins", "threads", "0", "256", "-1", "257"),
    ("limits.plugins", "starve_time", "\"1ms\"", "\"1m\"", "\"0s\"", "\"61s\""),
    ("limits.plugins", "file_bytes", "\"1KiB\"", "\"1GiB\"", "0", "\"2GiB\""),
    ("limits.plugins", "files", "1", "10_000", "0", "10_001"),
    ("limits.plugins", "compile_time", "\"1s\"", "\"1h\"", "\"999ms\"", "\"2h\""),
    ("limits.plugins", "compile_memory", "\"256MiB\"", "\"1TiB\"", "\"255MiB\"", "\"2TiB\""),
    ("limits.plugins", "debounce", "\"1ms\"", "\"1m\"", "\"0s\"", "\"61s\""),
    ("limits.plugins", "poll", "\"100ms\"", "\"1h\"", "\"99ms\"", "\"2h\""),
    ("limits.ledger", "rows", "1", "1_000_000", "0", "1_000_001"),
    ("limits.ledger", "flush", "\"100ms\"", "\"1h\"", "\"99ms\"", "\"2h\""),
    ("limits.ledger", "days", "1", "3_660", "0", "3_661"),
    ("limits.ledger", "report_rows", "1", "1_000_000", "0", "1_000_001"),
    ("limits.ledger", "completion_tokens", "1", "1_000_000", "0", "1_000_001"),
    ("limits.ledger", "reservation_tokens", "1", "1_000_000_000", "0", "1_000_000_001"),
    ("limits.ledger", "budget_parts", "1", "10_000", "0", "10_001"),
    ("limits.ledger", "budget_wait", "\"0s\"", "\"1m\"", "\"-1s\"", "\"61s\""),
    ("keys.default_limits", "requests_per_minute", "1", "1_000_000", "0", "1_000_001"),
    ("keys.default_limits", "tokens_per_minute", "1", "1_000_000_000", "0", "1_000_000_001"),
    ("keys.default_limits", "tokens_per_day", "1", "1_000_000_000_000", "0", "1_000_000_000_001"),
    ("keys.default_limits", "usd_per_day", "0.01", "10_000_000", "0.009999", "10_000_000.000001"),
    ("keys.default_limits", "usd_per_month", "0.01", "1e7", "0", "10_000_001"),
    ("telemetry", "log_queue", "\"64KiB\"", "\"1GiB\"", "\"63KiB\"", "\"2GiB\""),
    ("telemetry", "log_flush", "\"0s\"", "\"1m\"", "\"-1s\"", "\"61s\""),
    ("telemetry", "otlp_queue", "1", "1_000_000", "0", "1_000_001"),
    ("telemetry", "otlp_batch", "1", "10_000", "0", "10_001"),
    ("telemetry", "otlp_delay", "\"0s\"", "\"1m\"", "\"-1s\"", "\"61s\""),
    ("telemetry", "otlp_timeout", "\"1ms\"", "\"1m\"", "\"0s\"", "\"61s\""),
    ("limits.kv", "bytes", "\"1MiB\"", "\"1024GiB\"", "1_048_575", "\"1025GiB\""),
    ("limits.kv", "flush", "\"0s\"", "\"10s\"", "\"-1s\"", "\"10s 1ms\""),
    ("limits.rag", "document_bytes", "\"1KiB\"", "\"1GiB\"", "0", "\"2GiB\""),
    ("limits.rag", "chunks_per_document", "1", "1_000_000", "0", "1_000_001"),
    ("limits.rag", "chunks_per_namespace", "1", "10_000_000", "0", "10_000_001"),
    ("limits.rag", "top_k", "1", "50", "0", "51"),
    ("limits.rag", "query_bytes", "64", "\"1MiB\"", "63", "1_048_577"),
    ("limits.rag", "queue", "1", "100_000", "0", "100_001"),
    ("limits.rag", "query_cache_bytes", "0", "\"1GiB\"", "\"-1\"", "\"2GiB\""),
    ("limits.rag", "embed_threads", "1", "64", "0", "65"),
    ("limits.rag", "pages", "1", "1_000_000", "0", "1_000_001"),
    ("limits.rag", "expansion", "1", "100", "0", "101"),
    ("limits.rag", "extract_memory", "\"64MiB\"", "\"64GiB\"", "\"63MiB\"", "\"65GiB\""),
    ("limits.rag", "extract_time", "\"1s\"", "\"1h\"", "\"999ms\"", "\"2h\""),
    ("limits.rag", "extract_concurrency", "1", "1_000", "0", "1_001"),
    ("limits.rag", "source_bytes", "\"1KiB\"", "\"1GiB\"", "0", "\"2GiB\""),
    ("limits.rag", "source_time", "\"1ms\"", "\"1h\"", "\"0s\"", "\"2h\""),
    ("limits.rag", "reindexes", "1", "64", "0", "65"),
];

#[test]
fn every_limit_is_read_and_has_two_edges() {
    for (table, key, least, most, below, above) in KEYS {
        let file = |value: &str| format!("[{table}]\n{key} = {value}");
        assert_ne!(parse(&file(least)).effective(), parse(&file(most)).effective(), "{key} changes nothing");
        for refused in [below, above, "true", "\"many\""] {
            let [problem] = &problems(&file(refused))[..] else { panic!("one problem of {key} = {refused}") };
            let starts = format!("cofferdam.toml:2: {table}.{key}: expected ");
            assert!(problem.starts_with(&starts) && problem.contains(", found "), "{problem}");
        }
    }
}

#[test]
fn every_field_of_the_limits_is_a_key_of_the_same_name() {
    let config = parse(
        "telemetry.otlp_endpoint = \"http://127.0.0.1:4318\"\ntelemetry.otlp_headers_secret = \"OTLP\"\ntelemetry.log_filter = \"debug\"\n[plugins.p]\n[keys.default_limits]\nrequests_per_minute = 1\ntokens_per_minute = 2\ntokens_per_day = 3\nusd_per_day = 4\nusd_per_month = 5",
    );
    let effective = config.effective();
    let table = |name: &str| {
        let rest = effective.split_once(&format!("\n[{name}]\n")).expect("the table is there").1.to_owned();
        rest.split("\n[")
            .next()
            .unwrap_or_default()
            .lines()
            .filter_map(|l| Some(l.split_once(" = ")?.0.to_owned()))
            .collect::<BTreeSet<_>>()
    };
    let check_all = |name: &str, limits: &[&dyn Debug]| {
        let fields: String = limits.iter().map(|limits| format!("{limits:#?}\n")).collect();
        let fields = fields.lines().filter_map(|l| l.strip_prefix("    ")?.split_once(": ")).map(|(field, _)| field.to_owned());
        assert_eq!(fields.collect::<BTreeSet<_>>(), table(name), "{name}");
    };
    let check = |name: &str, limits: &dyn Debug| check_all(name, &[limits]);
    check("limits.http", &config.http);
    check("limits.providers", &config.llm.limits);
    check("limits.plugins", &config.sandbox);
    check("limits.kv", &config.kv);
    check("limits.rag", &config.rag);
    check("limits.ledger", &config.ledger);
    check("keys.default_limits", &config.keys.default_allowance);
    #[derive(Debug)]
    struct Filter {
        #[expect(dead_code, reason = "printed")]
        log_filter: Option<String>,
    }
    check_all("telemetry", &[&config.telemetry, &config.log, &Filter { log_filter: config.log_filter.clone() }]);
    check("plugins.p.limits", &config.plugins["p"].limits);
}
