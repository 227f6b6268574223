//! A future or stream that is polled only when it was woken. hyper asks the body of an answer several times for each piece that it gives, and to
//! ask a stream of replies means to ask everything behind it: hooks, timers, the provider's connection.
//! Invariant: whoever said that it is not ready, and was woken since, is polled again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// What stands between a poller and what it polls.
pub(in crate::http) struct Woken {
    state: Arc<State>,
    /// The same, as what is polled gets it.
    waker: Waker,
}

struct State {
    /// It may be ready.
    woken: AtomicBool,
    poller: AtomicWaker,
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.poller.wake();
    }
}

impl Woken {
    pub(in crate::http) fn new() -> Self {
        let state = Arc::new(State { woken: AtomicBool::new(true), poller: AtomicWaker::new() });
        Self { waker: Waker::from(state.clone()), state }
    }

    /// Polls by `poll` if it may be ready.
    pub(in crate::http) fn poll<T>(&self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        // Before the look at `woken`, so that who sets it after that finds the waker.
        self.state.poller.register(cx.waker());
        if !self.state.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let found = poll(&mut Context::from_waker(&self.waker));
        if found.is_ready() {
            self.state.woken.store(true, Ordering::Release);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls as many times as there are outcomes to expect; gives how often what is behind was asked.
    fn asked(woken: &Woken, by: &Waker, answer: Poll<()>, times: usize) -> (usize, Option<Waker>) {
        let (mut asked, mut inner) = (0, None);
        for _ in 0..times {
            let found = woken.poll(&mut Context::from_waker(by), |cx| {
                asked += 1;
                inner = Some(cx.waker().clone());
                answer
            });
            assert!(asked == 0 || found == answer || found.is_pending());
        }
        (asked, inner)
    }

    #[test]
    fn what_is_pending_is_asked_again_only_when_it_was_woken_and_what_is_ready_always() {
        let (woken, counts) = (Woken::new(), Arc::new(Wakes::default()));
        let by = Waker::from(counts.clone());
        assert_eq!(asked(&woken, &by, Poll::Ready(()), 3).0, 3);
        let (times, inner) = asked(&woken, &by, Poll::Pending, 3);
        assert_eq!(times, 1);
        let inner = inner.expect("it was asked");
        for round in 1..=2 {
            inner.wake_by_ref();
            assert_eq!(counts.0.load(Ordering::Relaxed), round);
            assert_eq!(asked(&woken, &by, Poll::Pending, 2).0, 1);
        }
    }

    #[test]
    fn whoever_polled_last_is_woken_even_if_what_is_behind_was_not_asked_by_it() {
        let (woken, counts) = (Woken::new(), [Arc::new(Wakes::default()), Arc::new(Wakes::default())]);
        let [first, second] = counts.each_ref().map(|counts| Waker::from(counts.clone()));
        let (_, inner) = asked(&woken, &first, Poll::Pending, 1);
        assert_eq!(asked(&woken, &second, Poll::Pending, 1).0, 0);
        inner.expect("it was asked").wake();
        assert_eq!(counts.map(|counts| counts.0.load(Ordering::Relaxed)), [0, 1]);
        assert_eq!(asked(&woken, &second, Poll::Ready(()), 1).0, 1);
    }

    #[test]
    fn what_is_woken_while_it_is_asked_is_asked_again() {
        let (woken, counts) = (Woken::new(), Arc::new(Wakes::default()));
        let by = Waker::from(counts.clone());
        let mut polls = 0;
        for _ in 0..2 {
            let _ = woken.poll(&mut Context::from_waker(&by), |cx| {
                polls += 1;
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
        }
        assert_eq!((polls, counts.0.load(Ordering::Relaxed)), (2, 2));
    }
}
