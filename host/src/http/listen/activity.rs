//! The clock of one connection: which requests run on it, since when it is idle, and when it is to be closed or cut.
//! Pure but for a lock: times are handed in, so that tests need no clock. A request that was let in is not cut before its own deadline is over,
//! unless its client does not read; one of several is cut by its stream's task, which leaves the others alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::offer::Offer;
use crate::http::limits::Limits;

/// How long the last event may take to reach the client after the exchange's deadline; after that the client does not read.
pub(super) const STUCK_TIME: Duration = Duration::from_secs(10);
/// How long a connection without a request may take to close once the server stops: one round trip of HTTP/2. By itself hyper would wait
/// for the rest of a head that has begun.
pub(super) const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// Why a connection is cut whose client does not read.
pub(super) const UNREAD: &str = "its client does not read its answer";

/// What a connection is doing.
pub(super) struct Activity {
    times: Mutex<Times>,
    /// What was written to its socket and is not read.
    pub(super) socket: Offer,
    gives_way: Notify,
}

struct Times {
    opened: Instant,
    /// The requests under way; one at most on HTTP/1.1.
    running: Vec<Running>,
    /// Names the next request.
    next: u64,
    /// When the last answer ended; none before the first.
    idle_since: Option<Instant>,
    /// Whether the connection was told to close.
    closing: bool,
    /// Whether it has to go because its room is needed.
    must_go: bool,
    /// When the server began to stop.
    stopping_since: Option<Instant>,
}

struct Running {
    request: u64,
    began: Instant,
    /// Whether the server works on it. Before that, it is only asked, or it was refused.
    let_in: bool,
}

/// What to do with a connection when its clock is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing; look again at that time.
    Keep(Instant),
    /// Tell it to close; look again at that time.
    Close(Instant),
    /// Drop it, for that reason.
    Cut(&'static str),
}

impl Activity {
    pub(super) fn new(opened: Instant) -> Self {
        let times = Times {
            opened,
            running: Vec::with_capacity(1),
            next: 0,
            idle_since: None,
            closing: false,
            must_go: false,
            stopping_since: None,
        };
        Self { times: Mutex::new(times), socket: Offer::default(), gives_way: Notify::new() }
    }

    /// By when the first request's head must be there.
    pub(super) fn first_head_due(&self, limits: &Limits) -> Instant {
        self.lock().opened + limits.header_time
    }

    fn lock(&self) -> MutexGuard<'_, Times> {
        // A panic cannot leave the times half changed: each change is one statement or two that cannot fail.
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn first_check(&self, limits: &Limits) -> Instant {
        self.lock().opened + limits.header_time.min(limits.idle_time).min(limits.write_time)
    }

    /// Notes a request; gives its name.
    pub(super) fn began(&self, at: Instant) -> u64 {
        let mut times = self.lock();
        let request = times.next;
        times.next += 1;
        times.running.push(Running { request, began: at, let_in: false });
        request
    }

    pub(super) fn let_in(&self, request: u64) {
        if let Some(running) = self.lock().running.iter_mut().find(|running| running.request == request) {
            running.let_in = true;
        }
    }

    pub(super) fn ended(&self, request: u64, now: Instant) {
        let mut times = self.lock();
        if let Some(at) = times.running.iter().position(|running| running.request == request) {
            times.running.swap_remove(at);
        }
        if times.running.is_empty() {
            times.idle_since = Some(now);
        }
    }

    /// Since when nobody works on a request of it; none if somebody does. A head that comes slowly is no request yet.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.lock().idle_since()
    }

    /// Whether a request runs on it.
    pub(super) fn is_busy(&self) -> bool {
        !self.lock().running.is_empty()
    }

    /// Makes the connection go if it has been idle since then and not worked meanwhile.
    pub(super) fn give_way(&self, idle_since: Instant) -> bool {
        let mut times = self.lock();
        times.must_go = times.idle_since() == Some(idle_since);
        if times.must_go {
            self.gives_way.notify_one();
        }
        times.must_go
    }

    /// Ready when the connection has to go because its room is needed.
    pub(super) async fn given_way(&self) {
        self.gives_way.notified().await;
    }

    #[cfg(test)]
    pub(super) fn must_go(&self) -> bool {
        self.lock().must_go
    }

    /// Notes that the server stops; gives the time to look next.
    pub(super) fn server_stops(&self, now: Instant) -> Instant {
        self.lock().stopping_since = Some(now);
        now + FAREWELL_TIME
    }

    /// What to do with the connection now.
    pub(super) fn next_action(&self, now: Instant, limits: &Limits) -> Action {
        let Some(unread) = self.socket.check(now, limits.write_time) else { return Action::Cut(UNREAD) };
        match self.lock().next_action(now, limits) {
            Action::Keep(next) => Action::Keep(next.min(unread)),
            Action::Close(next) => Action::Close(next.min(unread)),
            cut @ Action::Cut(_) => cut,
        }
    }
}

impl Times {
    fn idle_since(&self) -> Option<Instant> {
        if self.running.iter().any(|running| running.let_in) {
            return None;
        }
        let asked = self.running.iter().map(|running| running.began).min();
        Some(asked.or(self.idle_since).unwrap_or(self.opened))
    }

    fn next_action(&mut self, now: Instant, limits: &Limits) -> Action {
        let times = self;
        if let Some(oldest) = times.running.iter().map(|running| running.began).min() {
            let stuck = oldest + limits.request_time + STUCK_TIME;
            times.closing = false;
            let again = now + times.stopping_since.map_or(limits.idle_time, |_| FAREWELL_TIME);
            return match times.running.len() {
                1 if now >= stuck => Action::Cut(UNREAD),
                1 => Action::Keep(stuck.min(again)),
                // Those beside it are not to blame: `streams` resets the one that is stuck.
                _ => Action::Keep(again),
            };
        }
        if let Some(since) = times.stopping_since {
            let due = times.idle_since.map_or(since, |idle| idle.max(since)) + FAREWELL_TIME;
            return if now >= due { Action::Cut("the server stops and nothing runs on it") } else { Action::Keep(due) };
        }
        let Some(idle_since) = times.idle_since else {
            let due = times.opened + limits.header_time;
            return if now >= due { Action::Cut("no request came in time") } else { Action::Keep(due) };
        };
        let due = idle_since + limits.idle_time;
        if now < due {
            Action::Keep(due)
        } else if times.closing {
            Action::Cut("it did not close in time")
        } else {
            times.closing = true;
            Action::Close(now + limits.header_time)
        }
    }
}

/// Keeps the connection marked as busy with one request until it is dropped, which is when the answer's body is.
pub(super) struct ActiveRequest {
    activity: Arc<Activity>,
    pub(super) request: u64,
}

impl ActiveRequest {
    pub(super) fn begin(activity: Arc<Activity>, began: Instant) -> Self {
        let request = activity.began(began);
        Self { activity, request }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.activity.ended(self.request, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits { header_time: SECOND, idle_time: 5 * SECOND, request_time: 20 * SECOND, ..Limits::default() }
    }

    #[test]
    fn a_silent_connection_is_cut_at_the_header_time() {
        let start = Instant::now();
        let activity = Activity::new(start);
        assert_eq!(activity.first_check(&limits()), start + SECOND);
        assert_eq!(activity.next_action(start + SECOND / 2, &limits()), Action::Keep(start + SECOND));
        assert!(matches!(activity.next_action(start + SECOND, &limits()), Action::Cut(_)));
    }

    #[test]
    fn an_idle_connection_is_told_to_close_and_cut_if_it_does_not() {
        let start = Instant::now();
        let activity = Activity::new(start);
        let request = activity.began(start);
        activity.ended(request, start + SECOND);
        assert_eq!(activity.next_action(start + SECOND, &limits()), Action::Keep(start + 6 * SECOND));
        assert_eq!(activity.next_action(start + 6 * SECOND, &limits()), Action::Close(start + 7 * SECOND));
        assert!(matches!(activity.next_action(start + 7 * SECOND, &limits()), Action::Cut(_)));
    }

    #[test]
    fn a_connection_without_a_request_takes_its_leave_when_the_server_stops() {
        let start = Instant::now();
        let limits = Limits { header_time: 60 * SECOND, ..limits() };
        let silent = Activity::new(start);
        assert_eq!(silent.server_stops(start + SECOND), start + SECOND + FAREWELL_TIME);
        assert_eq!(silent.next_action(start + SECOND, &limits), Action::Keep(start + SECOND + FAREWELL_TIME));
        assert!(matches!(silent.next_action(start + SECOND + FAREWELL_TIME, &limits), Action::Cut(_)));
        let busy = Activity::new(start);
        let request = busy.began(start);
        busy.server_stops(start + SECOND);
        assert_eq!(busy.next_action(start + 9 * SECOND, &limits), Action::Keep(start + 9 * SECOND + FAREWELL_TIME));
        busy.ended(request, start + 10 * SECOND);
        assert_eq!(busy.next_action(start + 10 * SECOND, &limits), Action::Keep(start + 10 * SECOND + FAREWELL_TIME));
        assert!(matches!(busy.next_action(start + 10 * SECOND + FAREWELL_TIME, &limits), Action::Cut(_)));
    }

    #[test]
    fn a_busy_connection_lives_until_its_only_request_is_long_over() {
        let start = Instant::now();
        let activity = Activity::new(start);
        let request = activity.began(start);
        assert_eq!(activity.next_action(start + SECOND, &limits()), Action::Keep(start + 6 * SECOND));
        assert_eq!(activity.next_action(start + 29 * SECOND, &limits()), Action::Keep(start + 30 * SECOND));
        assert!(matches!(activity.next_action(start + 30 * SECOND, &limits()), Action::Cut(_)));
        // A younger one is not cut with it.
        let younger = activity.began(start + 25 * SECOND);
        assert_eq!(activity.next_action(start + 30 * SECOND, &limits()), Action::Keep(start + 35 * SECOND));
        activity.ended(request, start + 31 * SECOND);
        assert_eq!(activity.next_action(start + 54 * SECOND, &limits()), Action::Keep(start + 55 * SECOND));
        assert!(matches!(activity.next_action(start + 55 * SECOND, &limits()), Action::Cut(_)));
        activity.ended(younger, start + 55 * SECOND);
        assert_eq!(activity.next_action(start + 55 * SECOND, &limits()), Action::Keep(start + 60 * SECOND));
    }

    #[test]
    fn a_client_that_reads_nothing_is_cut_at_the_write_time_whatever_else_it_does() {
        let start = Instant::now();
        let limits = Limits { write_time: SECOND, ..limits() };
        let activity = Activity::new(start);
        let request = activity.began(start);
        assert_eq!(activity.next_action(start, &limits), Action::Keep(start + SECOND));
        activity.socket.waits(start + SECOND / 2);
        assert_eq!(activity.next_action(start + SECOND, &limits), Action::Keep(start + 3 * SECOND / 2));
        // That the answer has left our hands is no reason: the socket still has it.
        activity.ended(request, start + SECOND);
        assert_eq!(activity.next_action(start + 3 * SECOND / 2, &limits), Action::Cut(UNREAD));
        activity.socket.taken();
        assert!(matches!(activity.next_action(start + 3 * SECOND / 2, &limits), Action::Keep(_)));
    }
}
