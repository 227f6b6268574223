//! A network made of a test's own names and servers. Every lookup, connection and request is written down.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cofferdam::outbound::{Connect, Peer, Resolve, SecretValue, Stream};
use cofferdam::sandbox::Outside;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

/// An address that anybody may ask.
pub(super) const PUBLIC: &str = "93.184.216.34";
/// The secret `KEY`.
pub(super) const CANARY: &str = "canary-Vq7xN2mRw9/Lk4Tz8+Yb3";

#[derive(Clone)]
pub(super) struct World(Arc<Inner>);

/// What a server answers to a request; nothing if it never does.
type Answer = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

struct Inner {
    /// One answer after the other, the last for good.
    names: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    answer: Answer,
    /// Whether servers keep their connections.
    stays: bool,
    connections: Mutex<Vec<String>>,
    requests: Mutex<Vec<String>>,
    /// One permit for each request that has come, for each client that hung up on a silent server, and for each that hung up on one that
    /// keeps its connections.
    received: Semaphore,
    hung_up: Semaphore,
    closed: Semaphore,
}

impl World {
    /// Every server answers like that.
    pub(super) fn new(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::of(Box::new(answer), false)
    }

    /// The same, and they keep their connections.
    pub(super) fn staying(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::of(Box::new(answer), true)
    }

    fn of(answer: Answer, stays: bool) -> Self {
        let [received, hung_up, closed] = [(); 3].map(|()| Semaphore::new(0));
        let (names, connections, requests) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { names, answer, stays, connections, requests, received, hung_up, closed }))
    }

    pub(super) fn name(self, name: &str, answers: &[&[&str]]) -> Self {
        let parse = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().expect("an address")).collect();
        lock(&self.0.names).insert(name.into(), answers.iter().map(parse).collect());
        self
    }

    pub(super) fn outside(&self) -> Outside {
        let secret = |name: &str| if name == "KEY" { Ok(SecretValue::new(CANARY)) } else { Err("is not set".to_owned()) };
        Outside::new(Arc::new(self.clone()), Arc::new(self.clone()), Arc::new(secret))
    }

    pub(super) fn connections(&self) -> Vec<String> {
        lock(&self.0.connections).clone()
    }

    pub(super) fn requests(&self) -> Vec<String> {
        lock(&self.0.requests).clone()
    }

    /// Waits until one more request has come.
    pub(super) async fn received(&self) {
        self.0.received.acquire().await.expect("never closed").forget();
    }

    /// Waits until one more client has hung up on a server that says nothing.
    pub(super) async fn hung_up(&self) {
        self.0.hung_up.acquire().await.expect("never closed").forget();
    }

    /// Waits until one more connection that was kept is closed.
    pub(super) async fn closed(&self) {
        self.0.closed.acquire().await.expect("never closed").forget();
    }

    /// Whether all connections that were kept and are closed have been waited for.
    pub(super) fn none_closed(&self) -> bool {
        self.0.closed.available_permits() == 0
    }
}

/// A reply with that body.
pub(super) fn ok(body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

pub(super) fn redirect(to: &str) -> Option<String> {
    Some(format!("HTTP/1.1 307 x\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"))
}

impl Resolve for World {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let mut names = lock(&self.0.names);
        let answers = names.get_mut(name);
        let answer = answers.and_then(|answers| if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() });
        Box::pin(std::future::ready(answer.ok_or_else(|| io::Error::other("no such name"))))
    }
}

impl Connect for World {
    fn connect<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        lock(&self.0.connections).push(peer.address.to_string());
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let world = self.0.clone();
        tokio::spawn(async move {
            loop {
                let request = request(&mut theirs).await;
                if request.is_empty() && world.stays {
                    world.closed.add_permits(1);
                    break;
                }
                lock(&world.requests).push(request.clone());
                world.received.add_permits(1);
                match (world.answer)(&request) {
                    // A client that hung up is what some tests are about.
                    Some(answer) => drop(theirs.write_all(answer.as_bytes()).await),
                    None => {
                        drop(theirs.read_to_end(&mut Vec::new()).await);
                        world.hung_up.add_permits(1);
                        break;
                    }
                }
                if !world.stays {
                    break;
                }
            }
        });
        Box::pin(std::future::ready(Ok(Box::new(ours) as Box<dyn Stream>)))
    }
}

/// One request with its body.
async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(Ok(0), str::parse::<usize>);
            if body.len() >= length.expect("a length") {
                return text;
            }
        }
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return text,
            Ok(_) => {}
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
