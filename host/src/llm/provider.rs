//! One provider of the operator's file, and one try at it: the adapter's request is posted, its reply is read within the limits.
//! Nothing is returned before the first event of a stream that says something, so that until then another provider can take over unseen.
//! Must not know any vendor's dialect, other targets, or who watches.

mod receive;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};

use super::adapter::{CompletionRequest, DecodeError, Dialect, EmbeddingsRequest, HttpRequest, Unsupported, UnsupportedField};
use super::attempt::{Failure, Observer};
use super::error_body::{self, Asked};
use super::meter::Meter;
use super::relay::Relay;
use super::secrets::Secret;
use super::transport::{Tls, Transport};
use super::{Error, Limits, Mode, Phase};
use crate::chat::stream::{streamed, wants_usage};
use crate::chat::{ChunkWriter, Embed, Embedded, Exchange, Inputs, Name, Reply};
use receive::Opened;

/// One provider that is asked over HTTP.
pub(super) struct Provider {
    name: Arc<str>,
    /// What OpenTelemetry's conventions call its kind.
    system: &'static str,
    dialect: Box<dyn Dialect>,
    /// Keys are tokens of OAuth, which every vendor takes in the same header.
    bearer: bool,
    unsupported: Unsupported,
    transport: Transport,
    limits: Limits,
    /// The path of `base_url`, without a slash at its end.
    base_path: String,
    /// Those that every request has.
    headers: HeaderMap,
    observer: Arc<dyn Observer>,
}

/// What a provider is made of.
pub(super) struct ProviderParts<'a> {
    pub(super) name: &'a str,
    pub(super) system: &'static str,
    pub(super) base_url: &'a str,
    pub(super) dialect: Box<dyn Dialect>,
    pub(super) bearer: bool,
    pub(super) unsupported: Unsupported,
    pub(super) limits: Limits,
    pub(super) tls: Arc<Tls>,
    pub(super) observer: Arc<dyn Observer>,
}

/// One try: what is sent, and how the reply is wanted.
pub(super) struct Call<'a> {
    pub(super) model: &'a str,
    pub(super) key: Option<&'a Secret>,
    pub(super) exchange: &'a Exchange,
    pub(super) mode: Mode,
    /// Targets of the chain after this one.
    pub(super) others: u32,
}

impl Provider {
    /// # Errors
    /// `Unreachable` where `base_url` is no http or https URL.
    pub(super) fn new(making: ProviderParts<'_>) -> Result<Self, Error> {
        let ProviderParts { name, system, base_url, dialect, bearer, unsupported, limits, tls, observer } = making;
        let bad = |cause: String| Error::Unreachable { provider: name.to_owned(), cause };
        let base: Uri = base_url.parse().map_err(|error| bad(format!("its base_url `{base_url}` is no URL: {error}")))?;
        let provider: Arc<str> = name.into();
        let transport = Transport::new(Arc::clone(&provider), &base, &limits, tls)?;
        // The authority without a user's name, which is no part of a Host header.
        let host = base.authority().map_or("", |a| a.as_str()).rsplit('@').next().unwrap_or_default();
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|error| bad(error.to_string()))?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("cofferdam/", env!("CARGO_PKG_VERSION"))));
        let base_path = base.path().trim_end_matches('/').to_owned();
        Ok(Self { name: provider, system, dialect, bearer, unsupported, transport, limits, base_path, headers, observer })
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
        let name = self.reply_name(call.model);
        let ask = CompletionRequest {
            model: call.model,
            messages: &call.exchange.messages,
            params: &call.exchange.params,
            stream: call.mode == Mode::Stream,
            unsupported: self.unsupported,
            name: name.clone(),
        };
        let (wire, mut reading) = self.dialect.encode_chat(&ask).map_err(|unfit| self.unfit(unfit))?;
        let sent_bytes = wire.body.len();
        let request = self.request(wire, call.key)?;
        let meter = |tally| Meter::new(tally, Arc::clone(&self.observer), call.exchange, (&self.name, self.system), call.model, sent_bytes);
        let connection = within(end, self.transport.connection(), in_time).await?;
        if call.mode == Mode::Whole {
            let whole = within(end, self.whole(call.key, &mut reading, connection, request), in_time).await?;
            return Ok(Reply::Whole(whole.counted(meter)));
        }
        let writer = || ChunkWriter::new(name, wants_usage(call.exchange));
        let first = Instant::now() + self.limits.first_byte;
        let late = || if first < end { self.timeout(Phase::FirstByte, self.limits.first_byte) } else { in_time() };
        match within(first.min(end), self.open(call.key, reading, writer, meter, connection, request), late).await? {
            Opened::Events(begun) => Ok(Reply::PassThrough(Box::pin(Relay::new(Arc::clone(&self.name), *begun, self.limits.idle, end)))),
            Opened::Json(body, mut reading) => {
                let whole = within(end, self.read_whole(call.key, &mut reading, body), in_time).await?;
                let completion = whole.parsed().map_err(|invalid| self.garbled(invalid.message))?;
                whole.counted(meter);
                Ok(streamed(&completion, call.exchange))
            }
        }
    }

    /// Asks for vectors, within the total limit and `time`.
    pub(super) async fn embed(&self, model: &str, key: Option<&Secret>, embed: &Embed, time: Duration) -> Result<Embedded, Failure> {
        let (inputs, tokens) = match &embed.inputs {
            Inputs::Texts(texts) => (texts.as_slice(), None),
            Inputs::Tokens { json, .. } => (&[][..], Some(&**json)),
        };
        let ask = EmbeddingsRequest { model, inputs, tokens, dimensions: embed.dimensions, user: embed.user.as_deref() };
        let none = || Error::NoEmbeddings { provider: self.name.to_string() };
        let embeddings = self.dialect.embeddings().ok_or_else(none)?;
        let wire = embeddings.encode_embeddings(&ask).map_err(|unfit| self.unfit(unfit))?;
        let post = async {
            let request = self.request(wire, key)?;
            let connection = self.transport.connection().await?;
            let (_, body) = self.send(key, connection, request).await?;
            let bytes = self.read(body).await?;
            embeddings.decode_embeddings(embed.inputs.count(), &bytes).map_err(|bad| self.bad(key, bad))
        };
        let (time, phase) = if time <= self.limits.total { (time, Phase::Deadline) } else { (self.limits.total, Phase::Total) };
        within(Instant::now() + time, post, || self.timeout(phase, time)).await
    }

    /// What the reply is called where the vendor does not say.
    fn reply_name(&self, model: &str) -> Name {
        let id = format!("chatcmpl-{}", uuid::Uuid::now_v7().simple());
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Name { id, model: model.to_owned(), created }
    }

    fn request(&self, wire: HttpRequest, key: Option<&Secret>) -> Result<Request<Full<Bytes>>, Error> {
        let HttpRequest { path, headers, body } = wire;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}{path}", self.base_path).parse().map_err(|_| self.unreachable("its path makes no URL"))?;
        *request.headers_mut() = self.headers.clone();
        let key = key.map(Secret::expose).map(|key| match self.bearer {
            true => (header::AUTHORIZATION, format!("Bearer {key}")),
            false => self.dialect.credentials(key),
        });
        let secret = key.as_ref().map(|(name, _)| name.clone());
        for (name, value) in headers.into_iter().chain(key) {
            let mut value = HeaderValue::try_from(value).map_err(|_| self.unfit_header(&name))?;
            value.set_sensitive(secret.as_ref() == Some(&name));
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }

    fn unfit_header(&self, name: &HeaderName) -> Error {
        let what = if *name == header::AUTHORIZATION || name.as_str().contains("key") { "its key" } else { name.as_str() };
        self.unreachable(&format!("{what} holds characters that no HTTP header can carry"))
    }

    fn unfit(&self, UnsupportedField { param, message }: UnsupportedField) -> Error {
        Error::UnsupportedField {
            provider: self.name.to_string(),
            param: error_body::truncated(param),
            message: error_body::truncated(message),
        }
    }

    /// The failure for a reply that cannot be used.
    fn bad(&self, key: Option<&Secret>, bad: DecodeError) -> Failure {
        match bad {
            DecodeError::Error(status, words) => Failure { error: error_body::status_error(self.asked(key), status, words), in_band: true },
            DecodeError::Malformed(cause) => self.garbled(error_body::sanitized(&cause, key)).into(),
        }
    }

    fn asked<'a>(&'a self, key: Option<&'a Secret>) -> Asked<'a> {
        Asked { provider: &self.name, key }
    }

    fn garbled(&self, cause: impl Into<String>) -> Error {
        Error::InvalidReply { provider: self.name.to_string(), cause: cause.into() }
    }

    fn unreachable(&self, cause: &str) -> Error {
        Error::Unreachable { provider: self.name.to_string(), cause: cause.to_owned() }
    }

    fn timeout(&self, phase: Phase, limit: Duration) -> Error {
        Error::Timeout { provider: self.name.to_string(), phase, limit }
    }
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
