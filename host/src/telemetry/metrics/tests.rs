//! What `/metrics` shows after each kind of measurement.

use super::*;

#[track_caller]
fn check(measure: impl FnOnce(&Metrics), expect: &[&str]) {
    let metrics = Metrics::new();
    measure(&metrics);
    let text = metrics.render();
    for line in expect {
        assert!(text.lines().any(|l| l == *line), "no line `{line}` in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn requests_are_counted_by_route_and_status() {
    check(
        |m| {
            m.request("chat_completions", 200, 0.02);
            m.request("chat_completions", 200, 4.0);
            m.request("chat_completions", 429, 0.001);
            m.request("models", 200, 0.0001);
        },
        &[
            r#"cofferdam_http_requests_total{route="chat_completions",status="200"} 2"#,
            r#"cofferdam_http_requests_total{route="chat_completions",status="429"} 1"#,
            r#"cofferdam_http_requests_total{route="models",status="200"} 1"#,
            r#"cofferdam_http_request_seconds_count{route="chat_completions"} 3"#,
            r#"cofferdam_http_request_seconds_bucket{le="0.025",route="chat_completions"} 2"#,
        ],
    );
}

#[test]
fn the_version_that_runs_is_a_label() {
    let (version, os, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    let line = format!(r#"cofferdam_build_info{{version="{version}",os="{os}",arch="{arch}"}} 1"#);
    check(|_| (), &[&line, "# TYPE cofferdam_build info"]);
}

#[test]
fn what_comes_and_goes_is_shown_as_it_is_now() {
    check(
        |m| {
            m.in_flight(1);
            m.in_flight(1);
            m.in_flight(-1);
            m.connections(1);
            m.embed_queue(2);
            m.embed_queue(1);
        },
        &["cofferdam_http_requests_in_flight 1", "cofferdam_http_connections 1", "cofferdam_rag_embed_queue 1"],
    );
}

#[test]
fn a_hook_call_shows_outcome_time_fuel_and_memory() {
    check(
        |m| {
            let plugin = m.plugin("redact-pii");
            let call = HookCall {
                hook: "post_hook",
                outcome: "ok",
                seconds: 0.000_018,
                fuel: 40_000,
                peak_memory: 1_114_112,
                ..HookCall::default()
            };
            plugin.call(&call);
            plugin.call(&HookCall {
                outcome: "fuel",
                seconds: 0.2,
                waited: 0.15,
                starved: 0.25,
                place: "apart",
                fuel: 200_000_000,
                ..call
            });
            plugin.skipped("post_hook");
            plugin.log_dropped(12);
            m.plugin_load("loaded");
        },
        &[
            r#"cofferdam_plugin_calls_total{plugin="redact-pii",hook="post_hook",outcome="ok"} 1"#,
            r#"cofferdam_plugin_calls_total{plugin="redact-pii",hook="post_hook",outcome="fuel"} 1"#,
            r#"cofferdam_plugin_call_seconds_bucket{le="0.00002",plugin="redact-pii",hook="post_hook"} 1"#,
            r#"cofferdam_plugin_call_wait_seconds_bucket{le="0.0",plugin="redact-pii",hook="post_hook"} 1"#,
            r#"cofferdam_plugin_call_wait_seconds_sum{plugin="redact-pii",hook="post_hook"} 0.15"#,
            r#"cofferdam_plugin_call_starved_seconds_sum{plugin="redact-pii",hook="post_hook"} 0.25"#,
            r#"cofferdam_plugin_call_places_total{plugin="redact-pii",place="apart"} 1"#,
            r#"cofferdam_plugin_call_fuel_count{plugin="redact-pii",hook="post_hook"} 2"#,
            r#"cofferdam_plugin_call_memory_bytes_bucket{le="2097152.0",plugin="redact-pii",hook="post_hook"} 2"#,
            r#"cofferdam_plugin_skips_total{plugin="redact-pii",hook="post_hook"} 1"#,
            r#"cofferdam_plugin_log_lines_dropped_total{plugin="redact-pii"} 12"#,
            r#"cofferdam_plugin_loads_total{outcome="loaded"} 1"#,
        ],
    );
}

#[test]
fn models_and_knowledge_have_their_figures() {
    check(
        |m| {
            m.llm_attempt("openai", "status", 0.1);
            m.llm_attempt("workers-ai", "ok", 0.4);
            m.llm_circuits("openai", 2);
            m.llm_circuits("workers-ai", 1);
            m.llm_circuits("workers-ai", 0);
            m.rag_search(0.0015, 3);
            m.rag_document("stored");
            m.rag_rerank("failed");
            m.rag_questions((1, 2));
            m.rag_questions((3, 4));
        },
        &[
            r#"cofferdam_llm_attempts_total{provider="openai",outcome="status"} 1"#,
            r#"cofferdam_llm_attempts_total{provider="workers-ai",outcome="ok"} 1"#,
            r#"cofferdam_llm_circuit_open{provider="openai"} 2"#,
            r#"cofferdam_llm_circuit_open{provider="workers-ai"} 0"#,
            r#"cofferdam_llm_attempt_seconds_count{provider="workers-ai"} 1"#,
            r#"cofferdam_rag_search_seconds_bucket{le="0.002"} 1"#,
            r#"cofferdam_rag_search_hits_bucket{le="3.0"} 1"#,
            r#"cofferdam_rag_documents_total{outcome="stored"} 1"#,
            r#"cofferdam_rag_reranks_total{outcome="failed"} 1"#,
            r#"cofferdam_rag_questions_total{outcome="remembered"} 3"#,
            r#"cofferdam_rag_questions_total{outcome="computed"} 4"#,
        ],
    );
}

#[test]
fn a_name_cannot_break_out_of_its_label() {
    check(|m| m.plugin("a\"} 1\nevil 2").log_dropped(1), &[r#"cofferdam_plugin_log_lines_dropped_total{plugin="a\"} 1\nevil 2"} 1"#]);
}

#[test]
fn more_statuses_than_the_short_list_holds_are_still_counted() {
    let metrics = Metrics::new();
    for status in 200..300 {
        metrics.request("chat_completions", status, 0.01);
        metrics.request("chat_completions", status, 0.01);
    }
    let text = metrics.render();
    let twice = text.lines().filter(|l| l.starts_with("cofferdam_http_requests_total{") && l.ends_with(" 2")).count();
    assert_eq!(twice, 100);
}

#[test]
fn threads_lose_no_count() {
    let metrics = Metrics::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    metrics.request("chat_completions", 200, 0.01);
                    let call =
                        HookCall { hook: "pre_hook", outcome: "ok", seconds: 1e-5, fuel: 10, peak_memory: 10, ..HookCall::default() };
                    metrics.plugin("p").call(&call);
                }
            });
        }
    });
    let text = metrics.render();
    assert!(text.contains(r#"cofferdam_http_requests_total{route="chat_completions",status="200"} 2000"#), "{text}");
    assert!(text.contains(r#"cofferdam_plugin_call_fuel_count{plugin="p",hook="pre_hook"} 2000"#), "{text}");
}

#[test]
fn models_are_measured_by_the_names_of_the_convention() {
    let of = |model| Operation { name: "chat", system: "openai", model };
    check(
        |m| {
            m.operation(of("gpt-4o"), None, 0.03);
            m.operation(of("gpt-4o"), Some("status"), 0.5);
            m.operation(of("no-such-model"), Some("status"), 0.5);
            m.first_chunk(of("gpt-4o"), 0.3);
            m.operation_tokens(of("gpt-4o"), 100, 2);
            m.spans("dropped", 3);
            m.spans("sent", 0);
        },
        &[
            r#"gen_ai_client_operation_duration_seconds_bucket{le="0.04",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",error_type=""} 1"#,
            r#"gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",error_type="status"} 1"#,
            r#"gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="other",error_type="status"} 1"#,
            r#"gen_ai_client_operation_time_to_first_chunk_seconds_bucket{le="0.5",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"} 1"#,
            r#"gen_ai_client_token_usage_bucket{le="256.0",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",gen_ai_token_type="input"} 1"#,
            r#"gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",gen_ai_token_type="output"} 2.0"#,
            r#"cofferdam_otlp_spans_total{outcome="dropped"} 3"#,
        ],
    );
}

#[test]
fn at_most_64_models_are_labels_and_one_that_never_answered_is_none() {
    let metrics = Metrics::new();
    fn of(model: &str) -> Operation<'_> {
        Operation { name: "chat", system: "openai", model }
    }
    for i in 0..100 {
        metrics.operation(of(&format!("guess-{i}")), Some("status"), 0.1);
    }
    for i in 0..70 {
        metrics.operation(of(&format!("model-{i}")), None, 0.1);
    }
    let text = metrics.render();
    let counts: Vec<&str> = text.lines().filter(|line| line.starts_with("gen_ai_client_operation_duration_seconds_count")).collect();
    let shown = |part: &str| counts.iter().filter(|line| line.contains(part)).count();
    // The others have one line for those that failed and one for those that came too late.
    assert_eq!((shown("guess-"), shown("model-"), shown("=\"other\"")), (0, 63, 2), "{counts:#?}");
    assert_eq!(text.matches("# EOF").count(), 1);
}
