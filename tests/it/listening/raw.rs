//! One HTTP/1.1 connection in bytes. What is sent is exactly what the test wrote.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

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
        Self::connect_from(server, "127.0.0.1").await
    }

    /// To another address than the first one of a server.
    pub(super) async fn connect_to(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, read: Vec::new() }
    }

    /// All that comes until the server has closed the connection.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// As another peer: all of 127.0.0.0/8 is this machine.
    pub(super) async fn connect_from(server: &Server, address: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((address.parse::<std::net::Ipv4Addr>().expect("an address"), 0).into()).expect("a free port");
        let stream = socket.connect(server.address).await.expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, read: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("it reads");
    }

    /// As `send`, for a server that may have closed the connection.
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

    /// Waits for the first byte that nobody has read yet, or for the end.
    pub(super) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
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

/// As much of HTTP/2 as a test says itself. Header fields are literals, so nothing needs a table.
pub(super) mod frame {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(u8)]
    pub(in super::super) enum Kind {
        Data = 0,
        Headers = 1,
        Reset = 3,
        Settings = 4,
        GoAway = 7,
    }

    #[derive(Debug)]
    pub(in super::super) struct Frame {
        pub(in super::super) stream: u32,
        pub(in super::super) payload: Vec<u8>,
        /// Of data: whether it is the last of its stream.
        pub(in super::super) last: bool,
    }

    pub(in super::super) const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    pub(in super::super) const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

    const HEADERS: u8 = 1;
    const WINDOW_UPDATE: u8 = 8;
    pub(in super::super) const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;

    fn of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn headers(stream: u32, method: &str, path: &str, end: u8) -> Vec<u8> {
        let fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")];
        let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        let block = fields.map(|(name, value)| [vec![0], text(name), text(value)].concat()).concat();
        of(HEADERS, END_HEADERS | end, stream, &block)
    }

    /// How a client begins whose streams have that window: it takes no more of any answer.
    pub(in super::super) fn with_window(bytes: u32) -> Vec<u8> {
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &window(bytes)[..]].concat()
    }

    /// SETTINGS with that window for each stream.
    pub(in super::super) fn window(bytes: u32) -> Vec<u8> {
        of(Kind::Settings as u8, 0, 0, &[&[0, 4], &bytes.to_be_bytes()[..]].concat())
    }

    /// WINDOW_UPDATE: the client takes so many bytes more.
    pub(in super::super) fn wider(stream: u32, bytes: u32) -> Vec<u8> {
        of(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
    }

    pub(in super::super) fn get(stream: u32, path: &str) -> Vec<u8> {
        headers(stream, "GET", path, END_STREAM)
    }

    pub(in super::super) fn post(stream: u32, path: &str) -> Vec<u8> {
        headers(stream, "POST", path, 0)
    }

    pub(in super::super) fn last(stream: u32, bytes: &[u8]) -> Vec<u8> {
        of(Kind::Data as u8, END_STREAM, stream, bytes)
    }
}

impl Raw {
    /// The next frame of that kind with a payload; others are passed over.
    pub(super) async fn frame(&mut self, kind: frame::Kind) -> frame::Frame {
        loop {
            let head = self.bytes(9).await;
            let payload = self.bytes(usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])).await;
            if head[3] == kind as u8 && !payload.is_empty() {
                let last = head[4] & frame::END_STREAM > 0;
                return frame::Frame { stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload, last };
            }
        }
    }

    /// The next whole body, with its stream; no other may come in between.
    pub(super) async fn body(&mut self) -> (u32, Vec<u8>) {
        let first = self.frame(frame::Kind::Data).await;
        let (stream, mut body, mut last) = (first.stream, first.payload, first.last);
        while !last {
            let next = self.frame(frame::Kind::Data).await;
            assert_eq!(next.stream, stream);
            body.extend(next.payload);
            last = next.last;
        }
        (stream, body)
    }
}
