//! The guard over a network that is made of scripts: names, addresses and servers are the test's, and every connection is written down, so
//! a check that fails is seen, and nothing leaves the process.

mod hostile;
mod kept;
mod limits;
mod secrets;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::chat::Client;

/// Names, servers, and what was asked of them.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// What a name resolves to: one answer after the other, the last for good.
    names: HashMap<String, VecDeque<Vec<IpAddr>>>,
    lookups: Vec<String>,
    /// Replies, one for each connection.
    replies: VecDeque<Vec<u8>>,
    /// Each connection: the address, and the name that TLS asked for.
    connections: Vec<(String, Option<String>)>,
    /// Each request, as it came.
    requests: Vec<String>,
    /// Addresses that never answer.
    dead: Vec<String>,
}

impl World {
    fn name(self, name: &str, answers: &[&[&str]]) -> Self {
        let answers = answers.iter().map(|addresses| addresses.iter().map(|address| address.parse().unwrap()).collect()).collect();
        self.0.lock().unwrap().names.insert(name.into(), answers);
        self
    }

    fn reply(self, reply: impl AsRef<[u8]>) -> Self {
        self.0.lock().unwrap().replies.push_back(reply.as_ref().to_vec());
        self
    }

    fn ok(self, body: &str) -> Self {
        self.reply(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    fn redirect(self, status: u16, to: &str) -> Self {
        self.reply(format!("HTTP/1.1 {status} x\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"))
    }

    /// Nobody ever answers there, not even that nobody is there.
    fn dead(self, address: &str) -> Self {
        self.0.lock().unwrap().dead.push(address.into());
        self
    }

    fn guard(&self, rules: Rules) -> Guard {
        let secret = |name: &str| match name {
            "KEY" => Ok(SecretValue::new("s3cr3t-of-the-key")),
            "BIG" => Ok(SecretValue::new(&"v".repeat(3_000))),
            "SHORT" => Ok(SecretValue::new("seven77")),
            "LINES" => Ok(SecretValue::new("s3cr3t\r\nhost: evil")),
            _ => Err("is not set".to_owned()),
        };
        Guard::new(rules, Arc::new(self.clone()), Arc::new(self.clone()), Arc::new(secret))
    }

    fn connections(&self) -> Vec<(String, Option<String>)> {
        self.0.lock().unwrap().connections.clone()
    }

    fn addresses(&self) -> Vec<String> {
        self.connections().into_iter().map(|(address, _)| address).collect()
    }

    fn lookups(&self) -> Vec<String> {
        self.0.lock().unwrap().lookups.clone()
    }

    fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }
}

impl Resolve for World {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let mut inner = self.0.lock().unwrap();
        inner.lookups.push(name.into());
        if name.starts_with("silent.") {
            return Box::pin(std::future::pending());
        }
        let answers = inner.names.get_mut(name);
        let answer = answers.and_then(|answers| if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() });
        Box::pin(std::future::ready(answer.ok_or_else(|| io::Error::other("no such name"))))
    }
}

impl Connect for World {
    fn connect<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        let mut inner = self.0.lock().unwrap();
        inner.connections.push((peer.address.to_string(), peer.tls.map(Into::into)));
        if inner.dead.contains(&peer.address.ip().to_string()) {
            return Box::pin(std::future::pending());
        }
        let Some(reply) = inner.replies.pop_front() else { return Box::pin(std::future::ready(Err(io::Error::other("nobody is there")))) };
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let world = self.clone();
        tokio::spawn(async move {
            let request = request(&mut theirs).await;
            world.0.lock().unwrap().requests.push(request);
            // A client that hung up is what some tests are about.
            drop(theirs.write_all(&reply).await);
            if reply.is_empty() {
                std::future::pending::<()>().await;
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
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&read).into_owned(),
            Ok(count) => read.extend_from_slice(&bytes[..count]),
        }
    }
}

fn hosts(patterns: &[&str]) -> Vec<HostPattern> {
    patterns.iter().map(|pattern| HostPattern::parse(pattern).unwrap()).collect()
}

fn rules(patterns: &[&str]) -> Rules {
    Rules { hosts: hosts(patterns), ..Rules::default() }
}

/// Of a plugin whose settings never change.
fn settings() -> UnderSettings {
    static SETTINGS: LazyLock<UnderSettings> = LazyLock::new(|| Arc::new(()));
    SETTINGS.clone()
}

fn get(url: &str) -> Request {
    Request { method: "GET".into(), url: url.into(), headers: Vec::new(), body: Vec::new(), time: None, settings: settings() }
}

fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Request { method: "POST".into(), headers, body: body.into(), ..get(url) }
}

fn calls() -> Calls {
    Calls::of(Client::Host)
}

/// What the plugin sees of a reply.
fn seen(response: Response) -> (u16, Vec<(String, String)>, Vec<u8>) {
    (response.status, response.headers, response.body)
}

async fn send(guard: &Guard, request: Request) -> Result<Response, Error> {
    guard.send(&calls(), std::future::ready(()), request).await
}

const PUBLIC: &str = "93.184.216.34";

#[tokio::test]
async fn a_request_goes_to_the_address_that_its_name_had_once_and_keeps_the_name() {
    let world = World::default().name("api.example.com", &[&[PUBLIC]]).ok("hello");
    let guard = world.guard(rules(&["api.example.com"]));
    let response = send(&guard, post("https://api.example.com/v1/x?y=1#z", &[("X-Own", "1")], "body")).await.unwrap();
    assert_eq!(seen(response), (200, Vec::new(), b"hello".to_vec()));
    assert_eq!(world.connections(), [(format!("{PUBLIC}:443"), Some("api.example.com".into()))]);
    assert_eq!(world.lookups(), ["api.example.com"]);
    let request = &world.requests()[0];
    assert!(request.starts_with("POST /v1/x?y=1 HTTP/1.1\r\n") && request.ends_with("\r\n\r\nbody"), "{request}");
    for line in [
        "host: api.example.com\r\n",
        "accept-encoding: identity\r\n",
        "x-own: 1\r\n",
        "content-length: 4\r\n",
        "user-agent: cofferdam-plugin/",
    ] {
        assert_eq!(request.matches(line).count(), 1, "{line}: {request}");
    }
}

#[tokio::test]
async fn a_host_is_granted_by_its_name_or_by_the_end_of_it_and_by_nothing_else() {
    let granted = ["api.example.com", "*.example.org"];
    for (url, reached) in [
        ("https://api.example.com", true),
        ("https://API.EXAMPLE.COM./x", true),
        ("https://a.example.org", true),
        ("https://a.b.example.org", true),
        ("https://example.org", false),
        ("https://.example.org", false),
        ("https://badexample.org", false),
        ("https://example.org.evil.com", false),
        ("https://example.com", false),
        ("https://www.api.example.com", false),
        ("https://api.example.com.evil.com", false),
        ("https://api.example.com:8443", false),
        ("http://api.example.com", false),
        ("https://api.example.com@evil.com", false),
        ("https://evil.com\\@api.example.com", false),
        ("https://evil.com#@api.example.com", false),
        ("https://аpi.example.com", false),
    ] {
        let mut world = World::default().ok("");
        for name in ["api.example.com", "a.example.org", "a.b.example.org", "example.org", "evil.com"] {
            world = world.name(name, &[&[PUBLIC]]);
        }
        let sent = send(&world.guard(rules(&granted)), get(url)).await;
        assert_eq!((sent.is_ok(), world.connections().len()), (reached, usize::from(reached)), "{url}: {sent:?}");
    }
}

#[tokio::test]
async fn ports_that_are_granted_are_all_there_are() {
    for (ports, url, reached) in [
        (&[][..], "https://a.b:443", true),
        (&[][..], "http://a.b", true),
        (&[][..], "http://a.b:443", false),
        (&[][..], "https://a.b:80", false),
        (&[8443], "https://a.b:8443", true),
        (&[8443], "https://a.b", false),
    ] {
        let world = World::default().name("a.b", &[&[PUBLIC]]).ok("");
        let rules = Rules { ports: ports.to_vec(), plain: true, ..rules(&["a.b"]) };
        let sent = send(&world.guard(rules), get(url)).await;
        assert_eq!(sent.is_ok(), reached, "{ports:?} {url}: {sent:?}");
    }
}

#[tokio::test]
async fn every_refusal_names_the_key_that_would_allow_it() {
    let secrets = [("KEY".to_owned(), hosts(&["other.b"]))].into();
    let guard = World::default().name("a.b", &[&["10.0.0.1"]]).guard(Rules { plain: false, secrets, ..rules(&["a.b"]) });
    for (request, key) in [
        (get("http://a.b"), "grants.http.plain"),
        (get("https://c.d"), "grants.http.hosts"),
        (get("https://a.b:1"), "grants.http.ports"),
        (get("https://a.b"), "grants.http.private"),
        (post("https://a.b", &[("x", "{{secret:KEY}}")], ""), "grants.http.secrets.KEY"),
        (post("https://a.b", &[("x", "{{secret:NONE}}")], ""), "grants.http.secrets"),
    ] {
        match send(&guard, request).await {
            Err(Error::Denied(why)) => assert!(why.contains(key), "{why}"),
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reply_has_its_headers_but_for_those_of_the_connection() {
    let world = World::default().name("a.b", &[&[PUBLIC]]).reply(
        "HTTP/1.1 404 x\r\nX-One: 1\r\nset-cookie: a=b\r\nset-cookie: c=d\r\nconnection: close\r\nkeep-alive: 5\r\ntransfer-encoding: chunked\r\n\r\n\
         3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    let response = send(&world.guard(rules(&["a.b"])), get("https://a.b")).await.unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = vec![header("x-one", "1"), header("set-cookie", "a=b"), header("set-cookie", "c=d")];
    assert_eq!(seen(response), (404, headers, b"abcde".to_vec()));
}

#[tokio::test]
async fn the_next_address_of_a_name_is_tried_if_the_first_does_not_answer() {
    let world = World::default().name("a.b", &[&["93.184.216.34", "93.184.216.35"]]);
    let sent = send(&world.guard(rules(&["a.b"])), get("https://a.b")).await;
    assert!(matches!(sent, Err(Error::Unreachable(_))), "{sent:?}");
    assert_eq!(world.addresses(), ["93.184.216.34:443", "93.184.216.35:443"]);
}
