//! What a redirect asks for, as browsers and `fetch` understand it. Where it leads is checked like any other URL; it never leads from https
//! to http, and what proves who asks stays with the server that it was meant for.

use http::{Method, StatusCode, header};
use url::Url;

use super::error::Error;
use super::headers::{Line, makes_repeatable};
use super::kept::UnderSettings;
use super::rules::Server;
use super::secrets::refers;

/// The request, as it goes to one server after the other.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<Line>,
    pub(super) body: Vec<u8>,
    pub(super) settings: UnderSettings,
}

/// Where a reply leads to; none if it is no redirect.
pub(super) fn target(status: StatusCode, location: Option<&[u8]>, from: &Url) -> Result<Option<Url>, Error> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = location else { return Ok(None) };
    let location = std::str::from_utf8(location).ok().and_then(|location| from.join(location).ok());
    let to = location.ok_or_else(|| Error::Unreachable("the server redirects to what is no URL".into()))?;
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(Error::Denied("the server redirects from https to what is not https, which is never followed".into()));
    }
    Ok(Some(to))
}

impl Outgoing {
    /// Whether the server may get it twice, if nobody can tell whether it got it once.
    pub(super) fn may_be_repeated(&self) -> bool {
        let idempotent = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE];
        idempotent.contains(&self.method) || self.headers.iter().any(|line| makes_repeatable(&line.name))
    }

    /// The request to the place where it was sent on to.
    pub(super) fn follow(&mut self, status: StatusCode, to: Url, from: &Server, next: &Server) {
        let becomes_get = match status {
            StatusCode::SEE_OTHER => !matches!(self.method, Method::GET | Method::HEAD),
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = Vec::new();
            self.headers.retain(|line| !line.name.as_str().starts_with("content-"));
        }
        if from != next {
            let proves = [header::AUTHORIZATION, header::COOKIE];
            self.headers.retain(|line| !proves.contains(&line.name) && !refers(line.value.as_bytes()));
        }
        self.url = to;
    }
}
