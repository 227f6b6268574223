//! The clocks of a call: the guest's own running, its waiting in host calls, and the time in which it could run and nobody ran it. Exactly one
//! of them counts at a time. A turn, which is one poll of the guest, is charged by the processor time that it took, so that a busy machine never
//! uses up a guest's `time`; the rest of it is starving, since other programs ran meanwhile. Between turns the call is asleep until it is woken,
//! and starved from then on until it is polled. A guest that sleeps on a clock of WASI's waits for nobody, so that its sleep counts as running.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, sleep_until};

use super::ticker::TURN_MIN;
use super::{Exhausted, Limits};

/// How long one turn should last. Fuel and epochs end it in the guest's code, this at its host calls.
pub(super) const TURN: Duration = Duration::from_micros(500);
/// At most so much is charged for a turn on a thread that others share, where the processor's clock is rarely read because reading it takes as
/// long as a tenth of a short call. What is not charged is small against any `time`, and there is only one such turn of a call.
const SHARED_TURN_CHARGE: Duration = Duration::from_millis(1);

/// One call's clocks, shared with the host functions of that call.
#[derive(Debug)]
pub(super) struct Clocks {
    time: Duration,
    wait: Duration,
    starve_time: Duration,
    /// Its turns are charged by the processor's clock.
    measured: AtomicBool,
    reading: Mutex<Reading>,
    /// Who polls the call.
    poller: AtomicWaker,
}

/// What a call took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// The guest's own running.
    pub(super) running: Duration,
    /// Its waiting in host calls.
    pub(super) waiting: Duration,
    /// It could run, and nobody ran it.
    pub(super) starved: Duration,
}

/// Why a call was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It used up a limit of its own.
    Limit(Exhausted),
    /// Nobody had time to run it.
    Starved,
}

#[derive(Debug)]
struct Reading {
    /// Up to `since`.
    spent: Spent,
    since: Instant,
    phase: Phase,
    /// It is inside a host function that waits.
    waits: Waits,
    /// What goes on for it while it does not wait in a host function, such as requests that it sent and has no reply to.
    under_way: u32,
    /// It was woken during the turn that runs now.
    woken: bool,
    /// When the last turn began.
    turn: Instant,
}

/// For what a call waits that is inside a host function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Not,
    /// For what the host does on its behalf.
    ForHost,
    /// For a client that takes a reply slowly: no clock counts it.
    ForClient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It can run and has no turn.
    Ready,
    Turn,
    /// It waits to be woken.
    Asleep,
}

impl Clocks {
    /// Clocks that stand still until `start`. `starve_time` is all plugins'.
    pub(super) fn new(limits: &Limits, starve_time: Duration) -> Self {
        let now = Instant::now();
        let reading = Reading::begun(now);
        Self {
            time: limits.time,
            wait: limits.wait,
            starve_time,
            measured: AtomicBool::new(false),
            reading: Mutex::new(reading),
            poller: AtomicWaker::new(),
        }
    }

    /// The call can run from now on. The time since `new`, in which it may have waited for its permits, has a limit of its own.
    pub(super) fn start(&self) {
        self.reading().since = Instant::now();
    }

    /// As `start`, for the next call of the same instance: all readings begin anew.
    pub(super) fn again(&self) {
        self.measured.store(false, Ordering::Relaxed);
        let now = Instant::now();
        let mut reading = self.reading();
        // What was under way ends by itself.
        *reading = Reading { under_way: reading.under_way, ..Reading::begun(now) };
    }

    /// From now on its turns are charged by the processor's clock, as they must be on a thread of the guests'.
    pub(super) fn measure(&self) {
        self.measured.store(true, Ordering::Relaxed);
    }

    /// All readings as of the end of the last turn.
    pub(super) fn spent(&self) -> Spent {
        self.reading().spent
    }

    /// Whether the turn that runs now, or has just ended, has lasted long enough for others to have theirs.
    pub(super) fn turn_is_long(&self) -> bool {
        self.turn_lasts() >= TURN
    }

    /// The time on the clock since the turn that runs now, or has just ended, began.
    pub(super) fn turn_lasts(&self) -> Duration {
        self.reading().turn.elapsed()
    }

    /// Whether the turn that has just ended was given up for its length by the clock: the call goes on at once, and waits for nothing.
    pub(super) fn gave_up_a_long_turn(&self) -> bool {
        let reading = self.reading();
        reading.phase == Phase::Ready && reading.turn.elapsed() >= TURN_MIN
    }

    /// Whether it can run, and nobody has run it for so long that it is to be ended.
    pub(super) fn has_starved(&self) -> bool {
        let reading = self.reading();
        reading.phase == Phase::Ready && reading.spent.starved + reading.since.elapsed() > self.starve_time
    }

    /// Awaits what a host function waits for, on the clock of waiting.
    pub(super) async fn waiting<T>(&self, work: impl Future<Output = T>) -> T {
        let _switched = Waiting::begin(self, Waits::ForHost);
        work.await
    }

    /// Awaits a client that takes a reply slowly. No clock counts that, so that `work` must end by itself, by the request's deadline.
    pub(super) async fn for_client<T>(&self, work: impl Future<Output = T>) -> T {
        let _switched = Waiting::begin(self, Waits::ForClient);
        work.await
    }

    /// Has the guest's sleep count as waiting until what this gives is dropped, wherever that is.
    pub(super) fn begin_waiting(self: &Arc<Self>) -> UnderWay {
        self.reading().under_way += 1;
        UnderWay(self.clone())
    }

    fn end_under_way(&self) {
        let mut reading = self.reading();
        let asleep = reading.phase == Phase::Asleep;
        if asleep {
            reading.charge(Instant::now());
        }
        reading.under_way -= 1;
        drop(reading);
        // It may go on sleeping, for less time than it might have waited.
        if asleep {
            self.poller.wake();
        }
    }

    /// Drives the guest until it is done or one of its limits is reached. To end the guest, drop its store after this.
    ///
    /// # Errors
    /// What was reached.
    pub(super) async fn bound<T>(self: &Arc<Self>, guest: impl Future<Output = T>) -> Result<T, Over> {
        let mut guest = pin!(guest);
        // Never registered for a guest that is done at once, as most are.
        let mut alarm = pin!(sleep_until(Instant::now()));
        let waker = Waker::from(self.clone());
        poll_fn(|context| {
            self.poller.register(context.waker());
            if let Err(over) = self.begin_turn() {
                return Poll::Ready(Err(over));
            }
            let processor = self.measured.load(Ordering::Relaxed).then(processor_time);
            let polled = guest.as_mut().poll(&mut Context::from_waker(&waker));
            let processor = processor.map(|before| processor_time().saturating_sub(before));
            self.end_turn(processor, polled.is_pending());
            if let Poll::Ready(value) = polled {
                return Poll::Ready(Ok(value));
            }
            match self.due() {
                Err(over) => Poll::Ready(Err(over)),
                // It is polled again at once.
                Ok(None) => Poll::Pending,
                Ok(Some(due)) => {
                    if alarm.deadline() != due {
                        alarm.as_mut().reset(due);
                    }
                    // One more turn then, so that what is done at the last moment is done.
                    if alarm.as_mut().poll(context).is_ready() {
                        context.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// # Errors
    /// The call was starved for too long.
    fn begin_turn(&self) -> Result<(), Over> {
        let now = Instant::now();
        let mut reading = self.reading();
        reading.charge(now);
        (reading.phase, reading.woken, reading.turn) = (Phase::Turn, false, now);
        if reading.spent.starved > self.starve_time { Err(Over::Starved) } else { Ok(()) }
    }

    fn end_turn(&self, processor: Option<Duration>, pending: bool) {
        let now = Instant::now();
        let mut reading = self.reading();
        let wall = now.saturating_duration_since(reading.since);
        reading.spent.running += processor.unwrap_or(if pending { wall.min(SHARED_TURN_CHARGE) } else { wall });
        // Other programs had the processor meanwhile, so that nobody ran it.
        reading.spent.starved += processor.map_or(Duration::ZERO, |processor| wall.saturating_sub(processor));
        reading.since = now;
        reading.phase = if reading.woken { Phase::Ready } else { Phase::Asleep };
    }

    /// When a call that is asleep has slept or waited for too long.
    ///
    /// # Errors
    /// It has already run, waited or been starved for too long.
    fn due(&self) -> Result<Option<Instant>, Over> {
        let reading = self.reading();
        let Spent { running, waiting, starved } = reading.spent;
        if running >= self.time {
            return Err(Over::Limit(Exhausted::Time(self.time)));
        }
        if reading.waits() == Waits::ForHost && waiting >= self.wait {
            return Err(Over::Limit(Exhausted::Wait(self.wait)));
        }
        if starved > self.starve_time {
            return Err(Over::Starved);
        }
        let left = match reading.waits() {
            Waits::Not => self.time - running,
            Waits::ForHost => self.wait - waiting,
            Waits::ForClient => return Ok(None),
        };
        Ok((reading.phase == Phase::Asleep).then(|| reading.since + left))
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the guest waits for wakes the clocks, and they wake whoever polls the call.
impl Wake for Clocks {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut reading = self.reading();
        match reading.phase {
            Phase::Turn => reading.woken = true,
            Phase::Asleep => {
                reading.charge(Instant::now());
                reading.phase = Phase::Ready;
            }
            Phase::Ready => {}
        }
        drop(reading);
        self.poller.wake();
    }
}

impl Reading {
    fn begun(now: Instant) -> Self {
        Self { spent: Spent::default(), since: now, phase: Phase::Ready, waits: Waits::Not, under_way: 0, woken: false, turn: now }
    }

    /// For what it waits if it is asleep.
    fn waits(&self) -> Waits {
        if self.waits == Waits::Not && self.under_way > 0 { Waits::ForHost } else { self.waits }
    }

    /// Charges the time between two turns.
    fn charge(&mut self, now: Instant) {
        let more = now.saturating_duration_since(self.since);
        match self.phase {
            Phase::Ready => self.spent.starved += more,
            Phase::Asleep => match self.waits() {
                Waits::Not => self.spent.running += more,
                Waits::ForHost => self.spent.waiting += more,
                Waits::ForClient => {}
            },
            Phase::Turn => self.spent.running += more,
        }
        self.since = now;
    }
}

/// Stands for one thing that goes on for a guest.
pub(super) struct UnderWay(Arc<Clocks>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end_under_way();
    }
}

impl Spent {
    /// The wall clock around the call.
    pub(super) fn whole(self) -> Duration {
        self.running + self.waiting + self.starved
    }
}

/// Stands for one wait; the guest's own clock goes on when it is dropped, also when the call is.
struct Waiting<'a>(&'a Clocks);

impl<'a> Waiting<'a> {
    fn begin(clocks: &'a Clocks, waits: Waits) -> Self {
        clocks.reading().waits = waits;
        Self(clocks)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.reading().waits = Waits::Not;
    }
}

/// The processor time of this thread.
#[cfg(target_os = "linux")]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default());
    Duration::new(seconds, nanos)
}

/// Elsewhere the wall clock stands for it: a starved guest then seems to run.
#[cfg(not(target_os = "linux"))]
fn processor_time() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TIME: Duration = Duration::from_millis(500);
    const WAIT: Duration = Duration::from_secs(5);
    const STARVE: Duration = Duration::from_secs(1);
    const TICK: Duration = Duration::from_millis(1);

    fn clocks() -> Arc<Clocks> {
        Arc::new(Clocks::new(&Limits { time: TIME, wait: WAIT, ..Limits::default() }, STARVE))
    }

    async fn sleeps(time: Duration) {
        sleep_until(Instant::now() + time).await;
    }

    async fn waits(clocks: &Clocks, time: Duration) {
        clocks.waiting(sleeps(time)).await;
    }

    fn spent(running: Duration, waiting: Duration, starved: Duration) -> Spent {
        Spent { running, waiting, starved }
    }

    #[tokio::test(start_paused = true)]
    async fn running_and_waiting_are_counted_apart() {
        let clocks = clocks();
        let guest = async {
            sleeps(TIME / 2).await;
            waits(&clocks, WAIT / 2).await;
            sleeps(TIME / 4).await;
        };
        assert_eq!(clocks.bound(guest).await, Ok(()));
        assert_eq!(clocks.spent(), spent(TIME * 3 / 4, WAIT / 2, Duration::ZERO));
        assert_eq!(clocks.spent().whole(), TIME * 3 / 4 + WAIT / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn all_waits_of_a_call_together_are_limited_to_the_millisecond() {
        for (last, expected) in [(WAIT / 2, Ok(())), (WAIT / 2 + TICK, Err(Over::Limit(Exhausted::Wait(WAIT))))] {
            let clocks = clocks();
            let guest = async {
                waits(&clocks, WAIT / 2).await;
                waits(&clocks, last).await;
            };
            assert_eq!(clocks.bound(guest).await, expected, "{last:?}");
            assert_eq!(clocks.spent(), spent(Duration::ZERO, WAIT, Duration::ZERO), "{last:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn running_is_limited_to_the_millisecond_however_long_the_guest_waits() {
        for (last, expected) in [(TIME / 2, Ok(())), (TIME / 2 + TICK, Err(Over::Limit(Exhausted::Time(TIME))))] {
            let clocks = clocks();
            let guest = async {
                sleeps(TIME / 2).await;
                waits(&clocks, WAIT).await;
                sleeps(last).await;
            };
            assert_eq!(clocks.bound(guest).await, expected, "{last:?}");
            assert_eq!(clocks.spent(), spent(TIME, WAIT, Duration::ZERO), "{last:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_ends_elsewhere_while_the_guest_sleeps_on_is_counted_until_then() {
        for (sleep, expected) in [(TIME * 2 + TIME / 2, Ok(())), (TIME * 4, Err(Over::Limit(Exhausted::Time(TIME))))] {
            let clocks = clocks();
            let waits = clocks.begin_waiting();
            let elsewhere = async {
                sleeps(TIME * 2).await;
                drop(waits);
            };
            let (ended, ()) = tokio::join!(clocks.bound(sleeps(sleep)), elsewhere);
            let running = if expected.is_ok() { TIME / 2 } else { TIME };
            assert_eq!((ended, clocks.spent()), (expected, spent(running, TIME * 2, Duration::ZERO)), "{sleep:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_call_waits_for_a_slow_client_uses_up_no_limit() {
        let clocks = clocks();
        let guest = async {
            sleeps(TIME / 2).await;
            clocks.for_client(sleeps(WAIT * 100)).await;
            waits(&clocks, WAIT / 2).await;
        };
        assert_eq!(clocks.bound(guest).await, Ok(()));
        assert_eq!(clocks.spent(), spent(TIME / 2, WAIT / 2, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_only_yields_is_stopped() {
        let clocks = clocks();
        let guest = async {
            loop {
                advance(TICK).await;
            }
        };
        assert_eq!(clocks.bound::<()>(guest).await, Err(Over::Limit(Exhausted::Time(TIME))));
    }

    /// A guest that can always run, and has a turn of no length after each of these times without one.
    async fn starved(clocks: &Arc<Clocks>, turns: &[Duration]) -> Result<(), Over> {
        let mut left = turns.len();
        let guest = poll_fn(|context| {
            context.waker().wake_by_ref();
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            Poll::Pending
        });
        clocks.start();
        let mut bound = pin!(clocks.bound(guest));
        for time in turns {
            if let Poll::Ready(over) = poll_fn(|context| Poll::Ready(bound.as_mut().poll(context))).await {
                return over;
            }
            advance(*time).await;
        }
        bound.await
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_call_waits_for_its_turns_is_no_running_and_is_limited_to_the_millisecond() {
        for (last, expected) in [(STARVE / 2, Ok(())), (STARVE / 2 + TICK, Err(Over::Starved))] {
            let clocks = clocks();
            assert_eq!(starved(&clocks, &[STARVE / 2, last]).await, expected, "{last:?}");
            assert_eq!(clocks.spent(), spent(Duration::ZERO, Duration::ZERO, STARVE / 2 + last), "{last:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_ends_when_the_call_is_woken_and_not_when_it_has_its_turn() {
        let clocks = clocks();
        clocks.start();
        let mut bound = pin!(clocks.bound(sleeps(TIME / 2)));
        assert!(poll_fn(|context| Poll::Ready(bound.as_mut().poll(context))).await.is_pending());
        // The timer wakes it; nobody runs it for as long again.
        sleeps(TIME / 2).await;
        advance(TIME / 2).await;
        assert_eq!(bound.await, Ok(()));
        assert_eq!(clocks.spent(), spent(TIME / 2, Duration::ZERO, TIME / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_part_of_a_turn_that_other_programs_ran_is_starving_and_is_limited() {
        // The test's own processor time is a part of each turn, and small against all of these.
        for (turns, expected) in
            [(vec![STARVE], Ok(())), (vec![STARVE * 2], Err(Over::Starved)), (vec![STARVE * 2 / 3; 3], Err(Over::Starved))]
        {
            let clocks = clocks();
            clocks.measure();
            let guest = async {
                for lost in &turns {
                    advance(*lost).await;
                }
            };
            clocks.start();
            assert_eq!(clocks.bound(guest).await, expected, "{turns:?}");
            let ended = turns
                .iter()
                .scan(Duration::ZERO, |sum, lost| {
                    *sum += *lost;
                    Some(*sum)
                })
                .find(|sum| *sum > STARVE)
                .unwrap_or(STARVE);
            let Spent { running, starved, waiting } = clocks.spent();
            assert!(starved <= ended && starved + running >= ended && waiting.is_zero() && running < TIME, "{:?}", clocks.spent());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_was_given_up_for_its_length_is_told_from_a_short_one_and_from_a_wait() {
        let lasts = async |time: Duration| {
            let mut advanced = pin!(advance(time));
            let _ = poll_fn(|context| Poll::Ready(advanced.as_mut().poll(context))).await;
        };
        for (time, gives_up, expected) in
            [(TURN_MIN, true, true), (TURN_MIN - Duration::from_micros(1), true, false), (TURN_MIN, false, false)]
        {
            let clocks = clocks();
            clocks.start();
            let guest = async {
                lasts(time).await;
                if gives_up { super::super::store::next_turn().await } else { std::future::pending().await }
            };
            let mut bound = pin!(clocks.bound(guest));
            assert!(poll_fn(|context| Poll::Ready(bound.as_mut().poll(context))).await.is_pending());
            assert_eq!(clocks.gave_up_a_long_turn(), expected, "{time:?} {gives_up}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_on_a_thread_of_others_is_charged_no_more_than_it_can_have_taken() {
        let clocks = clocks();
        let guest = async {
            // As if the thread were interrupted for that long.
            advance(TIME * 2).await;
        };
        assert_eq!(clocks.bound(guest).await, Ok(()));
        assert_eq!(clocks.spent().running, SHARED_TURN_CHARGE);
    }
}
