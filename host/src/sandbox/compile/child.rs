//! The process that compiles one component: how it is started and watched, and what it does.
//! It limits itself before it reads the first byte, and nothing that it prints or writes is taken on trust or without a limit.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;

use crate::sandbox::ServerLimits;
use crate::sandbox::engine::engine;
use crate::sandbox::machine;
use crate::sandbox::refusal::{REASON_BYTES_MAX, Refusal, not_compiled};
use crate::subprocess::{self, Confinement, Ended, Inherited, Job, Lost, PANICKED};

/// A child may take so many times its CPU time by the clock: a busy machine gives a niced child a tenth of a processor. The first try, which
/// is only to let the quick ones pass, ends sooner.
const CLOCK: u32 = 10;
const FIRST_CLOCK: u32 = 2;

/// Has a child compile `bytes` into the file `out` within `time` of a processor.
pub(super) async fn run(program: &Path, bytes: &[u8], out: &Path, limits: &ServerLimits, time: Duration) -> Result<(), Refusal> {
    let may = Confinement { memory_bytes: limits.compile_memory, cpu_seconds: time.as_secs(), file_bytes: limits.compiled_file_bytes };
    let numbers = [may.memory_bytes, may.cpu_seconds, may.file_bytes].map(|number| number.to_string().into());
    let arguments = ["compile-component".into(), out.into()].into_iter().chain(numbers).collect();
    let clock = time * if time < limits.compile_time { FIRST_CLOCK } else { CLOCK };
    let job = Job { program, arguments, input: bytes, output_max: 0, printed_max: REASON_BYTES_MAX, time: clock };
    let Ended { status, printed, .. } = subprocess::run(job).await.map_err(|lost| match lost {
        Lost::NotStarted(e) => machine::failed(&format!("the compiler could not be started: {e}")),
        Lost::Gone(e) => machine::failed(&format!("the compiler was lost: {e}")),
        // It did not use up its time, the machine did not give it any: that is nothing to hold against the component.
        Lost::Slow if time < limits.compile_time => Refusal::Slow,
        Lost::Slow => {
            let limit = clock.as_secs();
            Refusal::Transient(format!("compiling took longer than {limit} s on a busy machine (`limits.plugins.compile_time`)"))
        }
    })?;
    if status.success() {
        return Ok(());
    }
    Err(judged(status, &printed, &Inherited::from_here(may), limits, time))
}

/// Why a child failed.
fn judged(status: ExitStatus, printed: &str, inherited: &Inherited, limits: &ServerLimits, time: Duration) -> Refusal {
    let signal = subprocess::signal(status);
    let died_of = |of: Signal| signal == Some(of);
    let printed = printed.trim();
    if died_of(Signal::XCPU) {
        if time < limits.compile_time {
            return Refusal::Slow;
        }
        return format!("compiling it took more than {} s of a processor (`limits.plugins.compile_time`)", time.as_secs()).into();
    }
    if died_of(Signal::XFSZ) && inherited.file_size {
        let why = "the compiler could not write the machine code, for the server runs under a limit of file sizes that is below";
        return Refusal::Transient(format!("{why} `limits.plugins.compiled_file_bytes`"));
    }
    if died_of(Signal::XFSZ) {
        return too_much_code(None, limits.compiled_file_bytes).into();
    }
    // What a program says that cannot go on without memory, and what its libraries say, which give it up in order.
    let no_memory = subprocess::lacked_memory(printed) || (printed.ends_with("out of memory") && !printed.contains(REFUSED));
    if no_memory && inherited.memory {
        let why = "the compiler got no memory, and the machine, or a limit that the server runs under, may give less than";
        return Refusal::Transient(format!("{why} `limits.plugins.compile_memory` allows"));
    }
    if no_memory {
        return format!("compiling it took more than {} bytes of memory (`limits.plugins.compile_memory`)", limits.compile_memory).into();
    }
    if signal.is_some_and(subprocess::is_the_machines) {
        return Refusal::Transient(format!("the compiler was killed ({status}), perhaps for lack of memory"));
    }
    if let Some((_, message)) = printed.split_once(REFUSED) {
        return not_compiled(message).into();
    }
    if let Some((_, bytes)) = printed.split_once(CODE_BYTES) {
        return too_much_code(bytes.parse().ok(), limits.compiled_file_bytes).into();
    }
    match status.code() {
        // A crash or a panic over this component comes again.
        None | Some(PANICKED) if printed.is_empty() => format!("the compiler failed: {status}").into(),
        None | Some(PANICKED) if !machine::is_told_in(printed) => not_compiled(printed).into(),
        // A full disk, a lack of descriptors or of memory, a pipe that broke: nothing of it is the component's.
        _ => machine::failed(&format!("the compiler could not do its work: {status}: {printed}")),
    }
}

/// What a child prints before the compiler's own message about the component. All else that it ends with is the machine's failure.
const REFUSED: &str = "the component is refused: ";
/// What a child prints before the number of bytes, if there is too much machine code.
const CODE_BYTES: &str = "bytes of machine code: ";

/// Whether so much code may be kept.
///
/// # Errors
/// A sentence for the plugin's author.
pub(super) fn fits(bytes: usize, limit: u64) -> Result<(), String> {
    if bytes as u64 <= limit { Ok(()) } else { Err(too_much_code(Some(bytes as u64), limit)) }
}

fn too_much_code(bytes: Option<u64>, limit: u64) -> String {
    let found = bytes.map_or_else(|| "more".to_owned(), |bytes| format!("{bytes} bytes, more"));
    format!("it becomes {found} than {limit} bytes of machine code (raise `limits.plugins.compiled_file_bytes`)")
}

/// What the child process does: it limits itself, reads a component from stdin and writes machine code to `out`.
///
/// # Errors
/// What the compiler said; the caller prints it on stderr.
pub fn child(out: &Path, limits: Confinement) -> Result<(), String> {
    limits.enter()?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes).map_err(|e| e.to_string())?;
    let cut = |error: wasmtime::Error| format!("{error:#}").chars().take(REASON_BYTES_MAX).collect::<String>();
    let engine = engine(1).map_err(cut)?;
    let compiled = engine.precompile_component(&bytes);
    let code = compiled.map_err(|e| if machine::is_the_machines(&e) { cut(e) } else { format!("{REFUSED}{}", cut(e)) })?;
    if fits(code.len(), limits.file_bytes).is_err() {
        return Err(format!("{CODE_BYTES}{}", code.len()));
    }
    std::fs::write(out, code).map_err(|e| format!("the machine code cannot be written: {e}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn judge(raw: i32, printed: &str, time: u64) -> Refusal {
        judge_under(Inherited::default(), raw, printed, time)
    }

    fn judge_under(inherited: Inherited, raw: i32, printed: &str, time: u64) -> Refusal {
        let limits = ServerLimits { compile_time: Duration::from_secs(20), compiled_file_bytes: 7, ..ServerLimits::default() };
        judged(ExitStatus::from_raw(raw), printed, &inherited, &limits, Duration::from_secs(time))
    }

    #[test]
    fn what_a_child_died_of_decides_whether_its_component_is_tried_again() {
        let (xcpu, xfsz, kill, abort) = (Signal::XCPU.as_raw(), Signal::XFSZ.as_raw(), Signal::KILL.as_raw(), Signal::ABORT.as_raw());
        assert!(matches!(judge(xcpu, "", 10), Refusal::Slow));
        assert!(matches!(judge(xcpu, "", 20), Refusal::Invalid(why) if why.contains("compile_time")));
        assert!(matches!(judge(xfsz, "", 20), Refusal::Invalid(why) if why.contains("more than 7 bytes")));
        assert!(matches!(judge(abort, "memory allocation of 9 bytes failed", 20), Refusal::Invalid(why) if why.contains("compile_memory")));
        assert!(matches!(judge(1 << 8, "out of memory", 20), Refusal::Invalid(why) if why.contains("compile_memory")));
        assert!(matches!(judge(kill, "", 20), Refusal::Transient(_)));
        assert!(
            matches!(judge(1 << 8, "error: bytes of machine code: 8", 20), Refusal::Invalid(why) if why.contains("8 bytes, more than 7"))
        );
        let refused = format!("error: {REFUSED}bad section");
        assert!(matches!(judge(1 << 8, &refused, 20), Refusal::Invalid(why) if why.contains(": bad section (")));
        let named = format!("error: {REFUSED}{CODE_BYTES}9");
        assert!(matches!(judge(1 << 8, &named, 20), Refusal::Invalid(why) if why.contains("no valid") || why.contains("not a valid")));
        for (raw, printed) in [(PANICKED << 8, "thread panicked"), (Signal::SEGV.as_raw(), "")] {
            assert!(matches!(judge(raw, printed, 20), Refusal::Invalid(_)), "{raw} {printed}");
        }
    }

    #[test]
    fn what_the_machine_failed_to_do_for_a_child_is_nothing_against_its_component() {
        for printed in [
            "error: No space left on device (os error 28)",
            "error: Input/output error (os error 5)",
            "error: no limit could be set: EPERM",
            "",
        ] {
            assert!(matches!(judge(1 << 8, printed, 20), Refusal::Transient(why) if why.contains(printed)), "{printed}");
        }
        // An option that an older or newer program does not know, and what ends a server with its children.
        assert!(matches!(judge(2 << 8, "error: unexpected argument", 20), Refusal::Transient(_)));
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::BUS, Signal::SYS] {
            assert!(matches!(judge(signal.as_raw(), "", 20), Refusal::Transient(_)), "{signal:?}");
        }
        let panics = "thread 'main' panicked: failed to spawn thread: Os { code: 11, kind: WouldBlock, message: \"…\" }";
        assert!(matches!(judge(PANICKED << 8, panics, 20), Refusal::Transient(why) if why.contains("limit of tasks")));
        assert!(
            matches!(judge(1 << 8, "error: No space left on device (os error 28)", 20), Refusal::Transient(why) if why.contains("full"))
        );
    }

    #[test]
    fn a_limit_that_the_server_itself_runs_under_is_nothing_against_the_component() {
        let (xfsz, abort) = (Signal::XFSZ.as_raw(), Signal::ABORT.as_raw());
        let no_memory = "memory allocation of 9 bytes failed";
        let (files, memory) = (Inherited { file_size: true, memory: false }, Inherited { file_size: false, memory: true });
        assert!(matches!(judge_under(files, xfsz, "", 20), Refusal::Transient(why) if why.contains("file sizes")));
        assert!(matches!(judge_under(memory, xfsz, "", 20), Refusal::Invalid(_)));
        assert!(matches!(judge_under(memory, abort, no_memory, 20), Refusal::Transient(why) if why.contains("compile_memory")));
        assert!(matches!(judge_under(files, abort, no_memory, 20), Refusal::Invalid(_)));
    }

    #[test]
    fn machine_code_is_limited_at_its_edge() {
        assert_eq!(fits(7, 7), Ok(()));
        assert!(fits(8, 7).is_err_and(|why| why.contains("compiled_file_bytes")));
    }
}
