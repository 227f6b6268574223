//! The threads on which guests run that are not known to be short. They have a lower priority than those that serve connections, so that a guest
//! can delay another guest but no stream; each call has one turn after the other, in the order of `queue`. A call is polled, ended and dropped
//! there, with all the memory that it made dirty.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_task::Runnable;
use tokio::runtime::Handle;

use super::clocks::Clocks;
use super::pace::{Pace, Place};
use super::queue::Queue;
use crate::fair::step_back;

/// How much less than others these threads get when the processors are short: at 5, a third. More would give plugins too little beside other
/// programs, and takes a stream's wait beside them down from two milliseconds to one.
const NICENESS: i32 = 5;

/// Where calls can run.
pub(super) struct Guests {
    /// None: where they are asked for, as unit tests want it, whose clock stands still.
    turns: Option<Arc<Turns>>,
}

/// A call, as a thread sees it.
struct Call {
    plugin: Arc<str>,
    clocks: Arc<Clocks>,
    /// Its level in the queue at its last turn.
    level: AtomicUsize,
    /// Nobody waits for it.
    behind: bool,
    /// Nobody waits for it any more, so it only has to be dropped, with its permits and its memory.
    given_up: AtomicBool,
}

/// Says so once its caller is gone.
struct Caller(Arc<Call>);

/// A guest whose drop may panic without harm to the thread: the runtime of tasks ends the whole process for such a panic.
struct Contained<F>(Option<Pin<Box<F>>>);

/// What the threads and those who ask share.
struct Turns {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

struct Waiting {
    calls: Queue<Runnable<Arc<Call>>>,
    idle: usize,
    closed: bool,
}

impl Guests {
    /// Starts the threads, which use the timers and sockets of the runtime that this is called on.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(threads: usize) -> std::io::Result<Self> {
        let waiting = Waiting { calls: Queue::new(), idle: 0, closed: false };
        let turns = Arc::new(Turns { waiting: Mutex::new(waiting), more: Condvar::new() });
        let guests = Self { turns: Some(turns.clone()) };
        for number in 0..threads {
            let (turns, runtime) = (turns.clone(), Handle::current());
            std::thread::Builder::new().name(format!("guest-{number}")).spawn(move || turns.work(&runtime))?;
        }
        Ok(guests)
    }

    /// No threads.
    #[cfg(test)]
    pub(super) fn here() -> Self {
        Self { turns: None }
    }

    /// Runs a call to its end, and its first turn on the thread that asks if the plugin may do so with that many bytes. A call without a pace
    /// is one that nobody waits for: it runs apart, behind those of requests. Dropping the future ends
    /// the guest, on its own thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        plugin: &Arc<str>,
        clocks: &Arc<Clocks>,
        pace: Option<(&Pace, usize)>,
        guest: impl Future<Output = T> + Send + 'static,
    ) -> (T, Place) {
        let mut guest = Contained(Some(Box::pin(guest)));
        let Some(turns) = &self.turns else { return (guest.await, Place::Inline) };
        let behind = pace.is_none();
        let mut went = Place::Apart;
        if let Some((pace, bytes)) = pace
            && let Some(place) = pace.inline(bytes)
        {
            if place == Place::Measured {
                clocks.measure();
            }
            let turn = poll_fn(|context| Poll::Ready(Pin::new(&mut guest).poll(context)));
            if let Poll::Ready(done) = turn.await {
                return (done, place);
            }
            // At once: the plugin's other calls must not begin as if nothing were while this one goes on, and its caller may give it up.
            went = pace.went_on(place, clocks.gave_up_a_long_turn().then(|| clocks.spent().running));
        }
        clocks.measure();
        let (level, given_up) = (AtomicUsize::new(usize::MAX), AtomicBool::new(false));
        let call = Arc::new(Call { plugin: plugin.clone(), clocks: clocks.clone(), level, behind, given_up });
        let _caller = Caller(call.clone());
        let schedule = {
            let turns = turns.clone();
            move |call| turns.push(call)
        };
        // A panic of the host's belongs to who asked, as it would if the guest ran there.
        let (runnable, task) = async_task::Builder::new().propagate_panic(true).metadata(call).spawn(move |_| guest, schedule);
        runnable.schedule();
        (task.await, went)
    }
}

impl Guests {
    /// Drops what is left of a guest on a thread of the guests', since giving back the memory that it made dirty takes time.
    pub(super) fn let_go(&self, plugin: &Arc<str>, clocks: &Arc<Clocks>, left: impl Send + 'static) {
        let Some(turns) = self.turns.clone() else { return };
        let (level, given_up) = (AtomicUsize::new(usize::MAX), AtomicBool::new(true));
        let call = Arc::new(Call { plugin: plugin.clone(), clocks: clocks.clone(), level, behind: false, given_up });
        let end = Contained(Some(Box::pin(async move { drop(left) })));
        let (runnable, task) = async_task::Builder::new().metadata(call).spawn(move |_| end, move |call| turns.push(call));
        runnable.schedule();
        task.detach();
    }
}

impl Call {
    /// Whether its next turn is its last, because it is only told that it is over.
    fn is_over(&self) -> bool {
        self.given_up.load(Ordering::Relaxed) || self.clocks.has_starved()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }
}

impl<F: Future> Future for Contained<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().expect("it is there until it is dropped").as_mut().poll(context)
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| drop(self.0.take()))).is_err() {
            tracing::error!("a plugin's call panicked while it was dropped");
        }
    }
}

/// The threads end after the turn at hand; waiting for them here could be waiting for oneself, since the last call may hold the last `Guests`.
impl Drop for Guests {
    fn drop(&mut self) {
        if let Some(turns) = &self.turns {
            turns.waiting().closed = true;
            turns.more.notify_all();
        }
    }
}

impl Turns {
    fn push(&self, call: Runnable<Arc<Call>>) {
        // Kept beside the call, which is the queue's as soon as it is pushed.
        let of = call.metadata().clone();
        let (ran, was) = (of.clocks.spent().running, of.level.load(Ordering::Relaxed));
        let mut waiting = self.waiting();
        let level = waiting.calls.push((&of.plugin, of.behind), call, ran, Some(was));
        of.level.store(level, Ordering::Relaxed);
        let idle = waiting.idle > 0;
        drop(waiting);
        if idle {
            self.more.notify_one();
        }
    }

    fn work(&self, runtime: &Handle) {
        let _timers = runtime.enter();
        step_back(NICENESS);
        while let Some(call) = self.next() {
            call.run();
        }
    }

    fn next(&self) -> Option<Runnable<Arc<Call>>> {
        let mut waiting = self.waiting();
        loop {
            if waiting.closed {
                return None;
            }
            if let Some(call) = waiting.calls.pop(|call| call.metadata().is_over()) {
                return Some(call);
            }
            waiting.idle += 1;
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::sandbox::Limits;

    fn clocks() -> Arc<Clocks> {
        let clocks = Clocks::new(&Limits::default(), std::time::Duration::from_secs(60));
        clocks.start();
        Arc::new(clocks)
    }

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_while_a_cancelled_guest_is_dropped_ends_no_thread() {
        let (guests, pace, plugin) = (Guests::start(1).unwrap(), Pace::new(), Arc::from("p"));
        let clocks = clocks();
        for _ in 0..3 {
            let (begun, begins) = tokio::sync::oneshot::channel();
            let guest = async {
                let _bomb = Bomb;
                let _ = begun.send(());
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = guests.run(&plugin, &clocks, Some((&pace, 0)), guest) => unreachable!("it waits for ever"),
                _ = begins => {}
            }
        }
        assert_eq!(guests.run(&plugin, &clocks, Some((&pace, 0)), async { 5 }).await, (5, Place::Apart));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_call_that_was_given_up_is_dropped_before_a_live_one_goes_on() {
        let (guests, pace, plugin) = (Arc::new(Guests::start(1).unwrap()), Arc::new(Pace::new()), Arc::<str>::from("p"));
        let (told, tells) = mpsc::channel::<&str>();
        let call = |name: &'static str, work: Pin<Box<dyn Future<Output = ()> + Send>>| {
            let (guests, pace, plugin, clocks) = (guests.clone(), pace.clone(), plugin.clone(), clocks());
            let dropped = Told(told.clone(), name);
            tokio::spawn(async move {
                let guest = async move {
                    let _dropped = dropped;
                    work.await;
                };
                guests.run(&plugin, &clocks, Some((&pace, 0)), guest).await;
            })
        };
        // It holds the only thread until it is let go, and then goes on for some turns.
        let (go, gone) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let live = call(
            "live",
            Box::pin(async move {
                let _ = begun.send(());
                let _ = gone.recv();
                for _ in 0..20 {
                    super::super::store::next_turn().await;
                }
            }),
        );
        begins.await.unwrap();
        let queued = |calls: usize| {
            let turns = guests.turns.clone().unwrap();
            async move {
                while turns.waiting().calls.len() < calls {
                    tokio::task::yield_now().await;
                }
            }
        };
        let waiting = call("waiting", Box::pin(async {}));
        queued(1).await;
        let left = call("left", Box::pin(async {}));
        queued(2).await;
        left.abort();
        let _ = left.await;
        go.send(()).unwrap();
        live.await.unwrap();
        waiting.await.unwrap();
        drop(told);
        assert_eq!(tells.iter().collect::<Vec<_>>(), ["left", "live", "waiting"]);
    }

    struct Told(mpsc::Sender<&'static str>, &'static str);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }
}
