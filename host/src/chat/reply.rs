//! The answer to an exchange: whole, or as a stream of frames. Neither is parsed unless somebody reads it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

use super::{ChunkWriter, Completion, Delta, Frames, Name, StreamError};

/// An answer on its way to the client.
pub enum Reply {
    Whole(Whole),
    Stream(ReplyStream),
}

/// Frames as they come.
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<Frames, StreamError>> + Send>>;

/// The frames of a reply as they come. The last item has `end` set, or is an error, which the client gets as an error event without a
/// `[DONE]`. After the last item the stream still finishes what is behind it, so it is polled until it gives none.
pub struct ReplyStream {
    frames: FrameStream,
    name: Name,
    include_usage: bool,
}

impl ReplyStream {
    /// `name`: what the reply is called if no frame says it. `include_usage`: the client asked for usage.
    pub fn new(frames: impl Stream<Item = Result<Frames, StreamError>> + Send + 'static, name: Name, include_usage: bool) -> Self {
        Self { frames: Box::pin(frames), name, include_usage }
    }

    /// The model's name if no frame says it.
    pub fn model(&self) -> &str {
        &self.name.model
    }

    /// Its names if no frame says them.
    pub fn head(&self) -> Delta {
        let Name { id, model, created } = self.name.clone();
        Delta::Head { id: Some(id), model: Some(model), created: Some(created) }
    }

    /// The encoder of this reply's frames for a chat client.
    pub fn chunk_writer(&self) -> ChunkWriter {
        ChunkWriter::new(self.name.clone(), self.include_usage)
    }

    /// The same reply with its frames passed through `stage`, which owns the stream from there on.
    #[must_use]
    pub fn through(self, stage: impl FnOnce(FrameStream) -> FrameStream) -> Self {
        Self { frames: stage(self.frames), ..self }
    }
}

impl Stream for ReplyStream {
    type Item = Result<Frames, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.frames.as_mut().poll_next(cx)
    }
}

/// An answer in one piece.
pub enum Whole {
    /// The provider's JSON, not parsed.
    Raw(Bytes),
    Parsed(Completion),
}
