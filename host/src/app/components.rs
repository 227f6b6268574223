//! Plugs the guard of what plugins ask of other servers into the port by which a component is fetched: each address is checked before it is
//! connected to, that of a redirect too. Any host may be asked, because the operator's key says which.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::chat::Client;
use crate::http::{FetchComponent, FetchError, Fetched};
use crate::outbound::{Calls, Error, Guard, HostPattern, Names, Network, Request, Rules};

/// Redirects that are followed: a file of a release at GitHub is behind two.
const REDIRECTS: u32 = 5;

/// What the guard's texts call by a plugin's grant, and the key that is meant here.
const KEYS: [(&str, &str); 6] = [
    (", which must be named as an address in `grants.http.hosts` beside `grants.http.private = true`", ""),
    (", and `grants.http.redirects` allows no more", ""),
    ("grants.http.private", "surfaces.pipelines.private_urls"),
    ("grants.http.response_bytes", "limits.plugins.file_bytes"),
    ("grants.http.time", "surfaces.pipelines.fetch_time"),
    ("what `grants.http` does not allow", "what is not allowed here"),
];

/// Fetches components.
pub(super) struct Components;

impl FetchComponent for Components {
    fn fetch(&self, what: Fetched) -> BoxFuture<'static, Result<Vec<u8>, FetchError>> {
        Box::pin(async move {
            let Fetched { url, private, bytes_max, time } = what;
            let rules = Rules {
                hosts: vec![HostPattern::Any],
                any_port: true,
                plain: true,
                private,
                time,
                response_bytes: bytes_max,
                exchange_bytes: u64::MAX,
                calls: REDIRECTS + 1,
                redirects: REDIRECTS,
                connections: 1,
                idle_connections: 0,
                ..Rules::default()
            };
            let guard = Guard::new(rules, Arc::new(Names), Arc::new(Network::default()), Arc::new(|_| Err("is not given".to_owned())));
            let (method, settings) = ("GET".to_owned(), Arc::new(()));
            let request = Request { method, url, headers: Vec::new(), body: Vec::new(), time: None, settings };
            let calls = Calls::of(Client::Host);
            let response = guard.send(&calls, guard.place(&Client::Host), request).await.map_err(told)?;
            match response.status {
                200 => Ok(response.body),
                status => Err(FetchError::Refused(format!("the server answered {status}"))),
            }
        })
    }
}

fn told(error: Error) -> FetchError {
    match error {
        Error::Timeout(_) => FetchError::Slow,
        Error::Denied(why) | Error::Exhausted(why) | Error::Invalid(why) | Error::Unreachable(why) => {
            FetchError::Refused(KEYS.iter().fold(why, |why, (theirs, ours)| why.replace(theirs, ours)))
        }
    }
}
