//! The one way from a plugin to another server. Each request, and each redirect of it, passes the same checks in the same order: is the
//! server granted, is every address of it allowed, may it have the secrets that the request refers to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body_util::Full;
use tokio::time::timeout;
use url::{Host, Position, Url};

use super::calls::Calls;
use super::connect::{Connect, Peer, Stream};
use super::error::Error;
use super::exchange::{Answer, exchange};
use super::headers::{self, is_of_reply};
use super::redirect::{Outgoing, target};
use super::resolve::Resolve;
use super::rules::{Rules, Server};
use super::secrets::{LookUp, Place, Sent, fill, refers};

/// Bytes of a URL.
const URL_MAX: usize = 8 << 10;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// What a plugin may ask with; the others are the host's or lead through proxies.
const METHODS: [Method; 7] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A plugin's request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
    /// None for the grant's own; a longer one is cut to it.
    pub time: Option<Duration>,
}

/// The reply, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case. A value that is no text has its other bytes replaced.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One plugin's grant, ready to be used.
pub struct Guard {
    rules: Rules,
    resolver: Arc<dyn Resolve>,
    connector: Arc<dyn Connect>,
    look_up: LookUp,
}

impl Guard {
    pub fn new(rules: Rules, resolver: Arc<dyn Resolve>, connector: Arc<dyn Connect>, look_up: LookUp) -> Self {
        Self { rules, resolver, connector, look_up }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Sends a request and follows its redirects. Any status is a reply. `place` is one among the plugin's `connections`: it is waited for within
    /// the request's time, and held until the reply is whole.
    ///
    /// # Errors
    /// As `Error` says.
    pub async fn send<P>(&self, calls: &Calls, place: impl Future<Output = P>, request: Request) -> Result<Response, Error> {
        let own = request.time.filter(|time| *time < self.rules.time);
        let time = own.unwrap_or(self.rules.time);
        let shown = humantime::format_duration(time);
        let late = |_| match own {
            Some(_) => Error::Timeout(format!("it took longer than the {shown} of the request")),
            None => Error::Timeout(format!("it took longer than {shown}, and `grants.http.time` allows no more")),
        };
        timeout(time, self.follow(calls, place, request)).await.map_err(late)?
    }

    async fn follow<P>(&self, calls: &Calls, place: impl Future<Output = P>, request: Request) -> Result<Response, Error> {
        let mut outgoing = read(request)?;
        let mut server = self.rules.server(&outgoing.url)?;
        // What is over its budget does not wait first.
        calls.count(&self.rules)?;
        let _place = place.await;
        let mut sent = Sent::default();
        let mut redirects = 0;
        loop {
            let answer = self.ask(calls, &server, &outgoing, &mut sent).await?;
            let location = answer.headers.get(header::LOCATION).map(HeaderValue::as_bytes);
            let to = if self.rules.redirects == 0 { None } else { target(answer.status, location, &outgoing.url)? };
            let Some(to) = to else { return reply(answer, &sent) };
            redirects += 1;
            if redirects > self.rules.redirects {
                let most = self.rules.redirects;
                return Err(Error::Exhausted(format!(
                    "it was redirected more than {most} times, and `grants.http.redirects` allows no more"
                )));
            }
            let next = self.rules.server(&to)?;
            calls.count(&self.rules)?;
            outgoing.follow(answer.status, to, &server, &next);
            server = next;
        }
    }

    async fn ask(&self, calls: &Calls, server: &Server, outgoing: &Outgoing, sent: &mut Sent) -> Result<Answer, Error> {
        let request = self.filled(server, outgoing, sent)?;
        let addresses = self.addresses(server).await?;
        calls.carry(&self.rules, outgoing.body.len())?;
        let stream = self.connect(server, &addresses).await?;
        exchange(stream, request, self.rules.response_bytes, &|bytes| calls.carry(&self.rules, bytes)).await
    }

    /// The request as it goes to this server, with its secrets.
    fn filled(&self, server: &Server, outgoing: &Outgoing, sent: &mut Sent) -> Result<http::Request<Full<Bytes>>, Error> {
        let unsendable = |what: &str| Error::Invalid(format!("{what} cannot be sent"));
        let mut request = http::Request::new(Full::default());
        *request.method_mut() = outgoing.method.clone();
        let path = &outgoing.url[Position::BeforePath..Position::AfterQuery];
        *request.uri_mut() = path.parse().map_err(|_| unsendable("the URL's path"))?;
        let own = request.headers_mut();
        own.insert(header::HOST, server.authority().parse().map_err(|_| unsendable("the URL's host"))?);
        own.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        own.insert(header::USER_AGENT, HeaderValue::from_static(concat!("cofferdam-plugin/", env!("CARGO_PKG_VERSION"))));
        // The first of the plugin's own takes its place.
        let names_itself = outgoing.headers.iter().any(|line| line.name == header::USER_AGENT);
        if names_itself {
            own.remove(header::USER_AGENT);
        }
        for line in &outgoing.headers {
            let value = fill(&line.value, Place::Header, &self.rules, server, &self.look_up, sent)?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| unsendable(&format!("the header `{}`", line.name)))?;
            value.set_sensitive(true);
            request.headers_mut().append(line.name.clone(), value);
        }
        let body = match std::str::from_utf8(&outgoing.body) {
            Ok(text) if refers(text.as_bytes()) => {
                fill(text, Place::Body, &self.rules, server, &self.look_up, sent)?.into_owned().into_bytes()
            }
            _ => outgoing.body.clone(),
        };
        let most = self.rules.request_bytes;
        if body.len() > most {
            return Err(Error::Exhausted(format!(
                "the request's body has {} bytes, and `grants.http.request_bytes` allows {most}",
                body.len()
            )));
        }
        *request.body_mut() = Full::new(body.into());
        Ok(request)
    }

    /// The addresses of the server that may be asked, at least one.
    async fn addresses(&self, server: &Server) -> Result<Vec<IpAddr>, Error> {
        let name = match &server.host {
            Host::Ipv4(address) => return self.rules.address(server, (*address).into()).map(|()| vec![(*address).into()]),
            Host::Ipv6(address) => return self.rules.address(server, (*address).into()).map(|()| vec![(*address).into()]),
            Host::Domain(name) => name,
        };
        let unknown = |why: &str| Error::Unreachable(format!("the host `{name}` cannot be found: {why}"));
        let found = self.resolver.resolve(name).await.map_err(|error| unknown(&error.to_string()))?;
        let mut refused = unknown("it has no address");
        let mut allowed = Vec::new();
        for address in found.into_iter().take(ADDRESSES_MAX) {
            match self.rules.address(server, address) {
                Ok(()) => allowed.push(address),
                Err(why) => refused = why,
            }
        }
        if allowed.is_empty() { Err(refused) } else { Ok(allowed) }
    }

    async fn connect(&self, server: &Server, addresses: &[IpAddr]) -> Result<Box<dyn Stream>, Error> {
        let certified = server.certified();
        let mut failed = None;
        for address in addresses {
            let peer = Peer { address: SocketAddr::new(*address, server.port), tls: server.https.then_some(&certified) };
            match self.connector.connect(peer).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(error),
            }
        }
        let why = failed.map_or_else(String::new, |error| format!(": {error}"));
        Err(Error::Unreachable(format!("`{}` cannot be reached{why}", server.host)))
    }
}

/// # Errors
/// `Invalid`.
fn read(request: Request) -> Result<Outgoing, Error> {
    let Request { method, url, headers, body, .. } = request;
    let method = METHODS.into_iter().find(|known| known.as_str() == method);
    let method = method.ok_or_else(|| Error::Invalid("the method must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS".into()))?;
    if url.len() > URL_MAX {
        return Err(Error::Invalid(format!("a URL has at most {URL_MAX} bytes")));
    }
    if refers(url.as_bytes()) {
        return Err(Error::Invalid("a secret goes into a header or a body; URLs stand in the logs of servers".into()));
    }
    let url = Url::parse(&url).map_err(|error| Error::Invalid(format!("the URL makes no sense: {error}")))?;
    Ok(Outgoing { method, url, headers: headers::read(headers)?, body })
}

/// What the plugin gets of an answer.
fn reply(answer: Answer, sent: &Sent) -> Result<Response, Error> {
    let Answer { status, headers, body } = answer;
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let encoded = codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded && !sent.is_empty() {
        return Err(Error::Unreachable("the reply came compressed though that was not asked for, and may hold a secret".into()));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(&sent.redact(bytes.to_vec())).into_owned();
    let header = |(name, value): (&header::HeaderName, &HeaderValue)| (text(name.as_str().as_bytes()), text(value.as_bytes()));
    let headers = headers.iter().filter(|(name, _)| is_of_reply(name)).map(header).collect();
    Ok(Response { status: status.as_u16(), headers, body: sent.redact(body) })
}
