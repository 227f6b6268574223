//! What the host does for a guest while the guest goes on, such as a request whose reply it will look for later. It runs in the turns of the call,
//! on the guest's thread and at its expense, and ends with the call.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

type Errand = BoxFuture<'static, ()>;

/// Those that a host function gave and that have not begun.
#[derive(Default)]
pub(super) struct Errands(Mutex<Vec<Errand>>);

impl Errands {
    /// Has it done beside the guest, which is inside a host function now.
    pub(super) fn add(&self, errand: Errand) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(errand);
    }

    /// Runs the guest, and beside it what it has done.
    pub(super) async fn beside<T>(&self, guest: impl Future<Output = T>) -> T {
        let mut guest = pin!(guest);
        // Made for a guest that has something done, as most never do.
        let mut running: Option<FuturesUnordered<Errand>> = None;
        poll_fn(|context| {
            let polled = guest.as_mut().poll(context);
            // Taken in the same turn, also from a guest that is done: they hold the call, which would hold them.
            let begun = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            if polled.is_ready() {
                return polled;
            }
            if !begun.is_empty() {
                running.get_or_insert_default().extend(begun);
            }
            if let Some(running) = &mut running {
                while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {}
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn errands_run_beside_the_guest_and_what_has_begun_or_not_is_gone_when_it_ends() {
        let errands = Arc::new(Errands::default());
        let (tell, told) = tokio::sync::oneshot::channel();
        let held = Arc::new(());
        let (one, two) = (held.clone(), held.clone());
        let guest = async {
            errands.add(Box::pin(async move { tell.send(5).expect("it is awaited") }));
            errands.add(Box::pin(async move {
                std::future::pending::<()>().await;
                drop(one);
            }));
            let answer = told.await;
            errands.add(Box::pin(async move { drop(two) }));
            answer
        };
        assert_eq!(errands.beside(guest).await, Ok(5));
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
