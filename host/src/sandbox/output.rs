//! Standard output and error of a guest, cut into lines for its log: a panic's message is worth having.
//! Never blocks, never grows past one line, never fails a guest that prints too much.

use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::bindings::log::Level;
use super::hostcalls::log::Log;

/// Bytes of an unfinished line that are kept; a log line is cut far below.
const PENDING_BYTES_MAX: usize = 16 << 10;

pub(super) struct Lines {
    log: Log,
}

impl Lines {
    pub(super) fn new(log: Log) -> Self {
        Self { log }
    }
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
        Box::new(LineWriter { log: self.log.clone(), pending: Vec::new() })
    }
}

struct LineWriter {
    log: Log,
    pending: Vec<u8>,
}

impl LineWriter {
    fn end_line(&mut self) {
        if !self.pending.is_empty() {
            self.log.write(Level::Info, &String::from_utf8_lossy(&self.pending));
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
            let room = PENDING_BYTES_MAX - self.pending.len();
            self.pending.extend_from_slice(&line[..line.len().min(room)]);
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
