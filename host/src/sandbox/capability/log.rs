//! The capability `log`: a plugin's lines reach the operator's log with the plugin's name and the request's id. It needs no grant.
//! No guest can write a control character, a line too long, or one line too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use wasmtime::component::{HasData, Linker};

use crate::chat::RequestId;
use crate::sandbox::Limits;
use crate::sandbox::bindings::log::{self, Host, Level};

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/log@0.2.0";

/// One call's log. The host call, standard output and standard error write to the same budget of lines.
pub(in crate::sandbox) struct Log {
    plugin: Arc<str>,
    request: RequestId,
    line_bytes_max: usize,
    left: AtomicU32,
    dropped: AtomicU64,
}

/// Adds its functions; `log` finds the call's log in the store's data.
pub(in crate::sandbox) fn link<T: Send + 'static>(linker: &mut Linker<T>, log: fn(&mut T) -> &Log) -> wasmtime::Result<()> {
    log::add_to_linker::<T, HasLog>(linker, log)
}

struct HasLog;

impl HasData for HasLog {
    type Data<'a> = &'a Log;
}

impl Host for &Log {
    fn write(&mut self, level: Level, text: String) -> wasmtime::Result<()> {
        Log::write(self, level, &text);
        Ok(())
    }
}

impl Log {
    pub(in crate::sandbox) fn new(plugin: Arc<str>, request: RequestId, limits: &Limits) -> Self {
        Self { plugin, request, line_bytes_max: limits.log_line_bytes, left: AtomicU32::new(limits.log_lines), dropped: AtomicU64::new(0) }
    }

    /// Lines that were over the limit.
    pub(in crate::sandbox) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(in crate::sandbox) fn write(&self, level: Level, text: &str) {
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let line = harmless(text, self.line_bytes_max);
        let (plugin, request) = (&*self.plugin, &*self.request);
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, request, "{line}"),
            Level::Info => tracing::info!(target: "plugin", plugin, request, "{line}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, request, "{line}"),
            Level::Error => tracing::error!(target: "plugin", plugin, request, "{line}"),
        }
    }
}

/// Cuts at `bytes_max` and replaces what a terminal or a log reader would act upon, line and direction marks included.
pub(in crate::sandbox) fn harmless(text: &str, bytes_max: usize) -> String {
    let cut = text.floor_char_boundary(bytes_max);
    let clean = |c: char| match c {
        '\t' => ' ',
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    let mut line: String = text[..cut].chars().map(clean).collect();
    if cut < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_do_not_reach_the_log() {
        assert_eq!(harmless("a\x1b[31mb\nc\r\u{202e}d\te", 100), "a\u{fffd}[31mb\u{fffd}c\u{fffd}\u{fffd}d e");
    }

    #[test]
    fn a_line_is_cut_at_its_limit_and_never_inside_a_character() {
        assert_eq!(harmless("abcd", 4), "abcd");
        assert_eq!(harmless("abcde", 4), "abcd…");
        assert_eq!(harmless("aéé", 2), "a…");
    }

    #[test]
    fn lines_over_the_limit_are_counted() {
        let limits = Limits { log_lines: 2, log_line_bytes: 10, ..Limits::default() };
        let log = Log::new("p".into(), "r".into(), &limits);
        for _ in 0..5 {
            log.write(Level::Info, "x");
        }
        assert_eq!(log.dropped(), 3);
    }
}
