//! One HTTP/1.1 connection in bytes. Must not know what is asked.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::in_time;
use crate::server::Server;

pub(super) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The status line and the fields, as they came.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `error.code` of a refusal with that status, which names its request.
    #[track_caller]
    pub(super) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.header("x-request-id").is_some(), "{self:?}");
        let json: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        json["error"]["code"].as_str().expect("a code").to_owned()
    }
}

impl Raw {
    pub(super) async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, read: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("it reads");
    }

    /// As `send`, where the server may have closed.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        in_time(self.stream.write_all(bytes.as_ref())).await
    }

    /// The next reply, whose body is as long as it says.
    pub(super) async fn reply(&mut self) -> Reply {
        let mut reply = self.bare_reply().await;
        let length = reply.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.read.len() < length {
            assert!(self.more().await, "the body ended early: {reply:?}");
        }
        reply.body = self.read.drain(..length).collect();
        reply
    }

    /// The next reply's head, for replies without a body.
    pub(super) async fn bare_reply(&mut self) -> Reply {
        let end = loop {
            match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => assert!(self.more().await, "no reply came, only {:?}", String::from_utf8_lossy(&self.read)),
            }
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).expect("ASCII");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Reply { status, head, body: Vec::new() }
    }

    /// Bytes as they come, at least that many.
    pub(super) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more().await, "closed after {:?}", self.read);
        }
        self.read.drain(..count).collect()
    }

    /// Waits until the server has closed the connection; nothing else may have come.
    pub(super) async fn closed(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.read), "");
        assert!(!self.more().await, "not closed: {:?}", String::from_utf8_lossy(&self.read));
    }

    /// Nothing is there to be read, and the connection is open.
    pub(super) async fn has_nothing(&mut self) {
        let mut byte = [0];
        let read = self.stream.try_read(&mut byte);
        assert!(read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "{read:?} {byte:?}");
    }

    /// Whether more came; a reset is an end.
    async fn more(&mut self) -> bool {
        in_time(self.stream.read_buf(&mut self.read)).await.is_ok_and(|count| count > 0)
    }
}
