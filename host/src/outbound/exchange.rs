//! One request and its reply over one connection, HTTP/1.1, which is closed after it. What the server sends is bounded before it is kept,
//! and dropping the future closes the connection.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::connect::Stream;
use super::error::Error;
use super::replies::{Held, Receiving};

/// Bytes of a reply's head, and its lines.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEAD_LINES_MAX: usize = 100;

/// Counts bytes of a body before they are kept.
type Carry<'a> = &'a (dyn Fn(usize) -> Result<(), Error> + Sync);

/// A reply as it came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) held: Held,
}

/// The task that moves a connection's bytes, ended with its exchange.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// # Errors
/// `Unreachable`, `Exhausted` for a body of more than `bytes_max`, and what `carry` says of the bytes of the body and `receiving` of all that is
/// held, as they come.
pub(super) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
    carry: Carry<'_>,
    mut receiving: Receiving,
) -> Result<Answer, Error> {
    let broken = |error: hyper::Error| Error::Unreachable(format!("the connection broke: {error}"));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEAD_LINES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let _driver = Driver(tokio::spawn(async move { drop(connection.await) }));
    let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    if head.status.is_informational() {
        return Err(Error::Unreachable("the server wants to speak another protocol".into()));
    }
    receiving.more(head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum())?;
    let body = collect(body, bytes_max, carry, &mut receiving).await?;
    Ok(Answer { status: head.status, headers: head.headers, body, held: receiving.whole() })
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
