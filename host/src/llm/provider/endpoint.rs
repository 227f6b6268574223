//! One provider's API over HTTP: how a request to it is written, what its errors are called, and what sends and reads.
//! A key is in one header of a request, which is marked as sensitive, and in nothing else here.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};

use crate::llm::adapter::{DecodeError, Dialect, HttpRequest, UnsupportedField};
use crate::llm::attempt::Failure;
use crate::llm::config::{Kind, ProviderConfig};
use crate::llm::error::{Error, Phase};
use crate::llm::error_body::{self, Asked};
use crate::llm::limits::Limits;
use crate::llm::received::ReplyMemory;
use crate::llm::secrets::Secret;
use crate::llm::transport::{Tls, Transport};

/// Where a provider is and how it speaks.
pub(super) struct Endpoint {
    pub(super) name: Arc<str>,
    /// OpenTelemetry's name of the provider's kind.
    pub(super) system: &'static str,
    pub(super) dialect: Box<dyn Dialect>,
    pub(super) transport: Transport,
    pub(super) limits: Limits,
    /// What all providers' replies may hold.
    pub(super) memory: ReplyMemory,
    /// Keys are tokens of OAuth, which every vendor takes in the same header.
    bearer: bool,
    /// The path of `base_url`, without a slash at its end.
    base_path: String,
    /// It is a server of OpenAI's form at the root of its host, where most of them are not.
    at_root: bool,
    /// The headers of every request.
    headers: HeaderMap,
}

impl Endpoint {
    /// # Errors
    /// `Unreachable` if `base_url` is no http or https URL.
    pub(super) fn new(
        name: &str,
        entry: &ProviderConfig,
        dialect: Box<dyn Dialect>,
        limits: &Limits,
        (memory, tls): (&ReplyMemory, &Arc<Tls>),
    ) -> Result<Self, Error> {
        let base_url = &entry.base_url;
        let invalid = |cause: String| Error::Unreachable { provider: name.to_owned(), cause };
        let base: Uri = base_url.parse().map_err(|error| invalid(format!("its base_url `{base_url}` is no URL: {error}")))?;
        let provider: Arc<str> = name.into();
        let transport = Transport::new(Arc::clone(&provider), &base, limits, Arc::clone(tls))?;
        // The authority without a user's name, which is no part of a Host header.
        let host = base.authority().map_or("", |a| a.as_str()).rsplit('@').next().unwrap_or_default();
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|error| invalid(error.to_string()))?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("cofferdam/", env!("CARGO_PKG_VERSION"))));
        Ok(Self {
            name: provider,
            system: entry.kind().system(),
            dialect,
            transport,
            limits: limits.clone(),
            memory: memory.clone(),
            bearer: entry.oauth.is_some(),
            base_path: single_slashes(base.path().trim_end_matches('/')),
            at_root: entry.kind() == Kind::OpenAi && base.path().trim_end_matches('/').is_empty(),
            headers,
        })
    }

    /// The HTTP request for what the dialect wrote, with this key.
    ///
    /// # Errors
    /// `Unreachable` if the key or a header holds what no header can carry, or the path makes no URL.
    pub(super) fn request(&self, wire: HttpRequest, key: Option<&Secret>) -> Result<Request<Full<Bytes>>, Error> {
        let HttpRequest { path, headers, body } = wire;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}{path}", self.base_path).parse().map_err(|_| self.unreachable("its path makes no URL"))?;
        *request.headers_mut() = self.headers.clone();
        let credentials = key.map(Secret::expose).map(|key| match self.bearer {
            true => (header::AUTHORIZATION, format!("Bearer {key}")),
            false => self.dialect.credentials(key),
        });
        let sensitive = credentials.as_ref().map(|(name, _)| name.clone());
        for (name, value) in headers.into_iter().chain(credentials) {
            let mut value = HeaderValue::try_from(value).map_err(|_| self.invalid_header(&name))?;
            value.set_sensitive(sensitive.as_ref() == Some(&name));
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }

    /// Tells the operator why a path may not be there.
    pub(super) fn hint_at_404(&self, status: StatusCode) {
        if status == StatusCode::NOT_FOUND && self.at_root {
            let provider = &*self.name;
            tracing::warn!(
                llm.provider = provider,
                "provider `{provider}` answered 404, and its base_url has no path; most servers that speak OpenAI's API want `/v1` at its end"
            );
        }
    }

    fn invalid_header(&self, name: &HeaderName) -> Error {
        let what = if *name == header::AUTHORIZATION || name.as_str().contains("key") { "its key" } else { name.as_str() };
        self.unreachable(&format!("{what} holds characters that no HTTP header can carry"))
    }

    /// The error for a field that the dialect cannot express.
    pub(super) fn unsupported_field(&self, UnsupportedField { param, message }: UnsupportedField) -> Error {
        Error::UnsupportedField {
            provider: self.name.to_string(),
            param: error_body::truncated(param),
            message: error_body::truncated(message),
        }
    }

    /// The failure for a reply that the dialect could not read, or that holds an error.
    pub(super) fn failure(&self, key: Option<&Secret>, error: DecodeError) -> Failure {
        match error {
            DecodeError::Error(status, error) => Failure { error: error_body::status_error(self.asked(key), status, error), in_band: true },
            DecodeError::Malformed(cause) => self.invalid_reply(error_body::sanitized(&cause, key)).into(),
        }
    }

    pub(super) fn asked<'a>(&'a self, key: Option<&'a Secret>) -> Asked<'a> {
        Asked { provider: &self.name, key }
    }

    pub(super) fn invalid_reply(&self, cause: impl Into<String>) -> Error {
        Error::InvalidReply { provider: self.name.to_string(), cause: cause.into() }
    }

    pub(super) fn overloaded(&self) -> Error {
        Error::Overloaded { provider: self.name.to_string() }
    }

    fn unreachable(&self, cause: &str) -> Error {
        Error::Unreachable { provider: self.name.to_string(), cause: cause.to_owned() }
    }

    pub(super) fn timeout(&self, phase: Phase, limit: Duration) -> Error {
        Error::Timeout { provider: self.name.to_string(), phase, limit }
    }
}

/// A path without empty segments, which servers answer with 404; those behind a colon belong to a URL within the path, as some proxies have it.
fn single_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') || out.ends_with(":/") {
            out.push(c);
        }
    }
    out
}

/// `future`'s result, or the error `late` if `end` comes first.
pub(super) async fn within<T, E: Into<Failure>>(
    end: Instant,
    future: impl Future<Output = Result<T, E>>,
    late: impl Fn() -> Error,
) -> Result<T, Failure> {
    match timeout_at(end, future).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(late().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::single_slashes;

    #[test]
    fn doubled_slashes_of_a_base_url_are_one() {
        for (path, expected) in [
            ("", ""),
            ("/v1", "/v1"),
            ("//v1", "/v1"),
            ("/a///v1", "/a/v1"),
            ("/https://h/v1", "/https://h/v1"),
            ("/https:////h", "/https://h"),
        ] {
            assert_eq!(single_slashes(path), expected);
        }
    }
}
