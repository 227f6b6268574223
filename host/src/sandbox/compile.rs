//! Components to machine code, off the serving threads and outside this process, kept by content hash for the next start.
//! Compiling hostile input can eat memory and time, so a child process with limits does it. No machine code is mapped but from a file that
//! this host wrote, whose name holds the hash of its content.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::ServerLimits;
use super::engine::engine;
use super::refusal::Refusal;

/// Bytes of machine code that one component may become; Python's are 40 MB.
const CODE_BYTES_MAX: u64 = 1 << 30;

/// How the name of a file begins that is not whole yet.
const UNFINISHED: &str = ".compiling-";

/// Which process compiles.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// A child: this program's path; it is called with `compile-component FILE BYTES SECONDS` and calls [`child`].
    Child(PathBuf),
    /// This process, for benchmarks and tools that trust their input.
    InProcess,
}

/// Compiled code by content, in a directory that only the host writes.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    compiler: Compiler,
    limits: ServerLimits,
}

impl Cache {
    pub(super) fn new(directory: PathBuf, compiler: Compiler, limits: ServerLimits) -> std::io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        only_ours(&directory)?;
        Ok(Self { directory, compiler, limits })
    }

    /// The component of these bytes: from the cache if it is there and whole, else compiled and kept.
    ///
    /// # Errors
    /// A sentence for the plugin's author.
    pub(super) async fn load(&self, engine: &Engine, bytes: &[u8], hash: &str) -> Result<Component, Refusal> {
        if let Some(component) = self.cached(engine, hash) {
            return Ok(component);
        }
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.directory).map_err(|e| self.unwritable(&e))?;
        match &self.compiler {
            Compiler::Child(program) => self.in_child(program, bytes, file.path()).await?,
            Compiler::InProcess => {
                let code = engine.precompile_component(bytes).map_err(|e| Refusal::Invalid(not_compiled(&format!("{e:#}"))))?;
                file.as_file().write_all(&code).map_err(|e| self.unwritable(&e))?;
            }
        }
        self.keep(engine, file, hash)
    }

    /// Removes what a killed compiler left, and the oldest code over the limit. The code of `live` components stays.
    pub(super) fn prune(&self, live: &HashSet<&str>) -> std::io::Result<()> {
        let mut idle = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(UNFINISHED) {
                std::fs::remove_file(entry.path())?;
            } else if !live.contains(name.split('.').next().unwrap_or_default()) {
                idle.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        idle.sort();
        let kept = self.limits.compiled.saturating_sub(live.len());
        let over = idle.len().saturating_sub(kept);
        idle.drain(..over).try_for_each(|(_, path)| std::fs::remove_file(path))
    }

    /// Looks for `HASH.ENGINE.CODEHASH.cwasm`. The code's own hash is in the name, so that a damaged file is never run.
    fn cached(&self, engine: &Engine, hash: &str) -> Option<Component> {
        let prefix = prefix(engine, hash);
        let entries = std::fs::read_dir(&self.directory).ok()?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(code_hash) = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".cwasm")) else { continue };
            let path = entry.path();
            if hash_file(&path).is_ok_and(|found| found == code_hash)
                && let Ok(component) = open(engine, &path)
            {
                return Some(component);
            }
            tracing::warn!(file = name, "compiled code is damaged and is made anew");
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(file = name, %error, "damaged compiled code cannot be removed");
            }
        }
        None
    }

    fn keep(&self, engine: &Engine, file: tempfile::NamedTempFile, hash: &str) -> Result<Component, Refusal> {
        file.as_file().sync_all().map_err(|e| self.unwritable(&e))?;
        let code_hash = hash_file(file.path()).map_err(|e| self.unwritable(&e))?;
        let path = self.directory.join(format!("{}{code_hash}.cwasm", prefix(engine, hash)));
        file.persist(&path).map_err(|e| self.unwritable(&e.error))?;
        open(engine, &path).map_err(|e| Refusal::Invalid(not_compiled(&format!("{e:#}"))))
    }

    async fn in_child(&self, program: &Path, bytes: &[u8], out: &Path) -> Result<(), Refusal> {
        let spawned = tokio::process::Command::new(program)
            .arg("compile-component")
            .arg(out)
            .arg(self.limits.compile_memory.to_string())
            .arg(self.limits.compile_time.as_secs().to_string())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|e| Refusal::Transient(format!("the compiler could not be started: {e}")))?;
        let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
        let work = async {
            // A child that gave up early closes its end of the pipe; what it printed is the better message.
            let _ = stdin.write_all(bytes).await;
            drop(stdin);
            child.wait_with_output().await
        };
        // Twice the CPU time: a busy machine gives a niced child half of it or less.
        let limit = self.limits.compile_time * 2;
        let done = tokio::time::timeout(limit, work).await;
        let output = done
            .map_err(|_| format!("compiling took longer than {} s (`limits.plugins.compile_time`)", limit.as_secs()))?
            .map_err(|e| Refusal::Transient(format!("the compiler was lost: {e}")))?;
        if output.status.success() {
            return Ok(());
        }
        let printed = String::from_utf8_lossy(&output.stderr);
        Err(Refusal::Invalid(match printed.trim() {
            printed if printed.is_empty() || printed.contains("memory allocation") => format!(
                "compiling it went over the limit of time or memory (`limits.plugins.compile_time`, `compile_memory`): {}",
                output.status
            ),
            printed => not_compiled(printed),
        }))
    }

    fn unwritable(&self, error: &std::io::Error) -> Refusal {
        Refusal::Transient(format!("compiled code cannot be kept in {}: {error}", self.directory.display()))
    }
}

/// What the child process does: it limits itself, reads a component from stdin and writes machine code to `out`.
///
/// # Errors
/// What the compiler said; the caller prints it on stderr.
pub fn child(out: &Path, memory_bytes: u64, cpu_seconds: u64) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
    // Private writable memory: the pool's reserved address space does not count, the compiler's heap does.
    let limits = [(Resource::Data, memory_bytes), (Resource::Cpu, cpu_seconds), (Resource::Fsize, CODE_BYTES_MAX), (Resource::Core, 0)];
    for (resource, limit) in limits {
        // If the server itself runs under a tighter limit, that one holds.
        let limit = getrlimit(resource).maximum.map_or(limit, |hard| limit.min(hard));
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) }).map_err(|e| format!("no limit could be set: {e}"))?;
    }
    // Serving comes first. If the kernel refuses, compiling only takes a larger share of the processor.
    let _ = nice(10);
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let engine = engine(1).map_err(|e| format!("{e:#}"))?;
    let code = engine.precompile_component(&bytes).map_err(|e| format!("{e:#}"))?;
    std::fs::write(out, code).map_err(|e| e.to_string())
}

#[expect(unsafe_code, reason = "the one exception: mapping compiled code, which is sound only for code that we wrote ourselves")]
fn open(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file lies in a directory that only the host may write, was written whole before its rename, is named by the
    // hash of its content, which was just checked, and is never written again. wasmtime checks that it fits this engine.
    let component = unsafe { Component::deserialize_file(engine, path) }?;
    component.initialize_copy_on_write_image()?;
    Ok(component)
}

fn prefix(engine: &Engine, hash: &str) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{hash}.{:016x}.", hasher.finish())
}

fn hash_file(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(HEXLOWER.encode(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// The compiler's message in one line, and what to do about it.
fn not_compiled(message: &str) -> String {
    let cut_off = ["unexpected end", "unexpected-eof", "is out of bounds (bound"].iter().any(|mark| message.contains(mark));
    let hint = if cut_off {
        "the file is truncated; copy it again, best under another name followed by a rename"
    } else {
        "rebuild it for the target wasm32-wasip2 with current tools"
    };
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect();
    format!("it is not a valid component: {} ({hint})", lines.join(" "))
}

#[cfg(unix)]
fn only_ours(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn only_ours(_: &Path) -> std::io::Result<()> {
    Ok(())
}
