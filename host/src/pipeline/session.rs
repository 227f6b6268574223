//! A session: an exchange with everything that serves it, alive to the last byte of its reply. Stages that act on a stream, or after it, see the
//! versions of plugins and of the pipeline that the request began with.
//!
//! A reply ends in this order: the use of tokens is reported to the ledger, before the last frame leaves its provider's stream; then the
//! session ends with the stream; then the request's log line is written, and its account is told (`chat/account.rs`). A client that leaves drops
//! the stream, with the same order.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;

use super::Pipeline;
use crate::chat::{Exchange, FrameStream, Frames, ReplyStream, StreamError};
use crate::sandbox::Plugins;

/// One exchange on its way, and what it began with.
pub struct Session {
    pub exchange: Exchange,
    pub plugins: Arc<Plugins>,
    pub pipeline: Arc<Pipeline>,
}

/// A reply's frames with the session that they belong to.
struct Held {
    /// Dropped first: the provider's stream reports what was used.
    frames: FrameStream,
    session: Session,
}

impl Session {
    /// `reply`, with this session alive until its stream is dropped.
    pub(super) fn hold(self, reply: ReplyStream) -> ReplyStream {
        reply.through(|frames| Box::pin(Held { frames, session: self }))
    }
}

impl Stream for Held {
    type Item = Result<Frames, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.frames.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(frames))) = &next {
            self.session.exchange.account.frames(frames);
        }
        next
    }
}
