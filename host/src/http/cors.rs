//! Which web pages may call `/v1` from a browser (`http.cors_origins`), and the headers by which the browser knows.
//! Invariant: a page whose origin is not listed is given no header, so its browser keeps the answer from it.
//! Source: the Fetch standard, "CORS protocol"; Private Network Access.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    VARY,
};

/// Origins that `http.cors_origins` may list; each answer to a page compares its origin with all of them.
pub const ORIGINS_MAX: usize = 64;

/// What a page may read of an answer beside its body: all headers that this server adds and that a client may act on.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, x-cofferdam-provider, x-cofferdam-model, x-cofferdam-attempts, x-cofferdam-skipped, retry-after, x-should-retry, \
     x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
     x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens",
);

/// Seconds for which a browser need not ask again; Chromium keeps no answer for longer than two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Bytes of requested header names that are echoed. The official client sends a dozen `x-stainless-*`, half a kilobyte of names.
const REQUESTED_BYTES_MAX: usize = 4 << 10;

/// Sent for a page of a public site that calls a server on the user's own machine or network.
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The origins whose pages may call `/v1`; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    listed: Vec<HeaderValue>,
    /// `"*"` is listed.
    any: bool,
}

impl Origins {
    /// Those and one more: `"*"`, or an origin as browsers send it.
    ///
    /// # Errors
    /// What is wrong with the text, and the remedy.
    pub fn with(mut self, origin: &str) -> Result<Self, String> {
        if origin == "*" {
            self.any = true;
            return Ok(self);
        }
        check(origin)?;
        let value = HeaderValue::from_str(origin).map_err(|_| "must be plain text".to_owned())?;
        if self.listed.contains(&value) {
            return Err("stands twice".into());
        }
        self.listed.push(value);
        Ok(self)
    }

    /// Whether every page of the world may call.
    pub fn any(&self) -> bool {
        self.any
    }

    /// As they were written, `"*"` first.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.any.then_some("*").into_iter().chain(self.listed.iter().filter_map(|origin| origin.to_str().ok()))
    }

    fn is_empty(&self) -> bool {
        !self.any && self.listed.is_empty()
    }

    pub(super) fn allow(&self, origin: &HeaderValue) -> bool {
        self.any || self.listed.contains(origin)
    }

    /// The request's origin, if its pages may call.
    fn listed_origin<'a>(&self, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
        if self.is_empty() {
            return None;
        }
        let mut origins = request.get_all(ORIGIN).iter();
        origins.next().filter(|origin| self.allow(origin) && origins.next().is_none())
    }

    /// Adds the headers that let a listed page read the answer. `vary` is there whoever asked, because caches must keep answers apart by origin.
    pub(super) fn open(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        if self.is_empty() {
            return;
        }
        if let Some(origin) = self.listed_origin(request) {
            self.name_origin(origin, answer);
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        answer.append(VARY, HeaderValue::from_static("origin"));
    }

    /// The headers of the answer to a browser that asks on behalf of a listed page whether it may send a request; none if the request is no
    /// such question. `allowed` are the path's methods, as `Allow` lists them.
    pub(super) fn preflight(&self, request: &HeaderMap, allowed: &str) -> Option<HeaderMap> {
        let origin = self.listed_origin(request)?;
        request.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut headers = HeaderMap::new();
        self.name_origin(origin, &mut headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_str(allowed).expect("methods are plain words"));
        // Echoed as they were requested: keys guard the server, names of headers do not.
        let requested = request.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|names| names.len() <= REQUESTED_BYTES_MAX);
        if let Some(names) = requested {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        if request.get(REQUEST_PRIVATE_NETWORK).is_some_and(|value| value == "true") {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        headers.insert(VARY, HeaderValue::from_static("origin, access-control-request-headers, access-control-request-private-network"));
        Some(headers)
    }

    fn name_origin(&self, origin: &HeaderValue, answer: &mut HeaderMap) {
        let named = if self.any { HeaderValue::from_static("*") } else { origin.clone() };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, named);
    }
}

/// Whether that is an origin exactly as a browser sends it, for it is compared byte for byte.
fn check(origin: &str) -> Result<(), String> {
    let form = || "must be an origin such as \"https://chat.example\" or \"http://localhost:3000\", or \"*\"".to_owned();
    let (scheme, authority) = origin.split_once("://").ok_or_else(form)?;
    if let Some((authority, _)) = authority.split_once(['/', '?', '#']) {
        return Err(format!("must end after the host and port: \"{scheme}://{authority}\""));
    }
    if origin.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("must be in lower case, as browsers send it: \"{}\"", origin.to_ascii_lowercase()));
    }
    let named = |scheme: &str| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) && !scheme.is_empty();
    let parsed = authority.parse::<http::uri::Authority>().map_err(|_| form())?;
    if !named(scheme) || parsed.host().is_empty() || authority.contains(['@', '*']) {
        return Err(form());
    }
    let default = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    match parsed.port() {
        None if authority.ends_with(':') => Err(form()),
        Some(port) if default == Some(port.as_u16()) => {
            Err(format!("must leave out the port, as browsers do for the scheme's own: \"{scheme}://{}\"", parsed.host()))
        }
        // A port that is none is no port to the parser.
        None if authority.len() > parsed.host().len() => Err(form()),
        Some(port) if port.as_str() != port.as_u16().to_string() => Err(form()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(texts: &[&str]) -> Origins {
        texts.iter().try_fold(Origins::default(), |origins, text| origins.with(text)).expect("origins")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
    }

    fn shown(headers: &HeaderMap, name: &str) -> Option<String> {
        headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn an_origin_is_taken_as_browsers_send_it_and_another_text_names_the_remedy() {
        for origin in
            ["https://chat.example", "http://localhost:3000", "http://[::1]:8000", "chrome-extension://abcdef", "tauri://localhost", "*"]
        {
            assert!(Origins::default().with(origin).is_ok(), "{origin}");
        }
        for (origin, remedy) in [
            ("chat.example", "\"https://chat.example\""),
            ("", "\"https://chat.example\""),
            ("null", "\"https://chat.example\""),
            ("https://", "\"https://chat.example\""),
            ("https://*.example", "\"https://chat.example\""),
            ("https://me@chat.example", "\"https://chat.example\""),
            ("https://chat.example:", "\"https://chat.example\""),
            ("https://chat.example:abc", "\"https://chat.example\""),
            ("https://chat.example:99999", "\"https://chat.example\""),
            ("https://chat.example:08443", "\"https://chat.example\""),
            ("https://chat .example", "\"https://chat.example\""),
            ("https://bücher.example", "\"https://chat.example\""),
            ("https://a.example/", "\"https://a.example\""),
            ("https://a.example/app?x", "\"https://a.example\""),
            ("https://A.example", "\"https://a.example\""),
            ("https://a.example:443", "\"https://a.example\""),
            ("http://a.example:80", "\"http://a.example\""),
        ] {
            let refused = Origins::default().with(origin).expect_err(origin);
            assert!(refused.contains(remedy), "{origin}: {refused}");
        }
        assert_eq!(origins(&["https://a.example"]).with("https://a.example"), Err("stands twice".into()));
    }

    #[test]
    fn a_listed_page_may_read_the_answer_and_no_other() {
        let listed = origins(&["https://a.example", "http://b.example:1"]);
        let mut answer = HeaderMap::new();
        listed.open(&headers(&[("origin", "http://b.example:1")]), &mut answer);
        assert_eq!(shown(&answer, "access-control-allow-origin").as_deref(), Some("http://b.example:1"));
        assert_eq!(shown(&answer, "vary").as_deref(), Some("origin"));
        assert!(shown(&answer, "access-control-expose-headers").expect("a list").contains("x-request-id"));
        for request in [headers(&[("origin", "http://b.example")]), headers(&[("origin", "null")]), headers(&[])] {
            let mut answer = HeaderMap::new();
            listed.open(&request, &mut answer);
            assert_eq!((answer.len(), shown(&answer, "vary").as_deref()), (1, Some("origin")), "{request:?}");
            let mut answer = HeaderMap::new();
            Origins::default().open(&request, &mut answer);
            assert!(answer.is_empty(), "off by default");
        }
    }

    #[test]
    fn a_star_lets_every_page_read() {
        let mut answer = HeaderMap::new();
        origins(&["*"]).open(&headers(&[("origin", "null")]), &mut answer);
        assert_eq!(shown(&answer, "access-control-allow-origin").as_deref(), Some("*"));
    }

    #[test]
    fn a_preflight_is_answered_for_listed_pages_with_what_was_asked_for() {
        let listed = origins(&["https://a.example"]);
        let ask = |pairs: &[(&'static str, &str)]| listed.preflight(&headers(pairs), "GET, HEAD");
        let asked = [
            ("origin", "https://a.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,x-stainless-os"),
            ("access-control-request-private-network", "true"),
        ];
        let answer = ask(&asked).expect("an answer");
        let header = |name| shown(&answer, name);
        assert_eq!(header("access-control-allow-origin").as_deref(), Some("https://a.example"));
        assert_eq!(header("access-control-allow-methods").as_deref(), Some("GET, HEAD"));
        assert_eq!(header("access-control-allow-headers").as_deref(), Some("authorization,x-stainless-os"));
        assert_eq!(header("access-control-allow-private-network").as_deref(), Some("true"));
        assert_eq!(header("access-control-max-age").as_deref(), Some("7200"));
        assert!(header("vary").expect("a list").starts_with("origin"));
        assert!(ask(&asked[..1]).is_none(), "a plain OPTIONS asks nothing");
        assert!(ask(&asked[1..]).is_none(), "no page asks");
        assert!(ask(&[("origin", "https://b.example"), asked[1]]).is_none());
        let plain = ask(&asked[..2]).expect("an answer");
        assert_eq!(shown(&plain, "access-control-allow-headers"), None);
        assert_eq!(shown(&plain, "access-control-allow-private-network"), None);
    }

    #[test]
    fn requested_headers_are_echoed_up_to_their_edge() {
        let listed = origins(&["https://a.example"]);
        for (bytes, echoed) in [(REQUESTED_BYTES_MAX, true), (REQUESTED_BYTES_MAX + 1, false)] {
            let names = "x".repeat(bytes);
            let request = headers(&[
                ("origin", "https://a.example"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", &names),
            ]);
            let answer = listed.preflight(&request, "POST").expect("an answer");
            assert_eq!(answer.contains_key(ACCESS_CONTROL_ALLOW_HEADERS), echoed);
        }
    }
}
