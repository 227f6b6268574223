//! The tasks of HTTP/2 streams. A client can read from the socket and yet take nothing of one stream, so each is watched for itself and cut
//! alone: behind a proxy the streams of a connection are of different people.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::Instant;

use super::activity::{ActiveRequest, STUCK_TIME};
use super::handler::Handler;
use super::offer::Offer;
use crate::http::limits::Limits;

tokio::task_local! {
    /// What is offered on the stream that this task is for; on HTTP/1.1 there is none, and the socket tells.
    static OFFER: Arc<Offer>;
}

/// Runs each stream as a task that ends with its connection, or when its client takes nothing for `write_time`, or all in all too little.
pub(super) struct Streams<H> {
    handler: Arc<H>,
    write_time: Duration,
    /// From a stream's head to when it is stuck, though its client may take a little now and then.
    stuck_time: Duration,
}

impl<H> Streams<H> {
    pub(super) fn new(handler: Arc<H>, limits: &Limits) -> Self {
        Self { handler, write_time: limits.write_time, stuck_time: limits.request_time + STUCK_TIME }
    }
}

impl<H> Clone for Streams<H> {
    fn clone(&self) -> Self {
        Self { handler: Arc::clone(&self.handler), ..*self }
    }
}

impl<H: Handler, F: Future + Send + 'static> Executor<F> for Streams<H> {
    fn execute(&self, stream: F) {
        let Self { handler, write_time, stuck_time } = self.clone();
        let end = Instant::now() + stuck_time;
        tokio::spawn(async move {
            let offer = Arc::new(Offer::default());
            let stream = OFFER.scope(Arc::clone(&offer), stream);
            tokio::select! {
                biased;
                _ = stream => {}
                // To drop a stream that has not ended resets it.
                () = offer.unread(write_time, end) => {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::body::Incoming;
    use hyper::{Request, Response};
    use tokio::sync::oneshot;

    use super::*;
    use crate::http::listen::Peer;

    struct Nobody;

    impl Handler for Nobody {
        type Body = Empty<Bytes>;

        async fn answer(self: Arc<Self>, _: Request<Incoming>, _: Instant, _: Peer) -> Response<Empty<Bytes>> {
            Response::default()
        }

        fn connections_changed(&self, _: i64) {}

        fn connection_cut(&self, _: &'static str) {}

        fn drain_begins(&self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_which_a_little_is_taken_now_and_then_is_cut_when_it_is_long_over() {
        let second = Duration::from_secs(1);
        let limits = Limits { write_time: 2 * second, request_time: 20 * second, ..Limits::default() };
        let (began, (alive, cut)) = (Instant::now(), oneshot::channel::<Infallible>());
        Streams::new(Arc::new(Nobody), &limits).execute(async move {
            let (_alive, mut clock) = (alive, tokio::time::interval(second));
            loop {
                clock.tick().await;
                OFFER.with(|offer| {
                    offer.taken();
                    offer.waits(Instant::now());
                });
            }
        });
        cut.await.expect_err("nothing is sent");
        assert_eq!(began.elapsed(), limits.request_time + STUCK_TIME);
    }
}
