//! Requests to other servers, within what the operator granted: `http = { hosts = ["api.example.com"] }` under `[plugins.NAME.grants]`.
//!
//! ```no_run
//! use cofferdam_guest::{Changes, HookError, Plugin, PreOutcome, Request, http};
//!
//! /// Asks a server for the weather and writes it to the metadata.
//! struct Weather;
//!
//! impl Plugin for Weather {
//!     fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
//!         let response = http::get("https://api.example.com/weather?city=Bremen")
//!             .header("authorization", "Bearer {{secret:WEATHER_KEY}}")
//!             .timeout_ms(800)
//!             .send()?;
//!         if !response.is_success() {
//!             return Err(format!("the weather is not to be had: status {}", response.status()).into());
//!         }
//!         Ok(Changes::new().metadata("weather", response.text()?).into())
//!     }
//! }
//!
//! cofferdam_guest::export!(Weather: pre_hook);
//! ```
//!
//! Where a header or a body of text holds `{{secret:NAME}}`, the host puts in the operator's secret on the way to the hosts that may have it. The
//! plugin never sees it: what comes back is searched for it. [`Request::json`] writes values so that no text of a user is taken for a reference.

use crate::bindings::imports::cofferdam::hooks::http as wire;
use crate::bindings::imports::cofferdam::hooks::shapes::Data;
pub use crate::bindings::imports::cofferdam::hooks::shapes::Failure;

/// A request on its way to be sent.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request(wire::Request);

/// A reply, whole. Any status is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Response(wire::Response);

/// A GET of that URL.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A POST to that URL; give it a body.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// Sends all at the same time; the replies are in the requests' order.
pub fn send_all(requests: impl IntoIterator<Item = Request>) -> Vec<Result<Response, Failure>> {
    let requests: Vec<wire::Request> = requests.into_iter().map(|request| request.0).collect();
    source::send_all(&requests).into_iter().map(|sent| sent.map(Response)).collect()
}

impl Request {
    /// `method` is GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self(wire::Request { method, url, headers: Vec::new(), body: Data::Text(String::new()), timeout_ms: None })
    }

    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.headers.push(wire::Header { name: name.into(), value: value.into() });
        self
    }

    /// A body of text. References to secrets in it are filled in, so text of others does not belong here.
    pub fn text(mut self, body: impl Into<String>) -> Self {
        self.0.body = Data::Text(body.into());
        self
    }

    /// A body of bytes.
    pub fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = Data::Bytes(body.into());
        self
    }

    /// A value as a body of JSON. What looks like a reference to a secret stays the text that it is.
    ///
    /// # Errors
    /// The value has no JSON, e.g. a map whose keys are no strings.
    #[cfg(feature = "serde")]
    pub fn json(self, value: &impl serde::Serialize) -> Result<Self, crate::HookError> {
        let json = crate::Json::of(value)?;
        // Two braces in a row stand in a string, where each may be written as an escape.
        let body = json.as_str().replace("{{secret:", "{\\u007bsecret:");
        Ok(self.header("content-type", "application/json").text(body))
    }

    /// In place of the grant's `time`, which is never exceeded.
    pub fn timeout_ms(mut self, ms: u32) -> Self {
        self.0.timeout_ms = Some(ms);
        self
    }

    /// Sends it and waits for the whole reply; redirects are followed within the grant.
    ///
    /// # Errors
    /// Why there is no reply; `?` makes it a [`HookError`](crate::HookError).
    pub fn send(self) -> Result<Response, Failure> {
        source::send(&self.0).map(Response)
    }
}

impl Response {
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// Whether the status is one from 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.0.status)
    }

    /// The first header of that name, in any case of letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }

    /// All headers; names are in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.headers.iter().map(|header| (header.name.as_str(), header.value.as_str()))
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0.body {
            Data::Text(text) => text.as_bytes(),
            Data::Bytes(bytes) => bytes,
        }
    }

    /// # Errors
    /// The body is no UTF-8.
    pub fn text(&self) -> Result<&str, crate::HookError> {
        match &self.0.body {
            Data::Text(text) => Ok(text),
            Data::Bytes(_) => Err("the reply is no text".into()),
        }
    }

    /// The body as a value of the plugin's own type.
    ///
    /// # Errors
    /// The body is no JSON, or does not fit the type.
    #[cfg(feature = "serde")]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, crate::HookError> {
        serde_json::from_slice(self.bytes()).map_err(|error| format!("the reply does not fit: {error}").into())
    }
}

#[cfg(target_family = "wasm")]
use wire as source;

/// What a test says that servers answer.
#[cfg(not(target_family = "wasm"))]
mod source {
    use super::{Failure, Request, wire};

    pub(super) fn send(request: &wire::Request) -> Result<wire::Response, Failure> {
        crate::testing::answer_http(&Request(request.clone())).map(|response| response.0)
    }

    pub(super) fn send_all(requests: &[wire::Request]) -> Vec<Result<wire::Response, Failure>> {
        requests.iter().map(send).collect()
    }
}

#[cfg(not(target_family = "wasm"))]
impl Request {
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.method
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The first header of that name, as the plugin wrote it.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.0.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }

    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &self.0.body {
            Data::Text(text) => text.as_bytes(),
            Data::Bytes(bytes) => bytes,
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl Response {
    /// A reply for a test to answer with.
    #[must_use]
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self(wire::Response { status, headers: Vec::new(), body: Data::Text(body.into()) })
    }

    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push(wire::Header { name: name.to_ascii_lowercase(), value: value.into() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_request_is_what_was_written_and_a_reply_what_was_answered() {
        testing::set_http(|request| {
            assert_eq!((request.method(), request.url(), request.body()), ("POST", "https://a.b/c", &b"text"[..]));
            assert_eq!(request.header_value("X-One"), Some("1"));
            Ok(Response::new(404, "{\"a\": 1}").with_header("X-Two", "2"))
        });
        let response = post("https://a.b/c").header("x-one", "1").text("text").send().unwrap();
        assert_eq!((response.status(), response.is_success(), response.text().unwrap()), (404, false, "{\"a\": 1}"));
        assert_eq!((response.header("x-TWO"), response.header("none")), (Some("2"), None));
        assert_eq!(response.headers().collect::<Vec<_>>(), [("x-two", "2")]);
        assert_eq!(send_all([post("https://a.b/c").header("x-one", "1").bytes(*b"text")]).len(), 1);
    }

    #[test]
    fn a_failure_is_an_error_of_the_hook() {
        testing::set_http(|_| Err(Failure::Denied("`grants.http.hosts`".into())));
        let ask = || -> Result<(), crate::HookError> {
            get("https://a.b").timeout_ms(5).send()?;
            Ok(())
        };
        assert!(matches!(ask(), Err(crate::HookError::Unavailable(why)) if why.contains("hosts")));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn json_goes_both_ways_and_no_text_in_it_refers_to_a_secret() {
        testing::set_http(|request| {
            let body = std::str::from_utf8(request.body()).unwrap();
            assert!(!body.contains("{{secret:"), "{body}");
            assert_eq!(request.header_value("content-type"), Some("application/json"));
            Ok(Response::new(200, body))
        });
        let value = serde_json::json!({"text": "{{secret:KEY}} {{{secret:KEY}}}", "{{secret:KEY}}": {"a": {"b": 1}}});
        let echoed: serde_json::Value = post("https://a.b").json(&value).unwrap().send().unwrap().json().unwrap();
        assert_eq!(echoed, value);
        assert!(post("https://a.b").json(&std::collections::BTreeMap::from([((1, 2), 3)])).is_err());
        testing::set_http(|_| Ok(Response::new(200, "no JSON")));
        assert!(get("https://a.b").send().unwrap().json::<u32>().is_err());
    }
}
