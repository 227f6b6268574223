//! The WASI that guests get: the interfaces that ordinary tools build into every component, with nothing behind them. No guest finds a file,
//! a socket, a variable or an argument here; what it prints goes to its log, cut into lines, because a panic's message is worth having.

use std::sync::Arc;

use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::bindings::log::Level;
use super::env::CallEnv;

/// Every interface that is linked, without its version: all of WASI 0.2's that `wasmtime_wasi::p2` has, and the types
/// of requests and answers, which hooks in the style of the web import. Who sends requests needs a grant for that.
const INTERFACES: [&str; 28] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];
/// Bytes of random numbers per request of a guest.
const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// Bytes of an unfinished line that are kept; a log line is cut far below.
const PENDING_BYTES_MAX: usize = 16 << 10;

/// Whether a component may import that: one of the interfaces above in any version 0.2.x, which are compatible with each other.
pub(super) fn is_linked(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    let patch = version.strip_prefix("0.2.").unwrap_or_default();
    INTERFACES.contains(&interface) && !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit())
}

/// A context that grants nothing.
pub(super) fn context(env: &Arc<CallEnv>) -> WasiCtx {
    WasiCtx::builder()
        .stdout(Lines { env: env.clone() })
        .stderr(Lines { env: env.clone() })
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM_BYTES_MAX)
        .build()
}

/// Standard output or error of a guest. Never blocks, never grows past one line, never fails a guest that prints too much.
struct Lines {
    env: Arc<CallEnv>,
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only the p3 interfaces, which are not linked, use this form.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(LineWriter { env: self.env.clone(), pending: Vec::new() })
    }
}

struct LineWriter {
    env: Arc<CallEnv>,
    pending: Vec<u8>,
}

impl LineWriter {
    fn end_line(&mut self) {
        if !self.pending.is_empty() {
            self.env.log.write(Level::Info, &String::from_utf8_lossy(&self.pending));
            self.pending.clear();
        }
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.end_line();
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LineWriter {
    async fn ready(&mut self) {}
}

impl OutputStream for LineWriter {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let line = piece.strip_suffix(b"\n").unwrap_or(piece);
            let free = PENDING_BYTES_MAX - self.pending.len();
            self.pending.extend_from_slice(&line[..line.len().min(free)]);
            if line.len() < piece.len() {
                self.end_line();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PENDING_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_linked_by_its_whole_name_in_any_compatible_version() {
        for linked in ["wasi:http/types@0.2.10", "wasi:io/streams@0.2.0", "wasi:cli/environment@0.2.6", "wasi:sockets/tcp@0.2.12"] {
            assert!(is_linked(linked), "{linked}");
        }
        for unknown in [
            "wasi:io/streams",
            "wasi:io/streams@0.3.0",
            "wasi:io/streams@0.2.",
            "wasi:io/streams@0.2.0-rc-2023-11-10",
            "wasi:sockets/raw@0.2.0",
            "wasi:http/outgoing-handler@0.2.0",
        ] {
            assert!(!is_linked(unknown), "{unknown}");
        }
    }
}
