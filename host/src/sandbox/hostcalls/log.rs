//! `cofferdam:hooks/log`: a plugin's lines reach our tracing with its name and the request's id, bounded and harmless.
//! Must not let a guest write a control character, a line too long, or one line too many.

use std::sync::{Arc, Mutex, PoisonError};

use crate::chat::RequestId;
use crate::sandbox::bindings::log::{Host, Level};
use crate::sandbox::state::State;

/// One call's log. Clones share their counts: the hostcall, stdout and stderr write to the same budget.
#[derive(Clone)]
pub(in crate::sandbox) struct Log {
    plugin: Arc<str>,
    request: RequestId,
    line_bytes_max: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    left: u32,
    dropped: u64,
}

impl Log {
    pub(in crate::sandbox) fn new(plugin: Arc<str>, request: RequestId, lines_max: u32, line_bytes_max: usize) -> Self {
        Self { plugin, request, line_bytes_max, counts: Arc::new(Mutex::new(Counts { left: lines_max, dropped: 0 })) }
    }

    /// Lines that were over the limit.
    pub(in crate::sandbox) fn dropped(&self) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    pub(in crate::sandbox) fn write(&self, level: Level, text: &str) {
        {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.left == 0 {
                counts.dropped += 1;
                return;
            }
            counts.left -= 1;
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

impl Host for State {
    fn write(&mut self, level: Level, text: String) -> wasmtime::Result<()> {
        self.log.write(level, &text);
        Ok(())
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
        let log = Log::new("p".into(), "r".into(), 2, 10);
        for _ in 0..5 {
            log.clone().write(Level::Info, "x");
        }
        assert_eq!(log.dropped(), 3);
    }
}
