//! Every span is made here, so that all lines name the same things in the same way: by OpenTelemetry's semantic conventions for generative
//! AI and for HTTP, and what is ours begins with `cofferdam.` or `plugin.`. Fields that are known later are declared empty and filled in by
//! the function beside the constructor. Lines are written inside their span: the formatter of JSON does not know an event's own parent.

use tracing::Span;
use tracing::field::Empty;

use super::metrics::{HookCall, Operation};
use super::otlp::{Value, adopt, attributes};

/// One request, from its headers to the reply's last byte. It has the id only, because every line inside is written with all fields of its
/// spans; the rest is in the request's one line. A client's `traceparent` makes it part of that trace.
pub fn request_span(id: &str, traceparent: Option<&str>) -> Span {
    let span = tracing::info_span!("request", request.id = id);
    if let Some(traceparent) = traceparent {
        adopt(&span, traceparent);
    }
    span
}

/// What is known of a request at its end.
pub struct Ended<'a> {
    pub method: &'a str,
    /// A fixed name, never a path.
    pub route: &'static str,
    pub status: u16,
    pub outcome: &'static str,
    pub pipeline: Option<&'a str>,
    pub caller: Option<&'a str>,
    /// What hooks on the reply did not see of it.
    pub unseen: Option<&'a str>,
}

/// Fills in what a trace shows of a request; the log line has the same in its own fields.
pub fn request_done(span: &Span, ended: &Ended<'_>) {
    let text = |text: &str| Value::Text(text.to_owned());
    attributes(span, || {
        // A client that left is no failure of ours.
        let failed = ended.status >= 500 || !matches!(ended.outcome, "done" | "client_gone");
        [
            ("otel.name", Value::Text(format!("{} {}", ended.method, ended.route))),
            ("otel.kind", text("server")),
            ("otel.status_code", text(if failed { "ERROR" } else { "UNSET" })),
            ("http.request.method", text(ended.method)),
            ("http.response.status_code", Value::Whole(ended.status.into())),
            ("cofferdam.route", text(ended.route)),
            ("cofferdam.outcome", text(ended.outcome)),
            ("cofferdam.pipeline", text(ended.pipeline.unwrap_or_default())),
            ("cofferdam.caller", text(ended.caller.unwrap_or_default())),
            ("cofferdam.unseen", text(ended.unseen.unwrap_or_default())),
        ]
    });
}

/// One hook call. At debug, because a call is short and the same figures are in `/metrics`.
pub fn plugin_span(plugin: &str, version: &str, hook: &'static str) -> Span {
    tracing::debug_span!(
        "plugin.call",
        plugin.name = plugin,
        plugin.version = version,
        plugin.hook = hook,
        plugin.outcome = Empty,
        plugin.fuel = Empty,
        plugin.memory_bytes = Empty,
        plugin.wait_us = Empty,
        plugin.starved_us = Empty,
        duration_us = Empty,
    )
}

/// Fills in a hook call's figures and writes the line that shows them.
pub fn plugin_done(span: &Span, call: &HookCall) {
    span.record("plugin.outcome", call.outcome);
    span.record("plugin.fuel", call.fuel);
    span.record("plugin.memory_bytes", call.peak_memory);
    span.record("plugin.wait_us", call.waited * 1e6);
    span.record("plugin.starved_us", call.starved * 1e6);
    span.record("duration_us", call.seconds * 1e6);
    span.in_scope(|| tracing::debug!("the hook call ended"));
}

/// One try at a provider; `attempt` counts from 1. At debug, because the same figures are in `/metrics`.
pub fn llm_span(of: Operation<'_>, provider: &str, attempt: u32) -> Span {
    let Operation { name, system, model } = of;
    tracing::debug_span!(
        "llm.call",
        otel.name = format_args!("{name} {model}"),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = name,
        gen_ai.provider.name = system,
        gen_ai.request.model = model,
        gen_ai.response.model = Empty,
        gen_ai.response.finish_reasons = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        server.address = Empty,
        server.port = Empty,
        http.response.status_code = Empty,
        error.type = Empty,
        cofferdam.provider = provider,
        cofferdam.attempt = attempt,
        cofferdam.outcome = Empty,
        duration_ms = Empty,
    )
}

/// The host that the try under way asks.
pub fn llm_server(address: &str, port: u16) {
    let span = Span::current();
    span.record("server.address", address);
    span.record("server.port", port);
}

/// What a reply reports: the model that wrote it, and why each choice ended.
pub fn llm_answered(span: &Span, model: Option<&str>, finish_reasons: &[&str]) {
    if let Some(model) = model {
        span.record("gen_ai.response.model", model);
    }
    if !finish_reasons.is_empty() {
        span.record("gen_ai.response.finish_reasons", finish_reasons.join(","));
    }
}

/// The tokens that a reply reports.
pub fn llm_used(span: &Span, input: u64, output: u64) {
    span.record("gen_ai.usage.input_tokens", input);
    span.record("gen_ai.usage.output_tokens", output);
}

/// Fills in how a try ended, for a stream by its first event, and writes the line that shows it. `status` is the status of a provider that
/// refused.
pub fn llm_done(span: &Span, outcome: &'static str, status: Option<u16>, seconds: f64) {
    if outcome != "ok" {
        span.record("otel.status_code", "ERROR");
        match status {
            Some(status) => span.record("http.response.status_code", status).record("error.type", status.to_string()),
            None => span.record("error.type", outcome),
        };
    }
    span.record("cofferdam.outcome", outcome);
    span.record("duration_ms", seconds * 1e3);
    span.in_scope(|| tracing::debug!("the try ended"));
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Log lines kept in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written of a hook call and of a try, in a request.
    fn written(json: bool) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false).with_writer(move || writer.clone());
        let ends = || {
            let request = request_span("req-1", None);
            let call = request.in_scope(|| plugin_span("redact-pii", "0.1.0", "post_hook"));
            let figures = HookCall {
                hook: "post_hook",
                outcome: "ok",
                seconds: 0.000_021,
                waited: 0.000_007,
                fuel: 1_234,
                peak_memory: 65_536,
                ..HookCall::default()
            };
            plugin_done(&call, &figures);
            let attempt = request.in_scope(|| llm_span(Operation { name: "chat", system: "openai", model: "gpt-4o" }, "my-vllm", 2));
            // Both end where nobody is inside their spans.
            llm_done(&attempt, "status", Some(429), 0.25);
        };
        if json {
            tracing::subscriber::with_default(subscriber.json().flatten_event(true).with_current_span(false).finish(), ends);
        } else {
            tracing::subscriber::with_default(subscriber.finish(), ends);
        }
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_in_json_name_the_request_as_those_in_text_do() {
        let text = written(true);
        for (line, own) in text.lines().zip([("plugin.name", "redact-pii"), ("cofferdam.provider", "my-vllm")]) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["spans"][0]["request.id"], &line["spans"][1][own.0]), (&"req-1".into(), &own.1.into()), "{line}");
        }
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn a_hook_call_and_a_try_end_in_a_line_with_request_names_and_figures() {
        let text = written(false);
        let [call, attempt] = &text.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {text}") };
        for part in [
            "req-1",
            "redact-pii",
            "0.1.0",
            "post_hook",
            "plugin.outcome=\"ok\"",
            "plugin.fuel=1234",
            "65536",
            "plugin.wait_us=7",
            "duration_us=21",
        ] {
            assert!(call.contains(part), "{part} is missing in {call}");
        }
        for part in [
            "req-1",
            "otel.name=chat gpt-4o",
            "gen_ai.provider.name=\"openai\"",
            "gen_ai.request.model=\"gpt-4o\"",
            "cofferdam.provider=\"my-vllm\"",
            "cofferdam.attempt=2",
            "cofferdam.outcome=\"status\"",
            "error.type=\"429\"",
            "duration_ms=250",
        ] {
            assert!(attempt.contains(part), "{part} is missing in {attempt}");
        }
    }
}
