//! The one way from a plugin to another server. Each request, and each redirect of it, passes the same checks in the same order: is the
//! server granted, is every address of it allowed, may it have the secrets that the request refers to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use tokio::time::{sleep, timeout};
use url::{Host, Position, Url};

use super::calls::Calls;
use super::connect::{Connect, Peer, Stream};
use super::error::Error;
use super::exchange::{Answer, Connection, Failed};
use super::headers::{self, is_of_reply};
use super::hidden::Hider;
use super::kept::{Kept, UnderSettings, Way};
use super::redirect::{Outgoing, target};
use super::replies::Held;
use super::resolve::Resolve;
use super::rules::{Rules, Server};
use super::secrets::{LookUp, Place, Secrets, Unfilled, fill, refers};
use super::shares::{Common, Own};
use crate::chat::Client;
use crate::fair::Share;

/// Bytes of a URL.
const URL_MAX: usize = 8 << 10;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// What an address has before the next one is tried beside it.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// The memory of replies to one plugin that shares it with no other, and the connections that it keeps.
const REPLIES_OF_ONE: usize = 256 << 20;
const IDLE_OF_ONE: usize = 256;
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
    /// Those that the plugin's call sees. No connection outlives them.
    pub settings: UnderSettings,
}

/// The reply, whole.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case. A value that is no text has its other bytes replaced.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The reply's bytes among those of all plugins; whoever has the reply keeps it as long.
    pub held: Held,
}

/// One plugin's grant, ready to be used.
pub struct Guard {
    rules: Rules,
    resolver: Arc<dyn Resolve>,
    connector: Arc<dyn Connect>,
    look_up: LookUp,
    common: Common,
    own: Arc<Own>,
    kept: Arc<Kept>,
    /// For the secrets that the last request had, which are seldom others.
    hider: Mutex<Option<Arc<Hider>>>,
}

impl Guard {
    /// A guard of its own.
    pub fn new(rules: Rules, resolver: Arc<dyn Resolve>, connector: Arc<dyn Connect>, look_up: LookUp) -> Self {
        let own = Arc::new(Own::new("", rules.connections));
        let common = Common::new(REPLIES_OF_ONE, IDLE_OF_ONE);
        let kept = kept(&rules, &common, &own);
        Self { rules, resolver, connector, look_up, common, own, kept, hider: Mutex::default() }
    }

    /// One among others, and after others of the same plugin.
    #[must_use]
    pub fn sharing(self, common: Common, own: Arc<Own>) -> Self {
        let kept = kept(&self.rules, &common, &own);
        Self { common, own, kept, ..self }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A place among the plugin's requests at once, in that client's turn.
    pub async fn place(&self, client: &Client) -> Share {
        self.own.places.wait(client, 1).await
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
        timeout(time, self.begin(calls, place, request)).await.map_err(late)?
    }

    async fn begin<P>(&self, calls: &Calls, place: impl Future<Output = P>, request: Request) -> Result<Response, Error> {
        let outgoing = read(request)?;
        let server = self.rules.server(&outgoing.url)?;
        // What is over its budget does not wait first.
        calls.count(&self.rules)?;
        let _place = place.await;
        let secrets = Secrets::of(&self.rules, &self.look_up);
        let hider = self.hider(&secrets);
        let followed = self.follow(calls, &secrets, outgoing, server).await.and_then(|answer| presentable(answer, &hider));
        // A host that got a secret once may put it wherever its texts come from.
        let answer = followed.map_err(|error| error.map(|text| hider.text(text.as_bytes())))?;
        Ok(reply(answer, &hider).await)
    }

    async fn follow(&self, calls: &Calls, secrets: &Secrets, mut outgoing: Outgoing, mut server: Server) -> Result<Answer, Error> {
        let mut redirects = 0;
        loop {
            let answer = self.ask(calls, &server, &outgoing, secrets).await;
            let answer = if redirects == 0 { answer? } else { answer.map_err(Error::behind_a_redirect)? };
            let location = answer.headers.get(header::LOCATION).map(HeaderValue::as_bytes);
            let to = if self.rules.redirects == 0 { None } else { target(answer.status, location, &outgoing.url)? };
            let Some(to) = to else { return Ok(answer) };
            redirects += 1;
            if redirects > self.rules.redirects {
                let most = self.rules.redirects;
                return Err(Error::Exhausted(format!(
                    "it was redirected more than {most} times, and `grants.http.redirects` allows no more"
                )));
            }
            let next = self.rules.server(&to).map_err(Error::behind_a_redirect)?;
            calls.count(&self.rules)?;
            outgoing.follow(answer.status, to, &server, &next);
            server = next;
        }
    }

    async fn ask(&self, calls: &Calls, server: &Server, outgoing: &Outgoing, secrets: &Secrets) -> Result<Answer, Error> {
        let request = self.filled(server, outgoing, secrets)?;
        let addresses = self.addresses(&calls.client, server).await?;
        calls.carry(&self.rules, outgoing.body.len())?;
        let exchange = async |connection: &mut Connection, request| {
            let receiving = self.common.replies.reply(&calls.client);
            connection.exchange(request, self.rules.response_bytes, &|bytes| calls.carry(&self.rules, bytes), receiving).await
        };
        // Whether a kept connection still stands shows only when it was used, and then the server may have acted (RFC 9110, 9.2.2).
        let keeps = outgoing.may_be_repeated() && !headers::is_of_connection(request.headers());
        let way = |address| Way { server: server.clone(), address, settings: outgoing.settings.clone() };
        while keeps && let Some((mut connection, address)) = self.kept.take(server, &addresses, &outgoing.settings) {
            if !connection.is_ready().await {
                continue;
            }
            match exchange(&mut connection, request.clone()).await {
                Ok(answer) => {
                    let stands = connection.is_ready().await;
                    // What a server says that hangs up for want of a request is no answer to one.
                    if answer.status == StatusCode::REQUEST_TIMEOUT && !stands {
                        break;
                    }
                    if stands {
                        self.kept.put(way(address), connection);
                    }
                    return Ok(answer);
                }
                Err(Failed::Unanswered(_)) => break,
                Err(Failed::Other(error)) => return Err(error),
            }
        }
        let (address, stream) = self.connect(server, &addresses).await?;
        let mut connection = Connection::over(stream).await?;
        let answer = exchange(&mut connection, request).await.map_err(|(Failed::Unanswered(error) | Failed::Other(error))| error)?;
        if keeps && connection.is_ready().await {
            self.kept.put(way(address), connection);
        }
        Ok(answer)
    }

    /// What hides the plugin's secrets, whether or not this request sends them: a server may keep what it got and give it to a later one.
    fn hider(&self, secrets: &Secrets) -> Arc<Hider> {
        let values = secrets.values();
        // What is behind the lock is only ever replaced whole.
        let mut kept = self.hider.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_ref().filter(|kept| kept.hides(&values)) {
            Some(kept) => kept.clone(),
            None => kept.insert(Hider::new(values)).clone(),
        }
    }

    /// The request as it goes to this server, with its secrets.
    fn filled(&self, server: &Server, outgoing: &Outgoing, secrets: &Secrets) -> Result<http::Request<Full<Bytes>>, Error> {
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
        let mut left = headers::FILLED_MAX;
        for line in &outgoing.headers {
            let value = fill(&line.value, Place::Header, &self.rules, server, secrets, left).map_err(|unfilled| match unfilled {
                Unfilled::Refused(why) => why,
                Unfilled::TooLong => {
                    Error::Invalid(format!("with their secrets, the headers of a request have at most {} bytes", headers::FILLED_MAX))
                }
            })?;
            left -= value.len();
            let mut value = HeaderValue::from_str(&value).map_err(|_| unsendable(&format!("the header `{}`", line.name)))?;
            value.set_sensitive(true);
            request.headers_mut().append(line.name.clone(), value);
        }
        *request.body_mut() = Full::new(self.filled_body(server, &outgoing.body, secrets)?.into());
        Ok(request)
    }

    fn filled_body(&self, server: &Server, body: &[u8], secrets: &Secrets) -> Result<Vec<u8>, Error> {
        let most = self.rules.request_bytes;
        if body.len() > most {
            return Err(Error::Exhausted(format!(
                "the request's body has {} bytes, and `grants.http.request_bytes` allows {most}",
                body.len()
            )));
        }
        match std::str::from_utf8(body) {
            Ok(text) if refers(text.as_bytes()) => {
                let filled = fill(text, Place::Body, &self.rules, server, secrets, most).map_err(|unfilled| match unfilled {
                    Unfilled::Refused(why) => why,
                    // By how much would tell how long the secret is.
                    Unfilled::TooLong => Error::Exhausted(format!(
                        "with its secrets, the request's body has more bytes than the {most} that `grants.http.request_bytes` allows"
                    )),
                })?;
                Ok(filled.into_bytes())
            }
            _ => Ok(body.to_vec()),
        }
    }

    /// The addresses of the server that may be asked, at least one.
    async fn addresses(&self, client: &Client, server: &Server) -> Result<Vec<IpAddr>, Error> {
        let name = match &server.host {
            Host::Ipv4(address) => return self.rules.address(server, (*address).into()).map(|()| vec![(*address).into()]),
            Host::Ipv6(address) => return self.rules.address(server, (*address).into()).map(|()| vec![(*address).into()]),
            Host::Domain(name) => name,
        };
        let unknown = |why: &str| Error::Unreachable(format!("the host `{name}` cannot be found: {why}"));
        let found = self.look_up_name(client, name.clone()).await.map_err(|error| unknown(&error.to_string()))?;
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

    /// The lookup goes on when nobody waits for it any more, and keeps its places until it ends: so long it takes a thread.
    async fn look_up_name(&self, client: &Client, name: String) -> io::Result<Vec<IpAddr>> {
        // The plugin's own first: who waits for that must not hold one that others could use.
        let places = [self.own.lookups.wait(client, 1).await, self.common.lookups.wait(client, 1).await];
        let resolver = self.resolver.clone();
        let looked_up = tokio::spawn(async move {
            let found = resolver.resolve(&name).await;
            drop(places);
            found
        });
        looked_up.await.map_err(io::Error::other)?
    }

    /// The first connection of all addresses. An address has a while for itself, then the next one is tried beside it (RFC 8305).
    async fn connect(&self, server: &Server, addresses: &[IpAddr]) -> Result<(IpAddr, Box<dyn Stream>), Error> {
        let certified = server.certified();
        let (mut addresses, mut trying, mut failed) = (addresses.iter(), FuturesUnordered::new(), None);
        loop {
            if let Some(address) = addresses.next() {
                let peer = Peer { address: SocketAddr::new(*address, server.port), tls: server.https.then_some(&certified) };
                trying.push(self.connector.connect(peer).map(|tried| tried.map(|stream| (*address, stream))));
            }
            let more = addresses.len() > 0;
            tokio::select! {
                tried = trying.next() => match tried {
                    Some(Ok(found)) => return Ok(found),
                    Some(Err(error)) => failed = Some(error),
                    None => break,
                },
                () = sleep(NEXT_ADDRESS), if more => {}
            }
        }
        let why = failed.map_or_else(String::new, |error| format!(": {error}"));
        Err(Error::Unreachable(format!("`{}` cannot be reached{why}", server.host)))
    }
}

/// What a guard with those rules keeps.
fn kept(rules: &Rules, common: &Common, own: &Own) -> Arc<Kept> {
    Kept::new(rules.idle_connections, rules.idle_time, common.idle.clone(), own.plugin.clone())
}

/// # Errors
/// `Invalid`.
fn read(request: Request) -> Result<Outgoing, Error> {
    let Request { method, url, headers, body, settings, .. } = request;
    let method = METHODS.into_iter().find(|known| known.as_str() == method);
    let method = method.ok_or_else(|| Error::Invalid("the method must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS".into()))?;
    if url.len() > URL_MAX {
        return Err(Error::Invalid(format!("a URL has at most {URL_MAX} bytes")));
    }
    if refers(url.as_bytes()) {
        return Err(Error::Invalid("a secret goes into a header or a body; URLs stand in the logs of servers".into()));
    }
    let url = Url::parse(&url).map_err(|error| Error::Invalid(format!("the URL makes no sense: {error}")))?;
    Ok(Outgoing { method, url, headers: headers::read(headers)?, body, settings })
}

/// An answer in which secrets can be found.
fn presentable(answer: Answer, hider: &Hider) -> Result<Answer, Error> {
    if hider.is_empty() {
        return Ok(answer);
    }
    let plain = |name, known: &[u8]| answer.headers.get_all(name).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(known));
    if !plain(header::CONTENT_ENCODING, b"identity") || !plain(header::TRANSFER_ENCODING, b"chunked") {
        return Err(Error::Unreachable("the reply came compressed though that was not asked for, and may hold a secret".into()));
    }
    if answer.status == StatusCode::PARTIAL_CONTENT {
        return Err(Error::Unreachable("the reply is a part of a whole, and may hold a part of a secret".into()));
    }
    Ok(answer)
}

/// What the plugin gets of an answer.
async fn reply(answer: Answer, hider: &Hider) -> Response {
    let Answer { status, headers, body, held } = answer;
    let header = |(name, value): (&header::HeaderName, &HeaderValue)| (hider.text(name.as_str().as_bytes()), hider.text(value.as_bytes()));
    let headers = headers.iter().filter(|(name, _)| is_of_reply(name)).map(header).collect();
    Response { status: status.as_u16(), headers, body: hider.body(body).await, held }
}
