//! A client that asserts the house rules on every reply: request id, content type, the error's shape, and all that `/openapi.json` says.
//! One connection a request, so that hanging up is dropping.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::document::Route;

#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A streamed reply on its way; dropping it hangs up.
pub struct Streaming {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    pending: Vec<u8>,
    /// What the API's document says of it.
    route: Option<Route>,
}

impl Client {
    pub fn of(address: SocketAddr) -> Self {
        Self { address, headers: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some("application/json"), body.to_string().into()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some("application/json"), body.to_string().into()).await
    }

    /// `POST .../knowledge/upload` with one file.
    pub async fn upload(&self, api: &str, name: &str, text: &[u8]) -> Answer {
        let mut body = format!("--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n").into_bytes();
        body.extend_from_slice(text);
        body.extend_from_slice(b"\r\n--edge--\r\n");
        let path = format!("/api/v1/gateway/apis/{api}/knowledge/upload");
        self.send(Method::POST, &path, Some("multipart/form-data; boundary=edge"), body.into()).await
    }

    /// Asks `model` one thing; extra fields are merged into the body.
    pub async fn chat(&self, model: &str, question: &str, extra: Value) -> Answer {
        self.post("/v1/chat/completions", &chat_body(model, question, false, extra)).await
    }

    pub async fn chat_stream(&self, model: &str, question: &str, extra: Value) -> Streaming {
        let body = chat_body(model, question, true, extra).to_string().into();
        self.open(Method::POST, "/v1/chat/completions", Some("application/json"), body).await.expect("the server answers")
    }

    pub async fn send(&self, method: Method, path: &str, content_type: Option<&str>, body: Bytes) -> Answer {
        self.try_send(method, path, content_type, body).await.expect("the server answers")
    }

    /// As `send`, for a server that may be gone.
    pub async fn try_send(&self, method: Method, path: &str, content_type: Option<&str>, body: Bytes) -> Result<Answer, String> {
        let reply = self.open(method, path, content_type, body).await?;
        let Streaming { status, headers, body, route, .. } = reply;
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        let answer = Answer { status, headers, body };
        answer.keeps_the_house_rules(route.as_ref());
        Ok(answer)
    }

    /// The reply's head, with its body still on the way.
    pub async fn open(&self, method: Method, path: &str, content_type: Option<&str>, body: Bytes) -> Result<Streaming, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        let route = Route::of(&method, path);
        let mut request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let sent = body.clone();
        let reply = sender.send_request(request.body(Full::new(body)).expect("a request")).await.map_err(|e| e.to_string())?;
        let (parts, body) = reply.into_parts();
        assert!(parts.headers.contains_key("x-request-id"), "every reply names its request: {parts:?}");
        if let Some(route) = route.as_ref().filter(|_| parts.status.is_success() && content_type == Some("application/json")) {
            route.takes(&sent);
        }
        Ok(Streaming { status: parts.status, headers: parts.headers, body, pending: Vec::new(), route })
    }
}

fn chat_body(model: &str, question: &str, stream: bool, extra: Value) -> Value {
    let mut body = serde_json::json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": question}]});
    if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
        body.extend(extra);
    }
    body
}

impl Answer {
    fn keeps_the_house_rules(&self, route: Option<&Route>) {
        if let Some(route) = route {
            route.gives(self.status, self.header("content-type").unwrap_or_default(), &self.body);
        }
        if self.status.as_u16() >= 400 {
            let json = self.json();
            if let Some(detail) = json.get("detail") {
                // Open WebUI's surface.
                assert!(detail.as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
                return;
            }
            let error = &json["error"];
            for field in ["message", "type", "code"] {
                assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "an error has a {field}: {self:?}");
            }
            assert!(error.as_object().is_some_and(|e| e.contains_key("param")), "an error has a param: {self:?}");
        }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.is_success(), "{self:?}");
        self
    }

    /// The first choice's text.
    #[track_caller]
    pub fn content(&self) -> String {
        let json = self.json();
        json["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("no content: {json}")).to_owned()
    }

    /// `error.code` of a refusal with that status.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self.json()["error"]["code"].as_str().expect("a code").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Streaming {
    /// The data of the next event; none at the end. A broken connection is an error.
    pub async fn next(&mut self) -> Result<Option<String>, String> {
        loop {
            // A provider's own events pass with the line ends that they came with.
            let end = |blank: &[u8]| self.pending.windows(blank.len()).position(|part| part == blank).map(|at| at + blank.len());
            if let Some(end) = [end(b"\n\n"), end(b"\r\n\r\n")].into_iter().flatten().min() {
                let event: Vec<u8> = self.pending.drain(..end).collect();
                let text = String::from_utf8(event).map_err(|e| e.to_string())?;
                match text.lines().find_map(|line| line.strip_prefix("data:")) {
                    Some(data) => {
                        let data = data.trim_start();
                        if let Some(route) = &self.route {
                            route.streams(self.status, data);
                        }
                        return Ok(Some(data.to_owned()));
                    }
                    None => continue,
                }
            }
            match self.body.frame().await {
                None if self.pending.is_empty() => return Ok(None),
                None => return Err(format!("half an event at the end: {:?}", String::from_utf8_lossy(&self.pending))),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(frame)) => self.pending.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            }
        }
    }

    /// Every event's data to the end.
    pub async fn all(mut self) -> Result<Vec<String>, String> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }

    /// The reply as a whole answer, if it turned out to be no stream.
    pub async fn answer(self) -> Answer {
        let body = self.body.collect().await.expect("a body").to_bytes();
        let answer = Answer { status: self.status, headers: self.headers, body };
        answer.keeps_the_house_rules(self.route.as_ref());
        answer
    }
}

/// The text of a complete stream: every event a chunk of one reply, `[DONE]` at its end.
#[track_caller]
pub fn text_of(events: &[String]) -> String {
    let (done, chunks) = events.split_last().expect("events");
    assert_eq!(done, "[DONE]", "{events:?}");
    let chunks: Vec<Value> = chunks.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
    for field in ["id", "created", "model"] {
        assert!(chunks.iter().all(|chunk| chunk[field] == chunks[0][field]), "{field} is the same on every chunk: {events:?}");
    }
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}
