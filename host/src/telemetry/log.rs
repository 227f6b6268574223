//! Log lines go to stderr, as text for people or JSON for programs, filtered by `COFFERDAM_LOG`.
//! The filter applies to lines only: spans for a collector are gathered whatever it says.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use super::otlp::Collecting;

/// Read if no filter is given; e.g. `debug`, `info,cofferdam::llm=debug`.
const VARIABLE: &str = "COFFERDAM_LOG";

/// The module in which all spans are made.
const SPANS: &str = "cofferdam::telemetry::span";

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Starts logging for the process: by `filter`, else by `COFFERDAM_LOG`, else at info. A second call changes nothing.
///
/// # Errors
/// The filter cannot be read.
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<(), ParseError> {
    init_with(format, filter, None)
}

/// As `init`, and gathers every span for a collector, whatever the filter says of lines.
///
/// # Errors
/// The filter cannot be read.
pub fn init_with(format: LogFormat, filter: Option<&str>, spans: Option<Collecting>) -> Result<(), ParseError> {
    let variable = std::env::var(VARIABLE).ok();
    let filter = EnvFilter::try_new(filter.or(variable.as_deref()).unwrap_or("info"))?;
    // Colours would be noise in a file or a journal.
    let ansi = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let registry = Registry::default();
    let started = match spans {
        // Without spans one filter for everything is cheaper.
        None => registry.with(lines.and_then(filter)).try_init(),
        Some(spans) => {
            let ours = filter_fn(|about| about.is_span() && about.target() == SPANS).with_max_level_hint(LevelFilter::DEBUG);
            registry.with(lines.with_filter(filter)).with(spans.with_filter(ours)).try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("logging runs already");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        assert!(init(LogFormat::Text, Some("cofferdam=loudly")).is_err());
    }

    #[test]
    fn logging_may_be_started_twice() {
        assert!(init(LogFormat::Text, Some("off")).is_ok());
        assert!(init(LogFormat::Json, Some("off")).is_ok());
    }
}
