//! The tasks of HTTP/2 streams. A client can read from the socket and yet take nothing of one stream, so each is watched for itself and cut
//! alone: behind a proxy the streams of a connection are of different people.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::Instant;

use super::activity::ActiveRequest;
use super::handler::Handler;
use super::offer::Offer;

tokio::task_local! {
    /// What is offered on the stream that this task is for; on HTTP/1.1 there is none, and the socket tells.
    static OFFER: Arc<Offer>;
}

/// Runs each stream as a task that ends with its connection, or when its client takes nothing for `write_time`.
pub(super) struct Streams<H> {
    handler: Arc<H>,
    write_time: Duration,
}

impl<H> Streams<H> {
    pub(super) fn new(handler: Arc<H>, write_time: Duration) -> Self {
        Self { handler, write_time }
    }
}

impl<H> Clone for Streams<H> {
    fn clone(&self) -> Self {
        Self { handler: Arc::clone(&self.handler), write_time: self.write_time }
    }
}

impl<H: Handler, F: Future + Send + 'static> Executor<F> for Streams<H> {
    fn execute(&self, stream: F) {
        let Self { handler, write_time } = self.clone();
        tokio::spawn(async move {
            let offer = Arc::new(Offer::default());
            let stream = OFFER.scope(Arc::clone(&offer), stream);
            tokio::select! {
                biased;
                _ = stream => {}
                // To drop a stream that has not ended resets it.
                () = offer.unread(write_time) => {
                    handler.connection_cut("unread");
                    tracing::debug!("a stream was cut: its client does not read its answer");
                }
            }
        });
    }
}

/// An answer's body, which keeps its connection marked as busy until it is dropped, and notes when its client takes nothing of it.
pub(super) struct ActiveBody<B> {
    body: B,
    offer: Option<Arc<Offer>>,
    _active: ActiveRequest,
}

impl<B> ActiveBody<B> {
    pub(super) fn new(body: B, active: ActiveRequest) -> Self {
        Self { body, offer: OFFER.try_with(Arc::clone).ok(), _active: active }
    }
}

impl<B: Body + Unpin> Body for ActiveBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(offer) = &self.offer {
            // hyper asks for a piece only when the client has taken the one before it.
            offer.taken();
            if frame.is_ready() {
                offer.waits(Instant::now());
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
