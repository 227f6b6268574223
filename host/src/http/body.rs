//! An answer's bytes on their way to the connection. The body holds the request's log entry, so that its line is written when the answer
//! ends, and a stream itself, so that a client that leaves drops the work behind it, the stream before the log entry.
//! Invariant: over HTTP/2 the last byte goes alone, so that an answer that its client does not take is never over.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use hyper::Version;
use hyper::body::{Frame, SizeHint};

use super::listen::Woken;
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
    /// Of a stream: whether it ends with that event.
    ends: bool,
    /// Whether the last byte is given for itself. On a stream of HTTP/2, hyper takes a piece out of our hands once the client has a window of one
    /// byte, but the next piece only when the window covers all before it. So the last byte waits here until the client could have the others.
    last_alone: bool,
    /// Of a stream: asks it only when it may have something.
    woken: Option<Woken>,
    record: Option<RequestLog>,
}

impl Body {
    /// `record` has the status already. `version` is that of the request.
    pub(super) fn new(content: Content, mut record: RequestLog, version: Version) -> Self {
        let over = match &content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Over => true,
            Content::Stream(_) => false,
        };
        if over {
            record.ended("done");
        }
        Self { record: (!over).then_some(record), ..Self::of(content, version) }
    }

    fn of(content: Content, version: Version) -> Self {
        // On HTTP/1.1 the socket tells what the client takes.
        Self { content, rest: Bytes::new(), ends: false, last_alone: version == Version::HTTP_2, woken: None, record: None }
    }

    fn next_slice(&mut self) -> Option<Bytes> {
        let Content::Whole(bytes) = &mut self.content else { return None };
        let piece = next_piece(bytes, self.last_alone);
        if bytes.is_empty() {
            // Before the client can have the last byte, so that whoever has it finds the request in the log.
            self.content = Content::Over;
            if let Some(mut record) = self.record.take() {
                record.gives_bytes();
                record.ended("done");
            }
        } else if let Some(record) = &mut self.record {
            record.gives_bytes();
        }
        Some(piece).filter(|piece| !piece.is_empty())
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(next_piece(&mut self.rest, self.ends && self.last_alone)));
        }
        let Content::Stream(events) = &mut self.content else { return Poll::Ready(None) };
        let record = self.record.as_ref();
        let next = self.woken.get_or_insert_with(Woken::new).poll(cx, |cx| {
            let _inside = record.map(|record| record.span.enter());
            events.as_mut().poll_next(cx)
        });
        let item = std::task::ready!(next);
        let Some(Event { bytes, ended }) = item else {
            // The stream goes first: what it used is counted before the request is over.
            self.content = Content::Over;
            self.record = None;
            return Poll::Ready(None);
        };
        if let Some(record) = &mut self.record {
            record.gives_bytes();
            if let Some(outcome) = ended {
                // Clients hang up at the last event; they have all there is.
                record.ended(outcome);
            }
        }
        self.rest = bytes;
        self.ends = ended.is_some();
        Poll::Ready(Some(next_piece(&mut self.rest, self.ends && self.last_alone)))
    }
}

/// Takes the next piece off bytes. `last_alone` keeps the last of them for a piece of its own.
fn next_piece(bytes: &mut Bytes, last_alone: bool) -> Bytes {
    let whole = bytes.len() - usize::from(last_alone && bytes.len() > 1);
    bytes.split_to(whole.min(SLICE_BYTES))
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
        let bytes = Body::of(content, Version::HTTP_11).collect().await.expect("infallible").to_bytes();
        String::from_utf8(bytes.into()).expect("UTF-8")
    }

    #[tokio::test]
    async fn events_of_our_own_pass_and_nothing_is_added() {
        let event = |bytes: &'static str, ended| Event { bytes: Bytes::from_static(bytes.as_bytes()), ended };
        let events = stream::iter([event("event: a\ndata: {}\n\n", None), event("event: b\ndata: {}\n\n", Some("upstream_cut"))]);
        assert_eq!(sent(Content::Stream(Box::pin(events))).await, "event: a\ndata: {}\n\nevent: b\ndata: {}\n\n");
    }

    /// The sizes of the pieces of an answer of so many bytes, which are the same for a whole one and for a stream's last event.
    async fn pieces(length: usize, version: Version) -> Vec<usize> {
        let bytes = Bytes::from(vec![b'x'; length]);
        let event = Event { bytes: bytes.clone(), ended: Some("done") };
        let mut both = Vec::new();
        for content in [Content::Whole(bytes), Content::Stream(Box::pin(stream::iter([event])))] {
            let mut body = Body::of(content, version);
            let mut sizes = Vec::new();
            while let Some(frame) = body.frame().await {
                sizes.push(frame.expect("infallible").into_data().expect("data").len());
            }
            both.push(sizes);
        }
        assert_eq!(both[0], both[1]);
        both.swap_remove(0)
    }

    #[tokio::test]
    async fn what_is_large_is_given_in_slices() {
        assert_eq!(pieces(2 * SLICE_BYTES + 1, Version::HTTP_11).await, [SLICE_BYTES, SLICE_BYTES, 1]);
        assert_eq!(pieces(SLICE_BYTES, Version::HTTP_11).await, [SLICE_BYTES]);
    }

    #[tokio::test]
    async fn over_http2_the_last_byte_of_an_answer_is_given_alone() {
        let sizes = [
            (1, vec![1]),
            (2, vec![1, 1]),
            (SLICE_BYTES, vec![SLICE_BYTES - 1, 1]),
            (SLICE_BYTES + 1, vec![SLICE_BYTES, 1]),
            (SLICE_BYTES + 2, vec![SLICE_BYTES, 1, 1]),
        ];
        for (length, expected) in sizes {
            assert_eq!(pieces(length, Version::HTTP_2).await, expected);
        }
    }

    #[tokio::test]
    async fn events_before_the_last_are_given_at_once() {
        let event = |bytes: &'static str, ended| Event { bytes: Bytes::from_static(bytes.as_bytes()), ended };
        let events = stream::iter([event("one", None), event("two", Some("done"))]);
        let mut body = Body::of(Content::Stream(Box::pin(events)), Version::HTTP_2);
        for piece in ["one", "tw", "o"] {
            let frame = body.frame().await.expect("a frame").expect("infallible").into_data().expect("data");
            assert_eq!(frame, piece);
        }
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_whole_answer_tells_its_length_and_its_end() {
        use hyper::body::Body as _;
        let mut body = Body::of(Content::Whole(Bytes::from_static(b"{}")), Version::HTTP_11);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
        let frame = body.frame().await.expect("a frame").expect("infallible").into_data();
        assert_eq!(frame.ok(), Some(Bytes::from_static(b"{}")));
        assert!(body.is_end_stream());
    }
}
