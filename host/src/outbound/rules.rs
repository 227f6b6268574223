//! What an operator allows one plugin: which servers, over what, how much and how often. Hosts are compared in the one form that the `url`
//! crate gives them, so `EXAMPLE.com.`, `0x7f.1` and `2130706433` are what they mean.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::address::{Kind, kind};
use super::error::Error;

/// The terms of a grant. The keys of `grants.http` have the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub hosts: Vec<HostPattern>,
    /// Empty: the port of the scheme.
    pub ports: Vec<u16>,
    /// Every port; no grant has it.
    pub any_port: bool,
    /// Whether `http://` is allowed beside `https://`.
    pub plain: bool,
    /// Whether addresses of this machine and of private networks are allowed.
    pub private: bool,
    /// The names of secrets, each with the hosts that may get it.
    pub secrets: BTreeMap<String, Vec<HostPattern>>,
    /// Whether secrets are sent over `http://` too.
    pub plain_secrets: bool,
    /// From the call to the last byte of its reply, redirects included.
    pub time: Duration,
    /// Bytes of a request's body, secrets included.
    pub request_bytes: usize,
    /// Bytes of a reply's body.
    pub response_bytes: usize,
    /// Requests for one exchange with a client; those that a redirect makes count too.
    pub calls: u32,
    /// Bytes of all bodies, of requests and of replies, for one exchange with a client.
    pub exchange_bytes: u64,
    /// Redirects that are followed for one request. 0: the plugin gets the redirect itself.
    pub redirects: u32,
    /// Requests at once; others wait, and clients take turns.
    pub connections: usize,
    /// Connections that are kept for further requests while nothing is asked over them.
    pub idle_connections: usize,
    /// How long each of them.
    pub idle_time: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            ports: Vec::new(),
            any_port: false,
            plain: false,
            private: false,
            secrets: BTreeMap::new(),
            plain_secrets: false,
            // As long as `wait` of a hook call, which counts it.
            time: Duration::from_secs(5),
            // As large as what a plugin may hand to a host call.
            request_bytes: 1 << 20,
            response_bytes: 4 << 20,
            calls: 16,
            // Four replies of the largest size; no hook has memory for more.
            exchange_bytes: 16 << 20,
            // As browsers do for a chain that leads anywhere.
            redirects: 5,
            // With the two sizes above: 160 MiB for a plugin at most; `limits.plugins.replies_bytes` bounds the replies to all plugins.
            connections: 32,
            // More hosts than one plugin asks again and again.
            idle_connections: 8,
            // Less than the five seconds after which widely used servers hang up.
            idle_time: Duration::from_secs(4),
        }
    }
}

/// A host that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    Exact(Host<String>),
    /// All names that end in this, which begins with its dot.
    Suffix(String),
    /// Every host; no grant has it.
    Any,
}

impl HostPattern {
    /// `api.example.com`, `*.example.com`, `10.0.0.7` or `[fd00::7]`.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || "a host is a name or an address such as \"api.example.com\", without scheme, port and path, or \"*.example.com\"".to_owned();
        if let Some(rest) = text.strip_prefix("*.") {
            return match normal(Host::parse(rest).map_err(|_| wrong())?) {
                Some(Host::Domain(name)) => Ok(Self::Suffix(format!(".{name}"))),
                _ => Err(wrong()),
            };
        }
        if text.contains('*') {
            return Err(wrong());
        }
        normal(Host::parse(text).map_err(|_| wrong())?).map(Self::Exact).ok_or_else(wrong)
    }

    fn is(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Exact(allowed), host) => allowed == host,
            (Self::Suffix(suffix), Host::Domain(name)) => name.strip_suffix(suffix).is_some_and(|rest| !rest.is_empty()),
            (Self::Suffix(_), _) => false,
            (Self::Any, _) => true,
        }
    }
}

/// Without the dot that may end a name; none if that was all.
fn normal(host: Host<String>) -> Option<Host<String>> {
    match host {
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            let is_name = !name.is_empty() && name.split('.').all(|label| !label.is_empty());
            is_name.then(|| Host::Domain(name.to_owned()))
        }
        address => Some(address),
    }
}

/// A server that may be asked: the rules allow scheme, host and port. Its address is still to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) https: bool,
    pub(super) host: Host<String>,
    pub(super) port: u16,
}

impl Server {
    /// As it stands in the header `host`.
    pub(super) fn authority(&self) -> String {
        let default = if self.https { 443 } else { 80 };
        if self.port == default { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }

    /// What the certificate must be for.
    pub(super) fn certified(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }
}

impl Rules {
    /// # Errors
    /// `Denied`, or `Invalid` for what is no URL of a server.
    pub(super) fn server(&self, url: &Url) -> Result<Server, Error> {
        let https = match url.scheme() {
            "https" => true,
            "http" if self.plain => false,
            "http" => return Err(Error::Denied("`http://` is not granted; `grants.http.plain = true` would allow it".into())),
            _ => return Err(Error::Invalid("a URL begins with `https://`".into())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Invalid("a URL must not hold a user or a password; send the header `authorization`".into()));
        }
        let host = url.host().map(|host| host.to_owned()).and_then(normal).ok_or_else(|| Error::Invalid("the URL has no host".into()))?;
        if !self.hosts.iter().any(|allowed| allowed.is(&host)) {
            return Err(Error::Denied(format!("the host `{host}` is not granted; add it to `grants.http.hosts`")));
        }
        let port = url.port_or_known_default().ok_or_else(|| Error::Invalid("the URL has no port".into()))?;
        let default = if https { 443 } else { 80 };
        let allowed = self.any_port || if self.ports.is_empty() { port == default } else { self.ports.contains(&port) };
        if !allowed {
            return Err(Error::Denied(format!("port {port} is not granted; add it to `grants.http.ports`")));
        }
        Ok(Server { https, host, port })
    }

    /// # Errors
    /// `Denied`. Which address a name has is the operator's to know, so it is not told.
    pub(super) fn address(&self, server: &Server, address: IpAddr) -> Result<(), Error> {
        let host = &server.host;
        let what = match kind(address) {
            Kind::Public => return Ok(()),
            Kind::Private(_) if self.private => return Ok(()),
            Kind::Metadata if self.private && self.names(address) && is(host, address) => return Ok(()),
            Kind::Private(what) => {
                return Err(Error::Denied(format!(
                    "`{host}` leads to an address that is {what}; `grants.http.private = true` would allow it"
                )));
            }
            Kind::Metadata => {
                "of a metadata service, which must be named as an address in `grants.http.hosts` beside `grants.http.private = true`"
            }
            Kind::Unusable(what) => what,
        };
        Err(Error::Denied(format!("`{host}` leads to an address that is {what}")))
    }

    fn names(&self, address: IpAddr) -> bool {
        self.hosts.iter().any(|pattern| matches!(pattern, HostPattern::Exact(host) if is(host, address)))
    }

    /// # Errors
    /// `Denied`.
    pub(super) fn secret(&self, name: &str, server: &Server) -> Result<(), Error> {
        let hosts = self.secrets.get(name);
        let hosts = hosts.ok_or_else(|| Error::Denied(format!("the secret `{name}` is not granted; add it to `grants.http.secrets`")))?;
        if !hosts.iter().any(|allowed| allowed.is(&server.host)) {
            return Err(Error::Denied(format!(
                "the secret `{name}` is not for `{}`; `grants.http.secrets.{name}` lists its hosts",
                server.host
            )));
        }
        if !server.https && !self.plain_secrets {
            return Err(Error::Denied(format!(
                "the secret `{name}` is sent over https only; `grants.http.plain_secrets = true` would allow http"
            )));
        }
        Ok(())
    }
}

fn is(host: &Host<String>, address: IpAddr) -> bool {
    match host {
        Host::Ipv4(named) => IpAddr::V4(*named) == address,
        Host::Ipv6(named) => IpAddr::V6(*named) == address,
        Host::Domain(_) => false,
    }
}
