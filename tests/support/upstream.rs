//! A provider that does as a test says: HTTP/1.1 over a bare socket, so that every byte, cut and silence is in the test's hands.
//! Records what it is asked and reports clients that hang up.

#![allow(dead_code, reason = "each test uses its part of the vocabulary")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

/// A fake provider on a free port of 127.0.0.1; gone when dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    accepting: tokio::task::JoinHandle<()>,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is done with one request, step by step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Wait(Signal),
    Hang,
    Cut,
}

/// Fired by the test, awaited by a script; fired before, it does not wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal(Arc<Notify>);

/// What a request gets, if anything.
type Responder = Box<dyn Fn(&Request) -> Option<Script> + Send>;

struct State {
    /// Used up in order.
    next: Mutex<VecDeque<Script>>,
    /// Asked first, never used up.
    responders: Mutex<Vec<Responder>>,
    requests: Mutex<Vec<Request>>,
    received: Semaphore,
    hung_up: Semaphore,
    connections: AtomicUsize,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// As `start`, at another address than a fake provider commonly has.
    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State {
            next: Mutex::default(),
            responders: Mutex::default(),
            requests: Mutex::default(),
            received: Semaphore::new(0),
            hung_up: Semaphore::new(0),
            connections: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(Arc::clone(&serving).serve(stream));
            }
        });
        Self { address, state, accepting }
    }

    /// Ends in `/v1`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The next request that no responder takes gets this; one for which nothing is left gets a 500.
    pub(crate) fn next(&self, script: Script) -> &Self {
        self.state.next.lock().expect("no panic").push_back(script);
        self
    }

    /// Every request that `matcher` accepts gets this; the first that accepts it wins.
    pub(crate) fn when(&self, matcher: impl Fn(&Request) -> bool + Send + 'static, script: Script) -> &Self {
        self.respond(move |request| matcher(request).then(|| script.clone()))
    }

    /// Every request that has no script of its own gets this.
    pub(crate) fn always(&self, script: Script) -> &Self {
        self.when(|_| true, script)
    }

    /// Every request that has no script of its own gets what `answer` makes of it; one request at a time.
    pub(crate) fn answer_with(&self, answer: impl Fn(&Request) -> Script + Send + 'static) -> &Self {
        self.respond(move |request| Some(answer(request)))
    }

    /// Every request gets what is next from now on.
    pub(crate) fn forget_responders(&self) {
        self.state.responders.lock().expect("no panic").clear();
    }

    fn respond(&self, responder: impl Fn(&Request) -> Option<Script> + Send + 'static) -> &Self {
        self.state.responders.lock().expect("no panic").push(Box::new(responder));
        self
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().expect("no panic").clone()
    }

    /// Waits until one more request has arrived whole.
    pub(crate) async fn received(&self) {
        self.state.received.acquire().await.expect("never closed").forget();
    }

    /// Waits until one more client has closed its connection before its reply was over.
    pub(crate) async fn hung_up(&self) {
        self.state.hung_up.acquire().await.expect("never closed").forget();
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

impl Signal {
    pub(crate) fn fire(&self) {
        self.0.notify_one();
    }
}

impl Script {
    /// A whole reply.
    pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut text = head(status, headers);
        text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        Self::default().raw([text.as_bytes(), body].concat())
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::reply(status, &[("content-type", "application/json")], body.to_string())
    }

    /// A whole completion that says `text`.
    pub(crate) fn says(text: &str) -> Self {
        Self::json(
            200,
            &serde_json::json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "fake",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "finish_reason": "stop", "logprobs": null}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}),
        )
    }

    /// The head of an event stream; [`Script::event`] and the like follow, then [`Script::end`], [`Script::hang`] or [`Script::cut`].
    pub(crate) fn stream() -> Self {
        Self::chunked(200, &[("content-type", "text/event-stream")])
    }

    /// The head of a reply whose pieces are sent one by one.
    pub(crate) fn chunked(status: u16, headers: &[(&str, &str)]) -> Self {
        Self::default().raw(head(status, headers) + "transfer-encoding: chunked\r\n\r\n")
    }

    /// A whole stream of these words, with `[DONE]` and its end.
    pub(crate) fn streams(words: &[&str]) -> Self {
        let stream = words.iter().fold(Self::stream(), |script, word| script.event(&delta(word)));
        stream.event(&finish()).event("[DONE]").end()
    }

    /// `data: {data}` as one event in one write.
    pub(crate) fn event(self, data: &str) -> Self {
        self.piece(format!("data: {data}\n\n"))
    }

    /// Bytes of the body as they are, in one write.
    pub(crate) fn piece(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let size = format!("{:x}\r\n", bytes.len());
        self.raw([size.as_bytes(), bytes, b"\r\n"].concat())
    }

    /// Ends the body; the connection stays open for the next request.
    pub(crate) fn end(self) -> Self {
        self.raw("0\r\n\r\n")
    }

    /// Bytes on the socket as they are, in one write.
    pub(crate) fn raw(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Goes on when the test fires the signal.
    pub(crate) fn wait(self, signal: &Signal) -> Self {
        self.then(Step::Wait(signal.clone()))
    }

    /// The same, once the test fires the signal.
    pub(crate) fn after(mut self, signal: &Signal) -> Self {
        self.0.insert(0, Step::Wait(signal.clone()));
        self
    }

    /// Says nothing more until the client hangs up.
    pub(crate) fn hang(self) -> Self {
        self.then(Step::Hang)
    }

    /// Closes the connection.
    pub(crate) fn cut(self) -> Self {
        self.then(Step::Cut)
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

/// A `chat.completion.chunk` that says `text`.
pub(crate) fn delta(text: &str) -> String {
    chunk(&serde_json::json!({"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": null}))
}

/// The `chat.completion.chunk` that ends what [`delta`] began.
pub(crate) fn finish() -> String {
    chunk(&serde_json::json!({"index": 0, "delta": {}, "finish_reason": "stop"}))
}

fn chunk(choice: &serde_json::Value) -> String {
    serde_json::json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "fake", "choices": [choice]})
        .to_string()
}

fn head(status: u16, headers: &[(&str, &str)]) -> String {
    let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("HTTP/1.1 {status} Scripted\r\n{}", lines.collect::<String>())
}

/// The client closed its side.
struct HungUp;

impl State {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        stream.set_nodelay(true).expect("a TCP socket");
        let mut read = Vec::new();
        while let Some(request) = next_request(&mut stream, &mut read).await {
            let script = self.script(&request);
            self.requests.lock().expect("no panic").push(request);
            self.received.add_permits(1);
            for step in script.0 {
                match play(&mut stream, step).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(HungUp) => return self.hung_up.add_permits(1),
                }
            }
        }
    }

    fn script(&self, request: &Request) -> Script {
        let made = self.responders.lock().expect("no panic").iter().find_map(|responder| responder(request));
        let next = || self.next.lock().expect("no panic").pop_front();
        made.or_else(next).unwrap_or_else(|| Script::reply(500, &[], "no script is left for this request"))
    }
}

/// Whether the connection stays open.
async fn play(stream: &mut TcpStream, step: Step) -> Result<bool, HungUp> {
    let (mut reader, mut writer) = stream.split();
    let act = async {
        match step {
            Step::Send(bytes) => writer.write_all(&bytes).await.map(|()| true).map_err(|_| HungUp),
            Step::Wait(signal) => {
                signal.0.notified().await;
                Ok(true)
            }
            Step::Hang => std::future::pending().await,
            Step::Cut => Ok(false),
        }
    };
    let mut scratch = [0];
    tokio::select! {
        biased;
        done = act => done,
        // A client that waits for its reply sends nothing: what can be read is its end.
        _ = reader.read(&mut scratch) => Err(HungUp),
    }
}

async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Request> {
    let head_end = loop {
        match read.windows(4).position(|w| w == b"\r\n\r\n") {
            Some(end) => break end,
            None => more(stream, read).await?,
        }
    };
    let head = String::from_utf8_lossy(&read[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut request = Request { method, path, headers, body: Vec::new() };
    let end = head_end + 4 + request.header("content-length").map_or(0, |length| length.parse::<usize>().expect("a length"));
    while read.len() < end {
        more(stream, read).await?;
    }
    request.body = read[head_end + 4..end].to_vec();
    read.drain(..end);
    Some(request)
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    (stream.read_buf(read).await.ok()? > 0).then_some(())
}
