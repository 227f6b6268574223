//! Log lines, spans, traces and figures: what an operator sees of the inside. Every room may use it.
//! Nothing here ever holds a prompt, a body or a secret.

mod handles;
mod log;
mod metrics;
mod otlp;
mod seldom;
mod span;

use std::error::Error;

pub use log::{Log, LogError, LogFormat, LogLimits, filter_log, log_filter_problem};
pub use metrics::{CONTENT_TYPE, HookCall, Metrics, Operation, PluginFigures};
pub use otlp::{Collecting, Deliver, Export, Spans, queue};
pub use seldom::Seldom;
pub use span::{Ended, llm_answered, llm_done, llm_server, llm_span, llm_used, plugin_done, plugin_span, request_done, request_span};

/// The error and what caused it, joined by `: `.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |chain, cause| format!("{chain}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the store")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn a_chain_names_every_cause_once() {
        let error = Outer(Middle(std::io::Error::other("disk full")));
        assert_eq!(chain(&error), "cannot start: cannot open the store: disk full");
        assert_eq!(chain(&std::io::Error::other("alone")), "alone");
    }
}
