//! One request and its reply over a connection, HTTP/1.1. What the server sends is bounded before it is kept. A connection's bytes move only
//! while somebody has something to do with it, so that dropping the future that does closes it, and one that is kept costs nothing meanwhile.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connect::Stream;
use super::error::Error;
use super::replies::{Held, Receiving};

/// Bytes of a reply's head, and its lines.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEAD_LINES_MAX: usize = 100;

/// Counts bytes of a body before they are kept.
pub(super) type Carry<'a> = &'a (dyn Fn(usize) -> Result<(), Error> + Sync);

/// A reply as it came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) held: Held,
}

/// Why there is no reply.
pub(super) enum Failed {
    /// The connection broke before anything of a reply came.
    Unanswered(Error),
    Other(Error),
}

/// What moves the bytes of one connection.
type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>;

/// A connection over which requests go one after the other.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// None once it is over.
    bytes: Option<Driver>,
}

impl Connection {
    /// # Errors
    /// `Unreachable`.
    pub(super) async fn over(stream: Box<dyn Stream>) -> Result<Self, Error> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEAD_LINES_MAX);
        let (sender, bytes) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        Ok(Self { sender, bytes: Some(bytes) })
    }

    /// Whether another request can go over it, as far as this machine knows by now. A server that hung up, or spoke without being asked, is
    /// noticed here.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|context| {
            self.advance(context);
            Poll::Ready(())
        })
        .await;
        self.bytes.is_some() && self.sender.is_ready()
    }

    /// # Errors
    /// `Unreachable`, `Exhausted` for a body of more than `bytes_max`, and what `carry` says of the bytes of the body and `receiving` of all that is
    /// held, as they come.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
        carry: Carry<'_>,
        mut receiving: Receiving,
    ) -> Result<Answer, Failed> {
        let sent = self.sender.send_request(request);
        let (head, body) = self.beside(sent).await.map_err(|error| failed(&error))?.into_parts();
        if head.status.is_informational() {
            return Err(Failed::Other(Error::Unreachable("the server wants to speak another protocol".into())));
        }
        let head_bytes = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        receiving.more(head_bytes).map_err(Failed::Other)?;
        let body = self.beside(collect(body, bytes_max, carry, &mut receiving)).await.map_err(Failed::Other)?;
        Ok(Answer { status: head.status, headers: head.headers, body, held: receiving.whole() })
    }

    /// Moves the connection's bytes while that goes on.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            self.advance(context);
            work.as_mut().poll(context)
        })
        .await
    }

    /// How the connection ended is for whoever waits for something of it to say.
    fn advance(&mut self, context: &mut Context<'_>) {
        if let Some(bytes) = &mut self.bytes
            && Pin::new(bytes).poll(context).is_ready()
        {
            self.bytes = None;
        }
    }
}

fn broken(error: &hyper::Error) -> Error {
    Error::Unreachable(format!("the connection broke: {error}"))
}

fn failed(error: &hyper::Error) -> Failed {
    // What makes no sense is an answer all the same.
    if error.is_parse() { Failed::Other(broken(error)) } else { Failed::Unanswered(broken(error)) }
}

async fn collect(mut body: Incoming, bytes_max: usize, carry: Carry<'_>, receiving: &mut Receiving) -> Result<Vec<u8>, Error> {
    let too_large =
        || Error::Exhausted(format!("the reply has more than {bytes_max} bytes, and `grants.http.response_bytes` allows no more"));
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Unreachable(format!("the reply broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > bytes_max - bytes.len() {
            return Err(too_large());
        }
        carry(data.len())?;
        receiving.more(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
