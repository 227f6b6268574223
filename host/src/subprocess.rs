//! Children of the server that work on what nobody vetted: this program itself, under another command.
//! A child limits itself before it reads the first byte, nothing that it writes is taken without a limit, and none outlives its server or
//! whoever waits for it.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, set_parent_process_death_signal, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// A tenth of what a serving thread gets of a processor that both want. With less, a busy machine would never finish.
const NICE: i32 = 10;

/// The exit code of a Rust program that panicked.
pub const PANICKED: i32 = 101;

/// What a child is started for.
pub struct Job<'a> {
    /// This program.
    pub program: &'a Path,
    pub arguments: Vec<OsString>,
    /// Written to its standard input.
    pub input: &'a [u8],
    /// Bytes of standard output that are kept; none at all if it has nothing to say there.
    pub output_max: usize,
    /// Bytes of standard error that are kept.
    pub printed_max: usize,
    /// By the clock.
    pub time: Duration,
}

/// A child that has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub output: Vec<u8>,
    /// On standard error.
    pub printed: String,
}

/// Why nothing is known of what a child would have done.
#[derive(Debug)]
pub enum Lost {
    NotStarted(std::io::Error),
    Gone(std::io::Error),
    /// It was not done in time, and was killed.
    Slow,
}

/// Runs a child to its end. Dropping the future kills it.
///
/// # Errors
/// It has not run to its end.
pub async fn run(job: Job<'_>) -> Result<Ended, Lost> {
    let Job { program, arguments, input, output_max, printed_max, time } = job;
    let spawned = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(if output_max == 0 { Stdio::null() } else { Stdio::piped() })
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(Lost::NotStarted)?;
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let give = async {
            // A child that gave up early closes its end of the pipe; what it printed is the better message.
            let _ = stdin.write_all(input).await;
            drop(stdin);
        };
        let ((), output, printed) = tokio::join!(give, start_of(stdout, output_max), start_of(stderr, printed_max));
        let status = child.wait().await.map_err(Lost::Gone)?;
        Ok(Ended { status, output, printed: String::from_utf8_lossy(&printed).into_owned() })
    };
    tokio::time::timeout(time, work).await.unwrap_or(Err(Lost::Slow))
}

/// The first bytes of what a child writes. The rest is read too, so that the child does not wait for it, and kept nowhere.
async fn start_of(pipe: Option<impl AsyncRead + Unpin>, max: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = (&mut pipe).take(max as u64).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    kept
}

/// What a child may take.
#[derive(Clone, Copy, Debug)]
pub struct Confinement {
    /// Bytes of private memory.
    pub memory_bytes: u64,
    /// Seconds of a processor.
    pub cpu_seconds: u64,
    /// Bytes of a file that it writes.
    pub file_bytes: u64,
}

impl Confinement {
    /// Confines this process, which is such a child, for the rest of its life.
    ///
    /// # Errors
    /// A sentence for whoever reads its standard error.
    pub fn enter(self) -> Result<(), String> {
        // A server that is killed takes its children along.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // Private writable memory: address space that is only reserved does not count, what a heap may hold does.
        limit(Resource::Data, self.memory_bytes, 0)?;
        // A second between the two, so that the signal of the first says why it ended.
        limit(Resource::Cpu, self.cpu_seconds, 1)?;
        limit(Resource::Fsize, self.file_bytes, 0)?;
        limit(Resource::Core, 0, 0)?;
        // If the kernel refuses, the work only takes a larger share of the processor.
        let _ = nice(NICE);
        Ok(())
    }
}

/// Sets the limit, and the one that cannot be raised again so much above it. If the server itself runs under a tighter one, that one holds.
fn limit(resource: Resource, value: u64, above: u64) -> Result<(), String> {
    let hard = getrlimit(resource).maximum;
    let within = |value: u64| hard.map_or(value, |hard| value.min(hard));
    let limit = Rlimit { current: Some(within(value)), maximum: Some(within(value + above)) };
    setrlimit(resource, limit).map_err(|e| format!("no limit could be set: {e}"))
}

/// Which limits of a child are tighter than it was told, because the server itself runs under them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inherited {
    pub file_size: bool,
    pub memory: bool,
}

impl Inherited {
    pub fn from_here(told: Confinement) -> Self {
        let below = |resource, value: u64| getrlimit(resource).maximum.is_some_and(|hard| hard < value);
        // A kernel that grants no more memory than it has refuses it to whoever comes last.
        let strict = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "2");
        Self {
            file_size: below(Resource::Fsize, told.file_bytes),
            memory: strict || below(Resource::Data, told.memory_bytes) || getrlimit(Resource::As).current.is_some(),
        }
    }
}

/// The signal that ended a child.
pub fn signal(status: ExitStatus) -> Option<Signal> {
    std::os::unix::process::ExitStatusExt::signal(&status).and_then(Signal::from_named_raw)
}

/// Whether whoever governs the machine ended a child, or the machine itself: the kernel kills who takes the memory that all programs share; so
/// may the operator, who also interrupts a server with its children. A page that cannot be had, and a system call that a filter forbids, end a
/// program too.
pub fn is_the_machines(signal: Signal) -> bool {
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::BUS, Signal::SYS].contains(&signal)
}

/// Whether the last words of a child are those of a program that cannot go on without memory.
pub fn lacked_memory(printed: &str) -> bool {
    printed.contains("memory allocation")
}
