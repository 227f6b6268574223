//! Why a child gave no answer: what of that is the file's fault, what the operator's limits', and what the machine's.
//! Invariant: nothing that the machine did is held against the file.

use rustix::process::Signal;

use crate::rag::{Error, Limits};
use crate::subprocess::{self, Ended, Inherited, Lost};

/// A child that could not be run to its end.
pub(super) fn lost(name: &str, lost: &Lost, limits: &Limits) -> Error {
    Error::Extractor(match lost {
        Lost::NotStarted(e) => format!("no process could be started to read `{name}`: {e}"),
        Lost::Gone(e) => format!("the process that read `{name}` was lost: {e}"),
        // It did not use up its time, the machine did not give it any.
        Lost::Slow => {
            format!(
                "the machine is too busy to read `{name}` within {} s of a processor (`limits.rag.extract_time`)",
                limits.extract_time.as_secs()
            )
        }
    })
}

/// A child that ended without an answer.
pub(super) fn died(name: &str, ended: &Ended, inherited: Inherited, limits: &Limits) -> Error {
    let Ended { status, printed, .. } = ended;
    let signal = subprocess::signal(*status);
    let too_large = |what: &str, limit, key| Error::TooLarge { what: format!("the {what} to read `{name}`"), limit, key };
    let unreadable = |why: &str| Error::Unreadable { name: name.into(), why: why.into() };
    if signal == Some(Signal::XCPU) {
        let seconds = usize::try_from(limits.extract_time.as_secs()).unwrap_or(usize::MAX);
        return too_large("seconds of a processor", seconds, "limits.rag.extract_time");
    }
    if subprocess::lacked_memory(printed) && inherited.memory {
        let why = "got no memory, and the machine, or a limit that the server runs under, may give less than";
        return Error::Extractor(format!("the process that read `{name}` {why} `limits.rag.extract_memory` allows"));
    }
    if subprocess::lacked_memory(printed) {
        return too_large("bytes of memory", limits.extract_memory, "limits.rag.extract_memory");
    }
    if printed.contains("has overflowed its stack") {
        return unreadable("it is nested too deeply");
    }
    match signal {
        Some(signal) if subprocess::is_the_machines(signal) => {
            Error::Extractor(format!("the process that read `{name}` was killed ({status}), perhaps for lack of memory"))
        }
        Some(_) => unreadable("its parser crashed over it"),
        None => Error::Extractor(format!("the process that reads documents could not do its work: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn judge(raw: i32, printed: &str, inherited: Inherited) -> Error {
        let ended = Ended { status: ExitStatus::from_raw(raw), output: Vec::new(), printed: printed.into() };
        died("a.pdf", &ended, inherited, &Limits::default())
    }

    fn by_itself(raw: i32, printed: &str) -> Error {
        judge(raw, printed, Inherited::default())
    }

    #[test]
    fn what_a_child_died_of_is_told_with_the_document_and_the_key() {
        let (abort, xcpu, segv) = (Signal::ABORT.as_raw(), Signal::XCPU.as_raw(), Signal::SEGV.as_raw());
        let no_memory = "memory allocation of 9 bytes failed";
        let of_key =
            |error: Error, wanted: &str| matches!(error, Error::TooLarge { what, key, .. } if key == wanted && what.contains("`a.pdf`"));
        assert!(of_key(by_itself(xcpu, ""), "limits.rag.extract_time"));
        assert!(of_key(by_itself(abort, no_memory), "limits.rag.extract_memory"));
        let deep = "thread 'parser' (7) has overflowed its stack\nfatal runtime error: stack overflow, aborting";
        assert!(matches!(by_itself(abort, deep), Error::Unreadable { why, .. } if why.contains("nested")));
        for signal in [segv, abort, Signal::ILL.as_raw()] {
            assert!(matches!(by_itself(signal, ""), Error::Unreadable { why, .. } if why.contains("crashed")), "{signal}");
        }
    }

    #[test]
    fn what_the_machine_did_is_nothing_against_the_document() {
        for signal in [Signal::KILL, Signal::TERM, Signal::BUS, Signal::SYS] {
            assert!(matches!(by_itself(signal.as_raw(), ""), Error::Extractor(why) if why.contains("killed")), "{signal:?}");
        }
        assert!(matches!(by_itself(2 << 8, "error: unexpected argument"), Error::Extractor(_)));
        let tight = Inherited { memory: true, file_size: false };
        assert!(matches!(judge(Signal::ABORT.as_raw(), "memory allocation of 9 bytes failed", tight), Error::Extractor(_)));
        assert!(matches!(lost("a.pdf", &Lost::Slow, &Limits::default()), Error::Extractor(why) if why.contains("extract_time")));
    }
}
