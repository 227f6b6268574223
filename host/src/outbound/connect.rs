//! The connection to an address that was checked. Only this file opens a socket, and it is given an address, never a name.

use std::io;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls::Tls;

/// Where to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer<'a> {
    pub address: SocketAddr,
    /// The name, or the text of the address, that the server's certificate must be for; none without TLS.
    pub tls: Option<&'a str>,
}

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Opens connections.
pub trait Connect: Send + Sync + 'static {
    /// # Errors
    /// Nobody answers there, or not whom was asked for.
    fn connect<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}

/// The network.
#[derive(Default)]
pub struct Network {
    tls: Tls,
}

impl Connect for Network {
    fn connect<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(peer.address).await?;
            stream.set_nodelay(true)?;
            Ok(match peer.tls {
                None => Box::new(stream) as Box<dyn Stream>,
                Some(name) => Box::new(self.tls.shake_hands(name, stream).await?),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn tls_asks_for_the_name_at_the_address_that_was_checked_and_speaks_http_1() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let network = Network::default();
        let connecting = network.connect(Peer { address, tls: Some("api.example.com") });
        let hello = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 5];
            stream.read_exact(&mut head).await.unwrap();
            let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            stream.read_exact(&mut hello).await.unwrap();
            hello
        };
        let (connected, hello) = tokio::join!(connecting, hello);
        // The listener hung up, so there is no connection.
        connected.map(drop).unwrap_err();
        let holds = |text: &[u8]| hello.windows(text.len()).any(|window| window == text);
        assert!(holds(b"api.example.com") && holds(b"http/1.1") && !holds(b"h2"));
    }
}
