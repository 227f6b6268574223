//! The clock that guests' code looks at: one thread moves the engine's epoch on, and a guest that finds it moved gives up its turn. Fuel bounds
//! a turn by operators, and this by time, because some operators take long: the first touch of a page, the growth of a table.
//! It stands still while no call runs.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::Engine;

/// Between two moves of the epoch. Each is two changes of threads, so there should be few.
const TICK: Duration = Duration::from_micros(750);
/// A turn ends with the first move that finds it older than this, so it lasts for 250 to 1000 microseconds.
pub(super) const TURN_MIN: Duration = Duration::from_micros(250);
/// Ticks without a call after which it stands still: calls that follow each other closely do not wake it each time.
const IDLE_TICKS: u32 = 64;
/// It looks for calls after this time even if nobody woke it.
const ASLEEP: Duration = Duration::from_secs(1);

/// Moves the epoch while calls run.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

struct State {
    asleep: AtomicBool,
}

impl Ticker {
    /// Starts the thread. `runs` says whether any call runs.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(engine: &Engine, runs: impl Fn() -> bool + Send + 'static) -> std::io::Result<Self> {
        let state = Arc::new(State { asleep: AtomicBool::new(false) });
        let (engine, watched) = (engine.weak(), Arc::downgrade(&state));
        let tick = move || {
            let mut idle = 0;
            while let (Some(engine), Some(state)) = (engine.upgrade(), watched.upgrade()) {
                engine.increment_epoch();
                idle = if runs() { 0 } else { idle + 1 };
                if idle < IDLE_TICKS {
                    drop((engine, state));
                    std::thread::park_timeout(TICK);
                    continue;
                }
                state.asleep.store(true, Ordering::Relaxed);
                // A call that took its permit before this is seen here; one that takes it later sees `asleep`.
                fence(Ordering::SeqCst);
                let asleep = !runs();
                drop(engine);
                rest(state, &watched, asleep);
                idle = 0;
            }
        };
        let thread = std::thread::Builder::new().name("guest-ticker".into()).spawn(tick)?.thread().clone();
        Ok(Self { state, thread })
    }

    /// A call has its permits.
    pub(super) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.state.asleep.load(Ordering::Relaxed) {
            self.state.asleep.store(false, Ordering::Relaxed);
            self.thread.unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

/// Sleeps until a call comes; holds on to nothing meanwhile, so that the end of the server is seen.
fn rest(state: Arc<State>, watched: &Weak<State>, asleep: bool) {
    drop(state);
    if asleep {
        std::thread::park_timeout(ASLEEP);
    }
    if let Some(state) = watched.upgrade() {
        state.asleep.store(false, Ordering::Relaxed);
    }
}
