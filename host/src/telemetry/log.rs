//! Log lines go to stderr, as text for people or JSON for programs, filtered by `COFFERDAM_LOG`, or else as the operator's file says.
//! The filter applies to lines only: spans for a collector are gathered whatever it says. Nobody waits for a line to be written: lines pass
//! through a bounded queue, and those that find it full are lost and counted.

mod fields;
mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use super::otlp::Collecting;
use queue::{Lines, Queue};

/// Read if no filter is given; e.g. `debug`, `info,cofferdam::llm=debug`.
const VARIABLE: &str = "COFFERDAM_LOG";

/// The filter if none is given.
const FILTER_DEFAULT: &str = "info";

/// The module in which all spans are made.
const SPANS: &str = "cofferdam::telemetry::span";

/// Lines that were lost. There is one log in a process, whose standard error it is.
static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// By which the filter of the process's log is changed; none if it was given once for all.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// How much of the log may wait, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes of lines that wait to be written; the longest line also.
    pub log_queue: usize,
    /// What the last lines get when the process ends.
    pub log_flush: Duration,
}

impl Default for LogLimits {
    fn default() -> Self {
        // Some ten thousand lines, which is a second of a busy server: longer than a collector of logs takes to turn its file over.
        Self { log_queue: 4 << 20, log_flush: Duration::from_secs(1) }
    }
}

/// Why logging cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{VARIABLE} is no filter: {0}")]
    Filter(#[from] ParseError),
    #[error("the thread that writes the log cannot be started")]
    Thread(#[source] std::io::Error),
}

/// The log of the process. Dropping it writes what still waits, within `log_flush`.
#[must_use = "when it is dropped, logging ends"]
pub struct Log {
    queue: Queue,
    flush: Duration,
}

impl Log {
    /// Starts logging for the process: by `COFFERDAM_LOG`, else by `filter`, else at info. Every span is gathered for a collector, if there is
    /// one, whatever the filter says of lines. If logging runs already, that goes on, and this log only takes what `say` is given.
    ///
    /// # Errors
    /// The filter cannot be read, or there is no thread.
    pub fn start(format: LogFormat, filter: Option<&str>, limits: LogLimits, spans: Option<Collecting>) -> Result<Self, LogError> {
        let variable = variable();
        let filter = EnvFilter::try_new(variable.as_deref().or(filter).unwrap_or(FILTER_DEFAULT))?;
        let (filter, handle) = reload::Layer::new(filter);
        let queue = Queue::start(std::io::stderr(), limits.log_queue, DROPPED.clone(), report).map_err(LogError::Thread)?;
        // Colours would be noise in a file or a journal.
        let ansi = std::io::stderr().is_terminal();
        // What the library would say of its own errors would go to stderr directly, and wait for it.
        let lines = tracing_subscriber::fmt::layer().with_writer(ByLevel(queue.lines())).with_ansi(ansi).log_internal_errors(false);
        let lines = match format {
            LogFormat::Text if ansi => lines.boxed(),
            LogFormat::Text => lines.fmt_fields(fields::Plain).boxed(),
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
        match started {
            Ok(()) if variable.is_none() => drop(FILTER.set(handle)),
            Ok(()) => {}
            Err(_) => tracing::debug!("logging runs already"),
        }
        Ok(Self { queue, flush: limits.log_flush })
    }

    /// Logs panics like everything else. What the standard library would write goes to stderr directly, and waits for it.
    pub fn panics(&self) {
        std::panic::set_hook(Box::new(|panic| {
            let trace = Backtrace::capture();
            let trace = if trace.status() == BacktraceStatus::Captured { format!("\n{trace}") } else { String::new() };
            tracing::error!("{panic}{trace}");
        }));
    }

    /// Writes a line that is no event, behind all that waits: what the command says when it ends.
    pub fn say(&self, line: &str) {
        self.queue.lines().push(format!("{line}\n").as_bytes());
    }
}

/// Warnings and errors are urgent.
struct ByLevel(Lines);

impl<'a> MakeWriter<'a> for ByLevel {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.0.clone()
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Lines {
        if *about.level() <= Level::WARN { self.0.urgent() } else { self.0.clone() }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.finish(self.flush);
    }
}

/// Filters the lines by the operator's file from now on, unless `COFFERDAM_LOG` does.
///
/// # Errors
/// The filter cannot be read.
pub fn filter_log(filter: Option<&str>) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(filter.unwrap_or(FILTER_DEFAULT))?;
    if let Some(handle) = FILTER.get() {
        // It fails only once the log is gone, and then there is nothing to filter.
        let _ = handle.reload(filter);
    }
    Ok(())
}

/// What is wrong with a filter of log lines, if anything is.
pub fn log_filter_problem(filter: &str) -> Option<String> {
    EnvFilter::try_new(filter).err().map(|error| error.to_string())
}

fn variable() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// Lines that were lost so far.
pub(super) fn dropped() -> Counter {
    DROPPED.clone()
}

/// Says in the log that lines are missing from it.
fn report(lost: u64) {
    tracing::warn!(lost, "{lost} log lines were lost here: standard error took them too slowly or not at all (`telemetry.log_queue`)");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(format: LogFormat, filter: &str) -> Result<Log, LogError> {
        Log::start(format, Some(filter), LogLimits::default(), None)
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        let error = start(LogFormat::Text, "cofferdam=loudly").err().expect("refused");
        assert!(error.to_string().starts_with("COFFERDAM_LOG is no filter: "), "{error}");
    }

    #[test]
    fn logging_may_be_started_twice() {
        assert!(start(LogFormat::Text, "off").is_ok());
        assert!(start(LogFormat::Json, "off").is_ok());
    }
}
