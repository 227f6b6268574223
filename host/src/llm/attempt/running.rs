//! The tries of one exchange that run at one time: one, and a second one beside it if it is slow.
//! Each is polled whenever one of them is woken, which for two is less than to find out which one it was.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Futures of one kind, of which each is dropped as soon as it is over.
pub(super) struct Running<F>(Vec<Pin<Box<F>>>);

impl<F> Default for Running<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: Future> Running<F> {
    pub(super) fn push(&mut self, one: F) {
        self.0.push(Box::pin(one));
    }

    pub(super) fn extend(&mut self, more: Option<F>) {
        more.into_iter().for_each(|one| self.push(one));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the first one comes to that is over; none if there is none.
    pub(super) async fn next(&mut self) -> Option<F::Output> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        for at in 0..self.0.len() {
            if let Poll::Ready(output) = self.0[at].as_mut().poll(context) {
                self.0.swap_remove(at);
                return Poll::Ready(Some(output));
            }
        }
        if self.0.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_one_that_is_over_first_comes_first_and_then_there_is_none() {
        let mut running = Running::default();
        assert!(running.is_empty() && running.next().await.is_none());
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel()).unzip();
        receivers.into_iter().for_each(|receiver| running.push(receiver));
        assert!(running.next().now_or_never().is_none() && running.len() == 2);
        for (at, sender) in senders.into_iter().enumerate().rev() {
            sender.send(at).expect("it is waited for");
            assert_eq!(running.next().await, Some(Ok(at)));
        }
        assert!(running.is_empty() && running.next().await.is_none());
    }
}
