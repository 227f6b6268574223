//! The spans, each made in one place, so that every line names the same things the same way.
//! Fields that are known later are declared empty and filled in by the function beside the constructor.

use tracing::Span;
use tracing::field::Empty;

/// One request, from its headers to the reply's last byte. It has the id only, for every line inside is written with all fields of its
/// spans; the rest is in the request's one line.
pub fn request_span(id: &str) -> Span {
    tracing::info_span!("request", request.id = id)
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
        duration_us = Empty,
    )
}

/// Fills in a hook call's figures and writes the line that shows them.
pub fn plugin_done(span: &Span, outcome: &'static str, seconds: f64, fuel: u64, peak_memory: usize) {
    span.record("plugin.outcome", outcome);
    span.record("plugin.fuel", fuel);
    span.record("plugin.memory_bytes", peak_memory);
    span.record("duration_us", seconds * 1e6);
    tracing::debug!(parent: span, "the hook call ended");
}

/// One try at a provider; `attempt` counts from 1. At debug, because the same figures are in `/metrics`.
pub fn llm_span(provider: &str, model: &str, attempt: u32) -> Span {
    tracing::debug_span!(
        "llm.call",
        llm.provider = provider,
        llm.model = model,
        llm.attempt = attempt,
        llm.outcome = Empty,
        duration_ms = Empty,
    )
}

/// Fills in how a try ended, for a stream by its first event, and writes the line that shows it.
pub fn llm_done(span: &Span, outcome: &'static str, seconds: f64) {
    span.record("llm.outcome", outcome);
    span.record("duration_ms", seconds * 1e3);
    tracing::debug!(parent: span, "the try ended");
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

    #[test]
    fn a_hook_call_and_a_try_end_in_a_line_with_request_names_and_figures() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let request = request_span("req-1");
            let _in_request = request.enter();
            let call = plugin_span("redact-pii", "0.1.0", "post_hook");
            plugin_done(&call, "ok", 0.000_021, 1_234, 65_536);
            let attempt = llm_span("openai", "gpt-4o", 2);
            llm_done(&attempt, "status", 0.25);
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let [call, attempt] = &text.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {text}") };
        for part in ["req-1", "redact-pii", "0.1.0", "post_hook", "plugin.outcome=\"ok\"", "plugin.fuel=1234", "65536", "duration_us=21"] {
            assert!(call.contains(part), "{part} is missing in {call}");
        }
        for part in ["req-1", "openai", "gpt-4o", "llm.attempt=2", "llm.outcome=\"status\"", "duration_ms=250"] {
            assert!(attempt.contains(part), "{part} is missing in {attempt}");
        }
    }
}
