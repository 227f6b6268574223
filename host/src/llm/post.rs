//! POSTs to one URL that is no model's: a token endpoint, a collector of telemetry. Bodies are whole and small in both directions.
//! Nothing is sent twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use super::error::{Error, Phase};
use super::limits::Limits;
use super::secrets::Secret;
use super::transport::{Tls, Transport};

/// Bytes of an answer that are read; tokens and the answers of collectors are some KiB.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Posts to one URL.
pub struct Post {
    name: Arc<str>,
    transport: Transport,
    path: Uri,
    headers: HeaderMap,
}

impl Post {
    /// `name`: what errors call the other side.
    ///
    /// # Errors
    /// `Unreachable` if `url` is no http or https URL.
    pub fn new(name: &str, url: &str, limits: &Limits) -> Result<Self, Error> {
        Self::with_tls(name, url, limits, Arc::default())
    }

    /// As `new`, with trusted roots that may be in memory already.
    ///
    /// # Errors
    /// As `new`.
    pub(super) fn with_tls(name: &str, url: &str, limits: &Limits, tls: Arc<Tls>) -> Result<Self, Error> {
        let invalid = |cause: String| Error::Unreachable { provider: name.to_owned(), cause };
        let uri: Uri = url.parse().map_err(|error| invalid(format!("`{url}` is no URL: {error}")))?;
        let name: Arc<str> = name.into();
        let transport = Transport::new(Arc::clone(&name), &uri, limits, tls)?;
        let host = uri.authority().map_or("", |a| a.as_str()).rsplit('@').next().unwrap_or_default();
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|error| invalid(error.to_string()))?);
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("cofferdam/", env!("CARGO_PKG_VERSION"))));
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).parse().expect("the path of a URL");
        Ok(Self { name, transport, path, headers })
    }

    /// Adds headers to every request: `name=value` pairs between commas, with percent-encoded values, as OpenTelemetry's exporters take them
    /// from `OTEL_EXPORTER_OTLP_HEADERS`.
    ///
    /// # Errors
    /// What is wrong with the form of the secret; never its value.
    pub fn with_headers(mut self, headers: &Secret) -> Result<Self, &'static str> {
        for pair in headers.expose().split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("is no list of `name=value` pairs")?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| "holds what is no header's name")?;
            let decoded = percent_decoded(value.trim()).ok_or("has a `%` without two hex digits behind it")?;
            let mut value = HeaderValue::from_bytes(&decoded).map_err(|_| "holds what no header can carry")?;
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        Ok(self)
    }

    /// Adds a key to every request, as servers of our kind take it.
    ///
    /// # Errors
    /// What is wrong with the form of the secret; never its value.
    pub fn with_bearer(mut self, key: &Secret) -> Result<Self, &'static str> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| "holds what no header can carry")?;
        value.set_sensitive(true);
        self.headers.insert(header::AUTHORIZATION, value);
        Ok(self)
    }

    /// The status and the beginning of the answer, within `time`.
    ///
    /// # Errors
    /// `Unreachable` and `Timeout`.
    pub async fn send(&self, content_type: &str, body: Bytes, time: Duration) -> Result<(u16, Bytes), Error> {
        let late = |_| Error::Timeout { provider: self.name.to_string(), phase: Phase::Total, limit: time };
        timeout(time, self.exchange(content_type, body)).await.map_err(late)?
    }

    async fn exchange(&self, content_type: &str, body: Bytes) -> Result<(u16, Bytes), Error> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).expect("a media type"));
        let connection = self.transport.connection().await?;
        let (head, mut body) = self.transport.send(connection, request, &mut false).await?.into_parts();
        let mut answer = BytesMut::new();
        while let Some(read) = body.data().await {
            let read = read.map_err(|error| self.transport.unreachable(&error))?;
            answer.extend_from_slice(&read[..read.len().min(ANSWER_BYTES_MAX - answer.len())]);
            if answer.len() == ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok((head.status.as_u16(), answer.freeze()))
    }
}

/// None if a `%` has no two hex digits behind it, which a decoder of URLs would let pass as it is.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    text.split('%').skip(1).all(is_escape).then(|| percent_decode_str(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> Result<Vec<(String, Vec<u8>)>, &'static str> {
        let post = Post::new("c", "http://127.0.0.1:1/v1/traces", &Limits::default()).unwrap();
        let post = post.with_headers(&Secret::new(text).unwrap())?;
        Ok(post.headers.iter().skip(3).map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }

    #[test]
    fn headers_are_pairs_between_commas() {
        let expected = [("authorization".to_owned(), b"Basic a=b,".to_vec()), ("x-team".to_owned(), b"7".to_vec())];
        assert_eq!(headers("Authorization=Basic%20a=b%2C , X-Team = 7,\n"), Ok(expected.to_vec()));
        for (text, why) in [
            ("Basic", "is no list of `name=value` pairs"),
            ("a b=c", "holds what is no header's name"),
            ("a=%2", "has a `%` without two hex digits behind it"),
            ("a=%zz", "has a `%` without two hex digits behind it"),
            ("a=%0A", "holds what no header can carry"),
        ] {
            assert_eq!(headers(text), Err(why), "{text}");
        }
    }
}
