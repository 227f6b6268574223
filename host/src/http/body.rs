//! An answer's bytes on their way to the connection. The body holds the request's log entry, so that its line is written when the answer
//! ends, and a stream itself, so that a client that leaves drops the work behind it, the stream before the log entry.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Frame, SizeHint};

use super::request_log::RequestLog;

/// What an endpoint answers with.
pub(super) enum Content {
    Whole(Bytes),
    /// Server-sent events, of which one says how the stream ended.
    Stream(Events),
    /// Nothing more.
    Over,
}

/// A stream of an endpoint's events, errors included.
pub(super) type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// Bytes of one event or more.
pub(super) struct Event {
    pub(super) bytes: Bytes,
    /// With the event that ends the stream: `done`, or the error's code.
    pub(super) ended: Option<&'static str>,
}

/// Bytes that hyper gets at once. It asks for the next ones when the last are nearly sent, so that a body lasts until a slow client has its
/// answer, and the connection holds few bytes of it twice.
const SLICE_BYTES: usize = 64 << 10;

/// The body as hyper takes it.
pub(super) struct Body {
    content: Content,
    /// Of a stream: what hyper was not yet given of its last event.
    rest: Bytes,
    record: Option<RequestLog>,
}

impl Body {
    /// `record` has the status already.
    pub(super) fn new(content: Content, mut record: RequestLog) -> Self {
        let over = match &content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Over => true,
            Content::Stream(_) => false,
        };
        if over {
            record.ended("done");
        }
        Self { content, rest: Bytes::new(), record: (!over).then_some(record) }
    }

    fn next_slice(&mut self) -> Option<Bytes> {
        let Content::Whole(bytes) = &mut self.content else { return None };
        let piece = bytes.split_to(bytes.len().min(SLICE_BYTES));
        if bytes.is_empty() {
            // Before the client can have the last byte, so that whoever has it finds the request in the log.
            self.content = Content::Over;
            if let Some(mut record) = self.record.take() {
                record.ended("done");
            }
        }
        Some(piece).filter(|piece| !piece.is_empty())
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(self.rest.split_to(self.rest.len().min(SLICE_BYTES))));
        }
        let Content::Stream(events) = &mut self.content else { return Poll::Ready(None) };
        let item = {
            let _inside = self.record.as_ref().map(|record| record.span.enter());
            std::task::ready!(events.as_mut().poll_next(cx))
        };
        let Some(Event { mut bytes, ended }) = item else {
            // The stream goes first: what it used is counted before the request is over.
            self.content = Content::Over;
            self.record = None;
            return Poll::Ready(None);
        };
        if let (Some(record), Some(outcome)) = (&mut self.record, ended) {
            // Clients hang up at the last event; they have all there is.
            record.ended(outcome);
        }
        self.rest = bytes.split_off(bytes.len().min(SLICE_BYTES));
        Poll::Ready(Some(bytes))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Content::Whole(_) = &self.content {
            return Poll::Ready(self.next_slice().map(|piece| Ok(Frame::data(piece))));
        }
        self.poll_stream(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Over => true,
            Content::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Over => SizeHint::with_exact(0),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    async fn sent(content: Content) -> String {
        let bytes = Body { content, rest: Bytes::new(), record: None }.collect().await.expect("infallible").to_bytes();
        String::from_utf8(bytes.into()).expect("UTF-8")
    }

    #[tokio::test]
    async fn events_of_our_own_pass_and_nothing_is_added() {
        let event = |bytes: &'static str, ended| Event { bytes: Bytes::from_static(bytes.as_bytes()), ended };
        let events = stream::iter([event("event: a\ndata: {}\n\n", None), event("event: b\ndata: {}\n\n", Some("upstream_cut"))]);
        assert_eq!(sent(Content::Stream(Box::pin(events))).await, "event: a\ndata: {}\n\nevent: b\ndata: {}\n\n");
    }

    #[tokio::test]
    async fn what_is_large_is_given_in_slices() {
        let large = Bytes::from(vec![b'x'; 2 * SLICE_BYTES + 1]);
        let event = Event { bytes: large.clone(), ended: Some("done") };
        for content in [Content::Whole(large), Content::Stream(Box::pin(stream::iter([event])))] {
            let mut body = Body { content, rest: Bytes::new(), record: None };
            let mut sizes = Vec::new();
            while let Some(frame) = body.frame().await {
                sizes.push(frame.expect("infallible").into_data().expect("data").len());
            }
            assert_eq!(sizes, [SLICE_BYTES, SLICE_BYTES, 1]);
        }
    }

    #[tokio::test]
    async fn a_whole_answer_tells_its_length_and_its_end() {
        use hyper::body::Body as _;
        let mut body = Body { content: Content::Whole(Bytes::from_static(b"{}")), rest: Bytes::new(), record: None };
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
        let frame = body.frame().await.expect("a frame").expect("infallible").into_data();
        assert_eq!(frame.ok(), Some(Bytes::from_static(b"{}")));
        assert!(body.is_end_stream());
    }
}
