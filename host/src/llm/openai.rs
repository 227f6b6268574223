//! The adapter for OpenAI's chat completions and every server that speaks them: one try at one provider.
//! Nothing is returned before the first event of a stream, so that until then another provider can take over unseen.
//! Must not know other targets or who watches. Source: OpenAI API reference, "Create chat completion".

mod words;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header, response};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::attempt::Failure;
use super::passthrough::PassThrough;
use super::sse::{End, Framer, events};
use super::transport::{Body, Connection, Tls, Transport};
use super::{Error, Limits, Mode, Phase};
use crate::chat::stream::streamed;
use crate::chat::{Exchange, Reply, Whole, codec};

/// Time for the explanation of an error status.
const ERROR_TIME: Duration = Duration::from_secs(2);

/// Bytes of an error body that are read; messages are cut far below.
const ERROR_BYTES: usize = 64 << 10;

/// One provider that speaks OpenAI's dialect.
pub(super) struct OpenAi {
    name: Arc<str>,
    transport: Transport,
    limits: Limits,
    path: Uri,
    /// Those that every request has.
    headers: HeaderMap,
}

/// One try: what is sent, and how the reply is wanted.
pub(super) struct Call<'a> {
    pub(super) model: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) exchange: &'a Exchange,
    pub(super) mode: Mode,
    /// Targets of the chain after this one.
    pub(super) others: u32,
}

/// A stream's beginning, or the whole reply of a server that cannot stream.
enum Opened {
    Events { head: Bytes, body: Body, framer: Framer },
    Json(Body),
}

impl OpenAi {
    /// # Errors
    /// `Unreachable` where `base_url` is no http or https URL.
    pub(super) fn new(name: &str, base_url: &str, limits: Limits, tls: Arc<Tls>) -> Result<Self, Error> {
        let bad = |cause: String| Error::Unreachable { provider: name.to_owned(), cause };
        let base: Uri = base_url.parse().map_err(|error| bad(format!("its base_url `{base_url}` is no URL: {error}")))?;
        let provider: Arc<str> = name.into();
        let transport = Transport::new(Arc::clone(&provider), &base, &limits, tls)?;
        let path = format!("{}/chat/completions", base.path().trim_end_matches('/'));
        // The authority without a user's name, which is no part of a Host header.
        let host = base.authority().map_or("", |a| a.as_str()).rsplit('@').next().unwrap_or_default();
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|error| bad(error.to_string()))?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("cofferdam/", env!("CARGO_PKG_VERSION"))));
        let path = path.parse().expect("the path of a URL with a plain suffix");
        Ok(Self { name: provider, transport, limits, path, headers })
    }

    /// One try, within the total limit and what is left to the exchange.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let left = call.exchange.deadline.remaining();
        // A whole reply has no first event to wait for: without a share for those after it, a silent provider would take all the time.
        let share = if call.mode == Mode::Whole { left / (call.others + 1) } else { left };
        let (time, phase) = match share.min(self.limits.total) {
            time if time == left => (time, Phase::Deadline),
            time => (time, Phase::Total),
        };
        let end = Instant::now() + time;
        let in_time = || self.timeout(phase, time);
        let request = self.request(call)?;
        let connection = within(end, self.transport.connection(), in_time).await?;
        if call.mode == Mode::Whole {
            return within(end, self.whole(call, connection, request), in_time).await;
        }
        let first = Instant::now() + self.limits.first_byte;
        let late = || if first < end { self.timeout(Phase::FirstByte, self.limits.first_byte) } else { in_time() };
        match within(first.min(end), self.open(call, connection, request), late).await? {
            Opened::Events { head, body, framer } => {
                let name = Arc::clone(&self.name);
                Ok(Reply::PassThrough(Box::pin(PassThrough::new(name, head, body, framer, self.limits.idle, end))))
            }
            Opened::Json(body) => within(end, self.chunks(call, body), in_time).await,
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, Error> {
        let Exchange { messages, params, .. } = call.exchange;
        let mut request = Request::new(Full::new(codec::request_json(call.model, messages, params, call.mode == Mode::Stream)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(key) = call.key {
            let unfit = |_| self.unreachable("its key holds characters that no HTTP header can carry");
            let mut bearer = HeaderValue::try_from(format!("Bearer {key}")).map_err(unfit)?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        Ok(request)
    }

    async fn whole(&self, call: &Call<'_>, connection: Connection, request: Request<Full<Bytes>>) -> Result<Reply, Failure> {
        let (head, body) = self.send(call, connection, request).await?;
        if is_type(media_type(&head), "text/event-stream") {
            return Err(self.garbled("a stream where a whole reply was asked for").into());
        }
        let bytes = self.read(body).await?;
        self.check(call, &bytes)?;
        Ok(Reply::Whole(Whole::Raw(bytes)))
    }

    /// Waits for the first event that says something; pings before it are dropped.
    async fn open(&self, call: &Call<'_>, connection: Connection, request: Request<Full<Bytes>>) -> Result<Opened, Failure> {
        let (head, mut body) = self.send(call, connection, request).await?;
        match media_type(&head) {
            events if is_type(events, "text/event-stream") => {}
            json if is_type(json, "application/json") => return Ok(Opened::Json(body)),
            other => return Err(self.garbled(format!("content-type `{other}` where a stream was asked for")).into()),
        }
        let mut framer = Framer::new(self.limits.event_bytes);
        while let Some(read) = body.data().await {
            let read = read.map_err(|error| self.transport.unreachable(&error))?;
            if let Some(head) = framer.push(read)
                && self.begins(call, &head)?
            {
                return Ok(Opened::Events { head, body, framer });
            }
            if framer.end() == Some(End::TooLarge) {
                return Err(self.garbled("its first event is over `limits.providers.event_bytes`").into());
            }
        }
        Err(self.garbled("the stream ended before its first event").into())
    }

    /// Whether these events hold one that says something. Pings do not, and an error is a failure.
    fn begins(&self, call: &Call<'_>, whole: &[u8]) -> Result<bool, Failure> {
        for data in events(whole) {
            match data.trim_ascii() {
                b"" => {}
                b"[DONE]" => return Err(self.garbled("the stream ended before its first event").into()),
                data => {
                    let shape = self.shape(call, data)?;
                    if shape.choices.is_some() || shape.kind.is_none_or(|kind| kind.get() != "\"ping\"") {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// The reply of a server that cannot stream, as the stream that was asked for.
    async fn chunks(&self, call: &Call<'_>, body: Body) -> Result<Reply, Failure> {
        let bytes = self.read(body).await?;
        self.check(call, &bytes)?;
        let completion = codec::parse_completion(&bytes).map_err(|error| self.garbled(error.message))?;
        Ok(streamed(&completion, call.exchange))
    }

    /// The head and body of a reply with a status of success.
    async fn send(&self, call: &Call<'_>, via: Connection, request: Request<Full<Bytes>>) -> Result<(response::Parts, Body), Failure> {
        let (head, mut body) = self.transport.send(via, request).await?.into_parts();
        if head.status.is_success() {
            return Ok((head, body));
        }
        if head.status.is_redirection() {
            return Err(self.garbled(format!("{}, which no API call should meet; correct its base_url", head.status)).into());
        }
        let mut text = BytesMut::new();
        let reading = async {
            while let Some(Ok(read)) = body.data().await {
                text.extend_from_slice(&read[..read.len().min(ERROR_BYTES - text.len())]);
                if text.len() == ERROR_BYTES {
                    break;
                }
            }
        };
        // The status counts even if its explanation breaks off or never comes.
        let _ = tokio::time::timeout(ERROR_TIME, reading).await;
        Err(words::refusal(&self.name, call.key, head.status, &head.headers, &text).into())
    }

    /// The whole body; without a copy where it came in one read.
    async fn read(&self, mut body: Body) -> Result<Bytes, Error> {
        let limit = self.limits.reply_bytes;
        let too_large = || self.garbled(format!("more than {limit} bytes (`limits.providers.reply_bytes`)"));
        let announced = usize::try_from(body.announced().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large());
        }
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        while let Some(read) = body.data().await {
            let read = read.map_err(|error| self.transport.unreachable(&error))?;
            if first.len().max(all.len()) + read.len() > limit {
                return Err(too_large());
            }
            if first.is_empty() {
                first = read;
                continue;
            }
            if all.is_empty() {
                all.reserve(announced.max(first.len() + read.len()));
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&read);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    fn check(&self, call: &Call<'_>, bytes: &[u8]) -> Result<(), Failure> {
        match self.shape(call, bytes)?.choices {
            Some(_) => Ok(()),
            None => Err(self.garbled("it has no `choices`").into()),
        }
    }

    /// The fields that tell what an object is, without building the rest. An error object is a failure.
    fn shape<'a>(&self, call: &Call<'_>, json: &'a [u8]) -> Result<Shape<'a>, Failure> {
        let shape: Shape<'_> = serde_json::from_slice(json).map_err(|error| self.garbled(format!("no JSON object: {error}")))?;
        if shape.error.is_some() {
            let json = serde_json::from_slice(json).map_err(|error| self.garbled(error.to_string()))?;
            return Err(Failure { error: words::in_band(&self.name, call.key, &json), in_band: true });
        }
        Ok(shape)
    }

    fn garbled(&self, cause: impl Into<String>) -> Error {
        Error::Garbled { provider: self.name.to_string(), cause: cause.into() }
    }

    fn unreachable(&self, cause: &str) -> Error {
        Error::Unreachable { provider: self.name.to_string(), cause: cause.to_owned() }
    }

    fn timeout(&self, phase: Phase, limit: std::time::Duration) -> Error {
        Error::Timeout { provider: self.name.to_string(), phase, limit }
    }
}

#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    choices: Option<IgnoredAny>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

/// `future`'s result, or `late` when `end` comes first.
async fn within<T, E: Into<Failure>>(
    end: Instant,
    future: impl Future<Output = Result<T, E>>,
    late: impl Fn() -> Error,
) -> Result<T, Failure> {
    match timeout_at(end, future).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(late().into()),
    }
}

/// The content type without its parameters.
fn media_type(head: &response::Parts) -> &str {
    let value = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn is_type(found: &str, wanted: &str) -> bool {
    found.eq_ignore_ascii_case(wanted)
}
