//! What an error of wasmtime's means: whose failure it is, and which limit it met. What the system refused is never the plugin's failure.

use wasmtime::{PoolConcurrencyLimitError, Trap};

use super::limiter::Denied;
use super::{Exhausted, FaultKind, Limits, machine};

/// What an error of wasmtime's means: whose failure it is.
pub(super) fn why(error: &wasmtime::Error, denied: Option<Denied>, limits: &Limits) -> FaultKind {
    match denied {
        Some(Denied::Own(limit)) => return FaultKind::Exhausted(limit),
        Some(Denied::Shared) => return FaultKind::Busy,
        None if error.is::<PoolConcurrencyLimitError>() => return FaultKind::Busy,
        None => {}
    }
    // A host function says itself what went wrong.
    if let Some(kind) = error.downcast_ref::<FaultKind>() {
        return kind.clone();
    }
    let text = error.root_cause().to_string();
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => FaultKind::Exhausted(Exhausted::Fuel(limits.fuel)),
        Some(Trap::StackOverflow) => FaultKind::Exhausted(Exhausted::Stack),
        Some(trap) => FaultKind::Trapped(trap.to_string()),
        // wasmtime keeps this error's type to itself; a test watches its text.
        None if text.contains("fuel allocated for hostcalls has been exhausted") => FaultKind::Exhausted(Exhausted::Output(limits.output)),
        None if error.is::<wasmtime_wasi::I32Exit>() => FaultKind::Trapped("it called exit".into()),
        // The system refused memory or address space to the instance: the guest has no files that could fail.
        None if machine::is_the_machines(error) => FaultKind::Host(format!("{error:#}")),
        None => FaultKind::Trapped(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_not_the_plugins_failure() {
        let limits = Limits::default();
        let no_memory = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        for error in [wasmtime::Error::from(no_memory()), wasmtime::Error::from(rustix::io::Errno::NOMEM).context("a memory")] {
            let kind = why(&error, None, &limits);
            assert!(matches!(kind, FaultKind::Host(_)) && !kind.is_the_plugins_own(), "{kind}");
        }
        assert_eq!(why(&wasmtime::Error::from(Trap::OutOfFuel), Some(Denied::Shared), &limits), FaultKind::Busy);
        assert!(!FaultKind::Busy.is_the_plugins_own());
        for error in
            [wasmtime::Error::from(Trap::OutOfFuel), wasmtime::Error::from(Trap::UnreachableCodeReached), wasmtime::Error::msg("x")]
        {
            assert!(why(&error, None, &limits).is_the_plugins_own(), "{error}");
        }
    }
}
