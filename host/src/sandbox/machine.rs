//! Failures of the machine, told apart from those of a component: a full disk, too little memory, memory that must not be executed.
//! They have words of their own, with what the operator can do, and nobody holds them against the component.

use rustix::io::Errno;

use super::refusal::{Refusal, short};

/// How the system's errors end in a text, whoever wrote it.
const OS_ERROR: &str = "(os error ";
/// The same in the text of a panic.
const OS_ERROR_IN_PANIC: &str = "Os { code: ";

/// Whether the system refused something, e.g. memory. Neither a guest nor the compiler of a component has files that could fail.
pub(super) fn is_the_machines(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| cause.is::<std::io::Error>() || cause.is::<Errno>() || cause.is::<wasmtime::error::OutOfMemory>())
}

/// Whether a program's last words are those of an error of the system's.
pub(super) fn is_told_in(text: &str) -> bool {
    text.contains(OS_ERROR) || text.contains(OS_ERROR_IN_PANIC)
}

/// A failure of the machine's, and what the operator can do if that is known.
pub(super) fn failed(message: &str) -> Refusal {
    let remedy = errno(message).and_then(remedy).map(|remedy| format!(" ({remedy})")).unwrap_or_default();
    Refusal::Transient(short(&format!("{message}{remedy}")))
}

/// Machine code that cannot be mapped to be run. A system that forbids that forbids it for every plugin.
pub(super) fn cannot_map(error: &wasmtime::Error) -> Refusal {
    let text = format!("{error:#}");
    if matches!(errno(&text), Some(Errno::ACCESS | Errno::PERM)) {
        let remedy = "allow it for this program: without systemd's `MemoryDenyWriteExecute`, with SELinux's `execmem`";
        return Refusal::Transient(short(&format!(
            "this machine forbids to execute memory that was written, which compiled plugins are: {text} ({remedy})"
        )));
    }
    failed(&format!("compiled code cannot be used now: {text}"))
}

fn remedy(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::NOSPC | Errno::DQUOT => "the disk of `data_dir` is full; make room on it",
        Errno::ROFS => "the file system of `data_dir` is read-only",
        Errno::ACCESS | Errno::PERM => "the server's user, or its service, may not do that",
        Errno::MFILE | Errno::NFILE => "too many files are open; raise the server's limit of open files",
        Errno::NOMEM => "the machine has no memory or address space left",
        Errno::AGAIN => "the machine gives no further process or thread; raise the server's limit of tasks",
        Errno::FBIG => "the server runs under a limit of file sizes",
        Errno::IO => "the disk failed",
        _ => return None,
    })
}

/// The number of the last error of the system's in a text.
fn errno(text: &str) -> Option<Errno> {
    let (_, rest) = text.rsplit_once(OS_ERROR).or_else(|| text.rsplit_once(OS_ERROR_IN_PANIC))?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[track_caller]
    fn says(refusal: &Refusal, part: &str) {
        assert!(matches!(refusal, Refusal::Transient(reason) if reason.contains(part)), "{refusal:?}");
    }

    #[test]
    fn what_the_machine_lacks_is_told_with_what_to_do() {
        for (code, part) in [
            (Errno::NOSPC, "the disk of `data_dir` is full"),
            (Errno::DQUOT, "the disk of `data_dir` is full"),
            (Errno::ROFS, "read-only"),
            (Errno::MFILE, "limit of open files"),
            (Errno::NOMEM, "no memory"),
            (Errno::AGAIN, "limit of tasks"),
            (Errno::ACCESS, "may not do that"),
        ] {
            let error = Error::from(code);
            says(&failed(&format!("it cannot be written: {error}")), part);
            says(&failed(&format!("called `Result::unwrap()` on an `Err` value: {error:?}")), part);
        }
        says(&failed("it cannot be written: nobody knows why"), "nobody knows why");
        says(&failed("it cannot be written: (os error of a stranger)"), "stranger");
    }

    #[test]
    fn memory_that_must_not_be_executed_is_told_apart_from_memory_that_is_short() {
        for forbidden in [Errno::ACCESS, Errno::PERM] {
            says(&cannot_map(&wasmtime::Error::from(forbidden).context("failed to map")), "MemoryDenyWriteExecute");
            says(&cannot_map(&wasmtime::Error::from(Error::from(forbidden))), "execmem");
        }
        says(&cannot_map(&wasmtime::Error::from(Errno::NOMEM)), "no memory");
        says(&cannot_map(&wasmtime::Error::msg("too old")), "cannot be used now: too old");
    }

    #[test]
    fn an_error_of_the_systems_is_known_by_its_type_and_in_a_text_by_its_number() {
        assert!(is_the_machines(&wasmtime::Error::from(Errno::NOMEM).context("a memory")));
        assert!(is_the_machines(&wasmtime::Error::from(Error::from(Errno::MFILE))));
        assert!(!is_the_machines(&wasmtime::Error::msg("type mismatch (os error 5)")), "a component's own words");
        assert!(is_told_in(&format!("cannot spawn: {}", Error::from(Errno::AGAIN))));
        assert!(!is_told_in("thread 'main' panicked: index out of bounds"));
    }
}
