//! Components to machine code, off the serving threads and outside this process, kept by content hash for the next start.
//! Compiling hostile input can eat memory, time and disk, so a child process with limits does it. No machine code is mapped but from a file
//! that this host wrote, whose name holds the hash of its content.

mod child;
mod refused;

use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use self::refused::Refused;
use super::ServerLimits;
use super::machine;
use super::refusal::{Refusal, not_compiled, short};
use crate::files;

pub use child::child;

/// How the name of a file begins that is not whole yet.
const UNFINISHED: &str = ".compiling-";
/// How the name of a file with machine code ends.
const CODE: &str = ".cwasm";

/// Which process compiles.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// A child: this program's path; it is called with `compile-component` and calls [`child`].
    Child(PathBuf),
    /// This process, for benchmarks and tools that trust their input.
    InProcess,
}

/// Compiled code by content, in a directory that only the host writes.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    compiler: Compiler,
    limits: Mutex<Arc<ServerLimits>>,
    /// Hashes of the components whose code is in use or is about to be.
    needed: Mutex<HashSet<String>>,
    refused: Mutex<Refused>,
}

/// A file of machine code that no live plugin needs.
struct Idle {
    used: SystemTime,
    path: PathBuf,
    bytes: u64,
}

impl Cache {
    pub(super) fn new(directory: PathBuf, compiler: Compiler, limits: ServerLimits) -> std::io::Result<Self> {
        if let Some(exposed) = files::private_directory(&directory)? {
            tracing::warn!(directory = %directory.display(), "other users can reach the compiled code: {exposed}");
        }
        // What a killed server left half written. Nothing of this one is on its way yet.
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                std::fs::remove_file(entry.path())?;
            }
        }
        let refused = Mutex::new(Refused::read(&directory));
        Ok(Self { directory, compiler, limits: Mutex::new(Arc::new(limits)), needed: Mutex::default(), refused })
    }

    /// These limits hold for what is compiled and kept from now on.
    pub(super) fn set_limits(&self, limits: ServerLimits) {
        *lock(&self.limits) = Arc::new(limits);
    }

    fn limits(&self) -> Arc<ServerLimits> {
        Arc::clone(&lock(&self.limits))
    }

    /// Whether there may be code for the component.
    pub(super) fn has(&self, engine: &Engine, hash: &str) -> bool {
        let prefix = prefix(engine, hash);
        let entries = std::fs::read_dir(&self.directory);
        entries
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))))
    }

    /// Why the component was refused by an earlier compiler of this version under these limits.
    pub(super) fn refused(&self, engine: &Engine, hash: &str) -> Option<String> {
        lock(&self.refused).reason(&self.version(engine), hash)
    }

    /// The component of these bytes, compiled within `time` of a processor, and kept.
    ///
    /// # Errors
    /// A sentence for the plugin's author, or `Slow` if the operator allows more time than this.
    pub(super) async fn compile(&self, engine: &Engine, bytes: &[u8], hash: &str, time: Duration) -> Result<Component, Refusal> {
        let compiled = self.compiled(engine, bytes, hash, time).await;
        if let Err(Refusal::Invalid(reason)) = &compiled
            && let Err(error) = lock(&self.refused).remember(&self.directory, &self.version(engine), hash, reason)
        {
            tracing::warn!(%error, "what was refused cannot be kept, and is compiled again at the next start");
        }
        compiled
    }

    async fn compiled(&self, engine: &Engine, bytes: &[u8], hash: &str, time: Duration) -> Result<Component, Refusal> {
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.directory).map_err(|e| self.unwritable(&e))?;
        match &self.compiler {
            Compiler::Child(program) => child::run(program, bytes, file.path(), &self.limits(), time).await?,
            Compiler::InProcess => {
                let code = engine.precompile_component(bytes).map_err(|e| of_the_compiler(&e))?;
                child::fits(code.len(), self.limits().compiled_file_bytes)?;
                file.as_file().write_all(&code).map_err(|e| self.unwritable(&e))?;
            }
        }
        self.keep(engine, file, hash)
    }

    /// Names the components whose code must stay; all other code is idle and may go.
    pub(super) fn need(&self, hashes: HashSet<String>) {
        *lock(&self.needed) = hashes;
    }

    /// Removes the oldest idle code over the limits.
    pub(super) fn prune(&self) -> std::io::Result<()> {
        self.make_room(0).map(drop)
    }

    /// Removes idle code, the oldest first, until `more` bytes fit; says whether they do.
    fn make_room(&self, more: u64) -> std::io::Result<bool> {
        let (needed, limits) = (lock(&self.needed).clone(), self.limits());
        let (mut idle, mut total) = (Vec::new(), more);
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(CODE) {
                continue;
            }
            let data = entry.metadata()?;
            total = total.saturating_add(data.len());
            if !needed.contains(name.split('.').next().unwrap_or_default()) {
                idle.push(Idle { used: data.modified()?, path: entry.path(), bytes: data.len() });
            }
        }
        idle.sort_by(|one, other| (one.used, &one.path).cmp(&(other.used, &other.path)));
        let mut surplus = idle.len().saturating_sub(limits.compiled.saturating_sub(needed.len()));
        for idle in idle {
            if surplus == 0 && total <= limits.compiled_bytes {
                break;
            }
            std::fs::remove_file(&idle.path)?;
            surplus = surplus.saturating_sub(1);
            total = total.saturating_sub(idle.bytes);
        }
        Ok(total <= limits.compiled_bytes)
    }

    /// Looks for `HASH.ENGINE.CODEHASH.cwasm`. The code's own hash is in the name, so that a damaged file is never run.
    ///
    /// # Errors
    /// The machine does not let it be used, so that to compile the component again would be of no use.
    pub(super) fn cached(&self, engine: &Engine, hash: &str) -> Result<Option<Component>, Refusal> {
        let prefix = prefix(engine, hash);
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return Ok(None) };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(code_hash) = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(CODE)) else { continue };
            let path = entry.path();
            match whole(&path, code_hash) {
                Ok(Some(file)) => match open(engine, &file, &path) {
                    Ok(component) => return Ok(Some(component)),
                    // It is what was written, so it is the machine that lacks something.
                    Err(error) if machine::is_the_machines(&error) => return Err(machine::cannot_map(&error)),
                    Err(error) => tracing::warn!(file = name, error = format!("{error:#}"), "compiled code cannot be used now"),
                },
                Err(error) => tracing::warn!(file = name, %error, "compiled code cannot be read now"),
                Ok(None) => {
                    tracing::warn!(file = name, "compiled code is damaged and is made anew");
                    if let Err(error) = std::fs::remove_file(&path) {
                        tracing::warn!(file = name, %error, "damaged compiled code cannot be removed");
                    }
                }
            }
        }
        Ok(None)
    }

    fn keep(&self, engine: &Engine, file: tempfile::NamedTempFile, hash: &str) -> Result<Component, Refusal> {
        file.as_file().sync_all().map_err(|e| self.unwritable(&e))?;
        let bytes = file.as_file().metadata().map_err(|e| self.unwritable(&e))?.len();
        if !self.make_room(bytes).map_err(|e| self.unwritable(&e))? {
            let limit = self.limits().compiled_bytes;
            return Err(Refusal::Transient(format!(
                "its {bytes} bytes of machine code do not fit beside those of the other plugins into {limit} bytes (raise `limits.plugins.compiled_bytes`)"
            )));
        }
        let code_hash = hash_file(&mut File::open(file.path()).map_err(|e| self.unwritable(&e))?).map_err(|e| self.unwritable(&e))?;
        let path = self.directory.join(format!("{}{code_hash}{CODE}", prefix(engine, hash)));
        let file = file.persist(&path).map_err(|e| self.unwritable(&e.error))?;
        open(engine, &file, &path).map_err(|error| {
            // The compiler has taken the component: what fails now lacks descriptors, memory or address space, or a place in the pool.
            if !is_the_pools(&error) {
                return machine::cannot_map(&error);
            }
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(file = %path.display(), %error, "machine code that is of no use cannot be removed");
            }
            Refusal::Invalid(short(&format!("it needs more than a call is given: {error:#}")))
        })
    }

    /// What must be the same for a refusal to hold: the compiler, and the limits that it was given.
    fn version(&self, engine: &Engine) -> String {
        let ServerLimits { compile_time, compile_memory, compiled_file_bytes, .. } = *self.limits();
        let (program, engine) = (env!("CARGO_PKG_VERSION"), engine_hash(engine));
        format!("{program} {engine} {} {compile_memory} {compiled_file_bytes}", compile_time.as_secs())
    }

    fn unwritable(&self, error: &std::io::Error) -> Refusal {
        machine::failed(&format!("compiled code cannot be kept in {}: {error}", self.directory.display()))
    }
}

/// Whether a component has more memories, tables or instances, or larger ones, than the pool has for any call: no machine would have them.
/// wasmtime has no type for this error; tests watch its text.
fn is_the_pools(error: &wasmtime::Error) -> bool {
    !machine::is_the_machines(error) && format!("{error:#}").contains("pooling allocator")
}

/// Why there is no machine code.
fn of_the_compiler(error: &wasmtime::Error) -> Refusal {
    let text = format!("{error:#}");
    if machine::is_the_machines(error) {
        machine::failed(&format!("the compiler could not do its work: {text}"))
    } else {
        not_compiled(&text).into()
    }
}

#[expect(unsafe_code, reason = "the one exception: mapping compiled code, which is sound only for code that we wrote ourselves")]
fn open(engine: &Engine, file: &File, path: &Path) -> wasmtime::Result<Component> {
    // Whatever the name leads to by now, what was looked at is what is mapped.
    let descriptor = Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(file).to_string());
    let path = if cfg!(target_os = "linux") { &descriptor } else { path };
    // SAFETY: the file lies in a directory that only the host may write, belongs to this user alone, was written whole before its rename,
    // is named by the hash of its content, which was just checked, and is never written again. wasmtime checks that it fits this engine.
    let component = unsafe { Component::deserialize_file(engine, path) }?;
    component.initialize_copy_on_write_image()?;
    Ok(component)
}

/// The file, if nobody else can have written it and its content has that hash.
///
/// # Errors
/// Nobody knows: it cannot be opened or read now.
fn whole(path: &Path, code_hash: &str) -> Result<Option<File>, files::Refused> {
    let mut file = match files::open(path) {
        Err(files::Refused::NotAFile) => return Ok(None),
        other => other?,
    };
    let whole = files::is_ours(&file).and_then(|ours| Ok(ours && hash_file(&mut file)? == code_hash));
    Ok(whole.map_err(files::Refused::Io)?.then_some(file))
}

fn prefix(engine: &Engine, hash: &str) -> String {
    format!("{hash}.{}.", engine_hash(engine))
}

fn engine_hash(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn hash_file(file: &mut File) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(HEXLOWER.encode(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// A panic elsewhere leaves whole entries.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
