//! Lines on their way to a writer that may be slow, stuck or gone: one buffer of bounded size, and a thread that empties it.
//! Whoever adds a line never waits for the writer. A line that finds no room, or that cannot be written, is lost and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// Bytes of one write: a terminal or a pipe that takes little at a time shows progress, and what it took makes room at once.
const WRITE_BYTES: usize = 16 << 10;
/// What the thread rests after each write. Lines that follow each other closely are then written together: to wake it for each of them would
/// cost a request more than the line does.
const REST: Duration = Duration::from_millis(2);

/// What the thread says once it writes again: how many lines were lost meanwhile.
type Report = fn(u64);

/// The queue, held by whoever ends it.
pub(super) struct Queue(Arc<Shared>);

/// Where lines are added.
#[derive(Clone)]
pub(super) struct Lines {
    shared: Arc<Shared>,
    /// They are for somebody who has to act, and are written without a rest.
    urgent: bool,
}

struct Shared {
    state: Mutex<State>,
    /// There are lines, or there will be no more.
    filled: Condvar,
    /// The thread has nothing left to do.
    idle: Condvar,
    bytes_max: usize,
    dropped: Counter,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    lines: u64,
    /// Bytes that the thread has taken and not written yet. They count as waiting.
    taken: usize,
    /// Lines that were lost since this was last reported.
    lost: u64,
    /// The thread waits for a line, and was not told of one yet.
    idle: bool,
    /// An urgent line waits.
    urgent: bool,
    /// What waits is still written, but no further lines are waited for.
    ended: bool,
    /// The thread is gone.
    gone: bool,
}

impl Queue {
    /// Starts the thread, which owns `writer`. It is never joined, because nobody can end a write that is stuck.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(writer: impl Write + Send + 'static, bytes_max: usize, dropped: Counter, report: Report) -> io::Result<Self> {
        let state = Mutex::default();
        let shared = Arc::new(Shared { state, filled: Condvar::new(), idle: Condvar::new(), bytes_max, dropped });
        let taking = Arc::clone(&shared);
        std::thread::Builder::new().name("log".into()).spawn(move || taking.write_all(writer, report))?;
        Ok(Self(shared))
    }

    pub(super) fn lines(&self) -> Lines {
        Lines { shared: Arc::clone(&self.0), urgent: false }
    }

    /// Waits until all lines were written, for at most `time`; the thread then ends.
    pub(super) fn finish(&self, time: Duration) {
        let mut state = self.0.lock();
        state.ended = true;
        self.0.filled.notify_one();
        let busy = |state: &mut State| !(state.gone || state.idle && state.waiting.is_empty());
        drop(self.0.idle.wait_timeout_while(state, time, busy));
    }
}

impl Lines {
    /// The same for lines that are urgent.
    pub(super) fn urgent(&self) -> Self {
        Self { urgent: true, ..self.clone() }
    }

    /// Adds a line if there is room.
    pub(super) fn push(&self, line: &[u8]) {
        let Self { shared, urgent } = self;
        let mut state = shared.lock();
        if state.gone || state.taken + state.waiting.len() + line.len() > shared.bytes_max {
            state.lost += 1;
            shared.dropped.inc();
            return;
        }
        state.waiting.extend_from_slice(line);
        state.lines += 1;
        state.urgent |= urgent;
        let wakes = std::mem::take(&mut state.idle) || *urgent || shared.is_half_full(&state);
        drop(state);
        if wakes {
            shared.filled.notify_one();
        }
    }
}

/// The subscriber writes each event at once and whole.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the thread rests no longer.
    fn is_half_full(&self, state: &State) -> bool {
        state.waiting.len() > self.bytes_max / 2
    }

    /// The thread: writes until the queue has ended and is empty.
    fn write_all(&self, mut writer: impl Write, report: Report) {
        let mut batch = Vec::new();
        while let Some(lines) = self.take(&mut batch) {
            let written = batch.chunks(WRITE_BYTES).try_for_each(|bytes| {
                writer.write_all(bytes)?;
                self.lock().taken -= bytes.len();
                Ok::<_, io::Error>(())
            });
            let lost = self.wrote(written.is_ok(), lines);
            if lost > 0 {
                // This is a line like any other, so it may be lost too, and then counts for the next report.
                report(lost);
            }
            let rests = |state: &mut State| !(state.ended || state.urgent || self.is_half_full(state));
            drop(self.filled.wait_timeout_while(self.lock(), REST, rests));
        }
    }

    /// Waits for lines and takes all of them, in exchange for the empty buffer. Returns their number; none at the end.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        batch.clear();
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.idle = true;
            self.idle.notify_all();
        }
        let mut state =
            self.filled.wait_while(state, |state| state.waiting.is_empty() && !state.ended).unwrap_or_else(PoisonError::into_inner);
        state.idle = false;
        if state.waiting.is_empty() {
            state.gone = true;
            self.idle.notify_all();
            return None;
        }
        std::mem::swap(&mut state.waiting, batch);
        state.taken = batch.len();
        state.urgent = false;
        Some(std::mem::take(&mut state.lines))
    }

    /// Notes what became of the lines that were taken. Returns how many were lost, if that can be written now.
    fn wrote(&self, written: bool, lines: u64) -> u64 {
        let mut state = self.lock();
        state.taken = 0;
        if written {
            return std::mem::take(&mut state.lost);
        }
        state.lost += lines;
        self.dropped.inc_by(lines);
        0
    }
}

#[cfg(test)]
mod tests;
