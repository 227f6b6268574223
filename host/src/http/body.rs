//! An answer's bytes on their way to the connection. Holds the request's record, so that a stream's line is written when the stream ends,
//! and the stream itself, so that a client that leaves drops the work behind it. Must not know how the bytes were made.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Frame, SizeHint};

use super::request_log::RequestLog;
use super::sse;
use crate::chat::reply::Pieces;

/// What an endpoint answers with.
pub(super) enum Content {
    Whole(Bytes),
    /// Events of a provider, framed already, `[DONE]` included.
    PassThrough(Pieces),
    /// JSON texts, to be framed and followed by `[DONE]`.
    Chunks(Pieces),
    /// Events of our own, framed already, whose last one says how it ended.
    Events(Events),
    /// Nothing more.
    Over,
}

/// A stream that frames its events and tells its own breaks.
pub(super) type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// Bytes that end at an event's end.
pub(super) struct Event {
    pub(super) bytes: Bytes,
    /// On the event that ends the stream: `done`, or a break's code.
    pub(super) ended: Option<&'static str>,
}

/// Bytes of a whole answer that hyper gets at once.
const SLICE_BYTES: usize = 64 << 10;

/// The body as hyper takes it.
pub(super) struct Body {
    content: Content,
    /// Of a stream; that of a whole answer is written when it is handed over.
    record: Option<RequestLog>,
}

impl Body {
    /// `record` is already told the status.
    pub(super) fn new(content: Content, mut record: RequestLog) -> Self {
        let streams = matches!(content, Content::PassThrough(_) | Content::Chunks(_) | Content::Events(_));
        if !streams {
            record.ended("done");
        }
        Self { content, record: streams.then_some(record) }
    }

    /// Ends the stream under that outcome, which writes the record.
    fn end(&mut self, outcome: &'static str) {
        self.content = Content::Over;
        if let Some(mut record) = self.record.take() {
            record.ended(outcome);
        }
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let (pieces, framed) = match &mut self.content {
            Content::PassThrough(pieces) => (pieces, true),
            Content::Chunks(pieces) => (pieces, false),
            Content::Events(_) => return self.poll_events(cx),
            Content::Whole(_) | Content::Over => return Poll::Ready(None),
        };
        let item = {
            let _inside = self.record.as_ref().map(|record| record.span.enter());
            std::task::ready!(pieces.as_mut().poll_next(cx))
        };
        Poll::Ready(match item {
            Some(Ok(piece)) if framed => {
                if let Some(record) = self.record.as_mut().filter(|_| sse::ends(&piece)) {
                    // Clients hang up at the mark; they have all there is.
                    record.ended("done");
                }
                Some(piece)
            }
            Some(Ok(json)) => Some(sse::event(&json)),
            Some(Err(broken)) => {
                self.end(broken.code);
                Some(sse::error(&broken))
            }
            None => {
                self.end("done");
                (!framed).then_some(sse::DONE)
            }
        })
    }

    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Content::Events(events) = &mut self.content else { return Poll::Ready(None) };
        let item = {
            let _inside = self.record.as_ref().map(|record| record.span.enter());
            std::task::ready!(events.as_mut().poll_next(cx))
        };
        let Some(Event { bytes, ended }) = item else {
            self.content = Content::Over;
            self.record = None;
            return Poll::Ready(None);
        };
        if let (Some(record), Some(outcome)) = (&mut self.record, ended) {
            // Clients hang up at the last event; they have all there is.
            record.ended(outcome);
        }
        Poll::Ready(Some(bytes))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Content::Whole(bytes) = &mut self.content {
            // In slices: hyper asks for the next when the last is nearly sent, so that this body, and with it the request's place
            // and record, lasts until a slow client has its answer.
            let piece = bytes.split_to(bytes.len().min(SLICE_BYTES));
            if bytes.is_empty() {
                self.content = Content::Over;
            }
            return Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))));
        }
        self.poll_stream(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Over => true,
            Content::PassThrough(_) | Content::Chunks(_) | Content::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Over => SizeHint::with_exact(0),
            Content::PassThrough(_) | Content::Chunks(_) | Content::Events(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;
    use crate::chat::StreamError;

    fn pieces(items: Vec<Result<&'static str, StreamError>>) -> Pieces {
        Box::pin(stream::iter(items.into_iter().map(|item| item.map(Bytes::from))))
    }

    async fn sent(content: Content) -> String {
        let bytes = Body { content, record: None }.collect().await.expect("infallible").to_bytes();
        String::from_utf8(bytes.into()).expect("UTF-8")
    }

    #[tokio::test]
    async fn chunks_are_framed_and_end_in_done() {
        let content = Content::Chunks(pieces(vec![Ok("{\"a\":1}"), Ok("{}")]));
        assert_eq!(sent(content).await, "data: {\"a\":1}\n\ndata: {}\n\ndata: [DONE]\n\n");
    }

    #[tokio::test]
    async fn a_provider_s_own_events_pass_untouched() {
        let content = Content::PassThrough(pieces(vec![Ok("data:{}\r\n\r\n: ping\n\n"), Ok("data: [DONE]\n\n")]));
        assert_eq!(sent(content).await, "data:{}\r\n\r\n: ping\n\ndata: [DONE]\n\n");
    }

    #[tokio::test]
    async fn after_a_break_comes_an_error_event_and_nothing_more() {
        for wrap in [Content::Chunks as fn(Pieces) -> Content, Content::PassThrough] {
            let broken = StreamError { message: "cut".into(), code: "upstream_cut" };
            let text = sent(wrap(pieces(vec![Err(broken), Ok("data: [DONE]\n\n")]))).await;
            assert!(text.starts_with("data: {\"error\":{") && text.ends_with("}}\n\n"), "{text}");
            assert!(!text.contains("[DONE]"), "{text}");
        }
    }

    #[tokio::test]
    async fn events_of_our_own_pass_and_nothing_is_added() {
        let event = |bytes: &'static str, ended| Event { bytes: Bytes::from_static(bytes.as_bytes()), ended };
        let events = stream::iter([event("event: a\ndata: {}\n\n", None), event("event: b\ndata: {}\n\n", Some("upstream_cut"))]);
        assert_eq!(sent(Content::Events(Box::pin(events))).await, "event: a\ndata: {}\n\nevent: b\ndata: {}\n\n");
    }

    #[tokio::test]
    async fn a_whole_answer_tells_its_length_and_its_end() {
        use hyper::body::Body as _;
        let mut body = Body { content: Content::Whole(Bytes::from_static(b"{}")), record: None };
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
        let frame = body.frame().await.expect("a frame").expect("infallible").into_data();
        assert_eq!(frame.ok(), Some(Bytes::from_static(b"{}")));
        assert!(body.is_end_stream());
    }
}
