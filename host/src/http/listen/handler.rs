//! What listening asks of whoever answers requests.
//! An answer is polled by its connection and by nothing else, so that a client that hangs up drops the work behind it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::time::Instant;

use super::peer::Peer;

/// Answers the requests of every connection.
pub(in crate::http) trait Handler: Send + Sync + 'static {
    type Body: hyper::body::Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static;

    /// Answers one request of that peer. `began` is when its head was complete; there is no other end than a response.
    fn answer(self: Arc<Self>, request: Request<Incoming>, began: Instant, peer: Peer)
    -> impl Future<Output = Response<Self::Body>> + Send;

    /// There are so many connections more, or fewer.
    fn connections_changed(&self, change: i64);

    /// A connection, or one of its streams, was cut: `unread` if its client took nothing, `crowded` if its room was needed,
    /// `handshake` if its client did not end that in time.
    fn connection_cut(&self, reason: &'static str);

    /// The server is about to stop. It is called before the listening socket closes, so that a client that is turned away can ask why on a
    /// connection that is open.
    fn drain_begins(&self);
}
