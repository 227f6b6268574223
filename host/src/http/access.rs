//! Who may come in: the one place that decides it, before a byte of the body is read.
//! With keys a request needs a bearer token. Without them the server listens on loopback only, so the danger is a web page in a browser on
//! the same machine: a foreign `host` (DNS rebinding) or `origin` (a form posted across sites) is refused, but for `http.cors_origins`.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;

use super::cors::Origins;
use super::error::Refusal;
use super::keys::{Keys, Role};

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody. `/metrics` too: it names pipelines, plugins, providers, models and keys but holds no content and no secret. What plugins count
    /// under names of their own is for who could use an admin route.
    Open,
    /// Every key.
    Client,
    /// The key of Open WebUI's surface, and admin keys.
    Manage,
    /// The same, or everybody if the operator has opened what that surface shows.
    Shown,
    /// Admin keys.
    Admin,
}

/// Lets a request in and says under whose name; none if no keys are configured or none is needed. `origins` are those whose pages may call
/// the route from other sites.
pub(super) fn authorize(access: Access, keys: &Keys, origins: &Origins, head: &Parts) -> Result<Option<Arc<str>>, Refusal> {
    if keys.is_empty() {
        return from_this_machine(origins, head).map(|()| None);
    }
    match access {
        Access::Open => return Ok(None),
        Access::Admin if keys.admin.is_empty() => return Err(Refusal::NoAdminKeys),
        Access::Admin | Access::Manage | Access::Shown | Access::Client => {}
    }
    let token = token(&head.headers).ok_or(Refusal::NoKey)?;
    match (access, keys.find(token).ok_or(Refusal::WrongKey)?) {
        (Access::Admin, (_, Role::Client | Role::OpenWebUi)) => Err(Refusal::NotAdmin),
        (Access::Manage | Access::Shown, (_, Role::Client)) => Err(Refusal::NotManager),
        (_, (key, _)) => Ok(Some(Arc::clone(&key.name))),
    }
}

/// The header in which an operator's key comes beside a client's own.
const OPERATOR: HeaderName = HeaderName::from_static("x-cofferdam-admin");

/// Whether the operator asks, who is told more of an answer: an admin key stands in a header of its own, `Bearer KEY`. Without keys whoever came
/// in may do all.
pub(super) fn operator(keys: &Keys, headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut given = headers.get_all(&OPERATOR).iter();
    let Some(value) = given.next() else { return Ok(false) };
    if keys.is_empty() {
        return Ok(true);
    }
    if keys.admin.is_empty() {
        return Err(Refusal::NoAdminKeys);
    }
    let token = token_of(value).filter(|_| given.next().is_none()).ok_or(Refusal::WrongKey)?;
    match keys.find(token).ok_or(Refusal::WrongKey)? {
        (_, Role::Admin) => Ok(true),
        (_, Role::Client | Role::OpenWebUi) => Err(Refusal::NotAdmin),
    }
}

/// Whether who asks showed a key that may change what Open WebUI's surface has.
pub(super) fn manages(keys: &Keys, headers: &HeaderMap) -> bool {
    token(headers).and_then(|token| keys.find(token)).is_some_and(|(_, role)| role != Role::Client)
}

/// A bearer token, or a key in the header in which clients of Azure's and of Anthropic's send it.
fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let other = || ["api-key", "x-api-key"].iter().find_map(|name| headers.get(*name)).map(|value| value.as_bytes().trim_ascii());
    bearer(headers).or_else(other)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(hyper::header::AUTHORIZATION).and_then(token_of)
}

fn token_of(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// A browser always sends a host, and an origin with whatever could change something.
fn from_this_machine(origins: &Origins, head: &Parts) -> Result<(), Refusal> {
    let header = head.headers.get(hyper::header::HOST).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let target = head.uri.authority().map(|authority| authority.as_str().into());
    let mut named = false;
    for authority in [header, target].into_iter().flatten() {
        if !is_loopback(&authority) {
            return Err(Refusal::ForeignHost(authority.chars().take(200).collect()));
        }
        named = true;
    }
    if !named {
        return Err(Refusal::ForeignHost(String::new()));
    }
    for origin in head.headers.get_all(hyper::header::ORIGIN) {
        let text = String::from_utf8_lossy(origin.as_bytes());
        if !text.split_once("://").is_some_and(|(_, authority)| is_loopback(authority)) && !origins.allow(origin) {
            return Err(Refusal::ForeignOrigin(text.chars().take(200).collect()));
        }
    }
    Ok(())
}

fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::keys::{Key, hash};

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = hyper::Request::builder().uri("/v1/models");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn key(name: &str) -> Key {
        Key { name: name.into(), sha256: hash(name.as_bytes()), allowance: Default::default() }
    }

    #[test]
    fn client_keys_open_v1_and_admin_keys_open_both() {
        let keys = Keys { client: vec![key("app")], admin: vec![key("root")], ..Keys::default() };
        let ask = |access, value: &str| {
            authorize(access, &keys, &Origins::default(), &head(&[("authorization", value)])).map(|name| name.as_deref().map(str::to_owned))
        };
        assert_eq!(ask(Access::Client, "Bearer app"), Ok(Some("app".into())));
        assert_eq!(ask(Access::Client, "bearer  root "), Ok(Some("root".into())));
        assert_eq!(ask(Access::Admin, "Bearer root"), Ok(Some("root".into())));
        assert_eq!(ask(Access::Admin, "Bearer app"), Err(Refusal::NotAdmin));
        assert_eq!(ask(Access::Client, "Bearer wrong"), Err(Refusal::WrongKey));
        assert_eq!(ask(Access::Client, "Bearer "), Err(Refusal::WrongKey));
        assert_eq!(ask(Access::Client, "Basic app"), Err(Refusal::NoKey));
        assert_eq!(ask(Access::Client, "app"), Err(Refusal::NoKey));
        assert_eq!(ask(Access::Open, "Bearer wrong"), Ok(None));
        for name in ["api-key", "x-api-key"] {
            let come_in = |access, value: &str| authorize(access, &keys, &Origins::default(), &head(&[(name, value)])).map(|_| ());
            assert_eq!(come_in(Access::Client, "app"), Ok(()), "{name}");
            assert_eq!(come_in(Access::Admin, "app"), Err(Refusal::NotAdmin), "{name}");
            assert_eq!(come_in(Access::Client, "wrong"), Err(Refusal::WrongKey), "{name}");
        }
        assert_eq!(authorize(Access::Admin, &keys, &Origins::default(), &head(&[])), Err(Refusal::NoKey));
    }

    #[test]
    fn an_operator_shows_an_admin_key_beside_the_clients_own() {
        let keys = Keys { client: vec![key("app")], admin: vec![key("root")], ..Keys::default() };
        let ask = |keys: &Keys, values: &[&str]| {
            let given: Vec<(&str, &str)> = values.iter().map(|value| ("x-cofferdam-admin", *value)).collect();
            operator(keys, &head(&given).headers)
        };
        assert_eq!((ask(&keys, &[]), ask(&keys, &["Bearer root"])), (Ok(false), Ok(true)));
        for wrong in ["Bearer wrong", "Bearer ", "root", "Basic root", ""] {
            assert_eq!(ask(&keys, &[wrong]), Err(Refusal::WrongKey), "{wrong}");
        }
        assert_eq!(ask(&keys, &["Bearer root", "Bearer root"]), Err(Refusal::WrongKey), "one of two is not looked for");
        assert_eq!(ask(&keys, &["Bearer app"]), Err(Refusal::NotAdmin));
        let none = Keys { client: vec![key("app")], ..Keys::default() };
        assert_eq!(ask(&none, &["Bearer root"]), Err(Refusal::NoAdminKeys));
        assert_eq!((ask(&Keys::default(), &["yes"]), ask(&Keys::default(), &[])), (Ok(true), Ok(false)));
    }

    #[test]
    fn without_admin_keys_the_admin_routes_say_what_to_configure() {
        let keys = Keys { client: vec![key("app")], ..Keys::default() };
        assert_eq!(
            authorize(Access::Admin, &keys, &Origins::default(), &head(&[("authorization", "Bearer app")])),
            Err(Refusal::NoAdminKeys)
        );
    }

    #[test]
    fn without_keys_only_loopback_hosts_and_origins_come_in() {
        let ask = |headers: &[(&str, &str)]| authorize(Access::Admin, &Keys::default(), &Origins::default(), &head(headers)).is_ok();
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "[::1]"] {
            assert!(ask(&[("host", host)]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "10.0.0.1", "", "a b"] {
            assert!(!ask(&[("host", host)]), "{host}");
        }
        assert!(!ask(&[]));
        assert!(ask(&[("host", "localhost"), ("origin", "http://localhost:3000")]));
        assert!(ask(&[("host", "localhost"), ("origin", "http://[::1]:3000")]));
        for origin in ["https://evil.example", "null", "http://localhost.evil.example", "file://", "localhost"] {
            assert!(!ask(&[("host", "localhost"), ("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn without_keys_a_listed_origin_comes_in_and_no_other() {
        let origins = Origins::default().with("https://chat.example").expect("an origin");
        let ask = |headers: &[(&str, &str)]| authorize(Access::Client, &Keys::default(), &origins, &head(headers)).is_ok();
        assert!(ask(&[("host", "localhost"), ("origin", "https://chat.example")]));
        for origin in
            ["http://chat.example", "https://chat.example:8443", "https://chat.example.evil.example", "https://evil.example", "null"]
        {
            assert!(!ask(&[("host", "localhost"), ("origin", origin)]), "{origin}");
        }
        assert!(!ask(&[("host", "localhost"), ("origin", "https://chat.example"), ("origin", "https://evil.example")]));
        assert!(!ask(&[("host", "evil.example"), ("origin", "https://chat.example")]));
    }
}
