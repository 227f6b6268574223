//! A connection's socket, which notes since when its client reads nothing of what was written. Only here can this be seen: whatever a protocol
//! holds back, what it does write must go through the socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::activity::Activity;
use super::listener::Transport;

/// What HTTP is spoken on: a socket, or TLS on one.
pub(super) type Stream = Either<Socket, Box<TlsStream<Socket>>>;

pub(super) struct Socket {
    stream: Transport,
    activity: Arc<Activity>,
}

impl Socket {
    pub(super) fn new(stream: Transport, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    /// Reads what has come without taking it, if the system can do that here.
    pub(super) async fn peek(&self, first: &mut [u8]) -> Option<io::Result<usize>> {
        match &self.stream {
            Either::Left(tcp) => Some(tcp.peek(first).await),
            Either::Right(_) => None,
        }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.activity.socket.waits(Instant::now()),
            Poll::Ready(_) => self.activity.socket.taken(),
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
