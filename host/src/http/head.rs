//! What is checked of every request's head before anything is looked up: its size, and that it names one host.
//! Invariant: whoever stands before or behind this server, and routes by the host, sees the host that is checked here.

use hyper::HeaderMap;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;

use super::error::Refusal;

/// The port that an authority without one means.
const PORT: u16 = 80;

/// # Errors
/// `HeadTooLarge`, or a field `host` that is sent twice, is none, or is not that of the request's target.
pub(super) fn check(head: &Parts, bytes_max: usize) -> Result<(), Refusal> {
    // hyper stops reading at the limit, but what it read last may hold the end of a head that is longer.
    if size(head) > bytes_max {
        return Err(Refusal::HeadTooLarge { limit: bytes_max });
    }
    one_host(head)
}

/// As HTTP/1.1 writes it, with one space where there may be more.
fn size(head: &Parts) -> usize {
    let target = match head.uri.authority() {
        // Written as it was sent, or for HTTP/2 as `:authority` and `:scheme` beside the path.
        Some(authority) => head.uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len()) + authority.as_str().len(),
        None => 0,
    } + head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let line = head.method.as_str().len() + target + "  HTTP/1.1\r\n".len();
    let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
    line + fields + "\r\n".len()
}

/// Source: RFC 9112, section 3.2: more than one `host` is a 400. That an absolute target wins over a `host` which disagrees is for those who
/// look at one of them only; this server takes neither's word.
fn one_host(head: &Parts) -> Result<(), Refusal> {
    let Some(host) = single(&head.headers)? else { return Ok(()) };
    let Some(target) = head.uri.authority() else { return Ok(()) };
    let named = host.parse::<Authority>().ok().filter(|named| same(named, target));
    named.map(|_| ()).ok_or_else(|| Refusal::field("host", "is not the host of the request's target; send the same or leave one out"))
}

fn single(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else { return Ok(None) };
    if hosts.next().is_some() {
        return Err(Refusal::field("host", "is sent more than once; send it once"));
    }
    host.to_str().map(Some).map_err(|_| Refusal::field("host", "holds characters that are not ASCII"))
}

fn same(one: &Authority, other: &Authority) -> bool {
    let port = |authority: &Authority| authority.port_u16().unwrap_or(PORT);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = hyper::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_head_has_an_edge() {
        let text = "GET /v1/models?a=b HTTP/1.1\r\nhost: localhost\r\nx: yz\r\n\r\n";
        let parts = head("/v1/models?a=b", &[("host", "localhost"), ("x", "yz")]);
        assert_eq!(size(&parts), text.len());
        assert_eq!(check(&parts, text.len()), Ok(()));
        assert_eq!(check(&parts, text.len() - 1), Err(Refusal::HeadTooLarge { limit: text.len() - 1 }));
        let absolute = "GET http://localhost:1/x HTTP/1.1\r\n\r\n";
        assert_eq!(size(&head("http://localhost:1/x", &[])), absolute.len());
    }

    #[test]
    fn one_host_is_taken_and_two_are_not() {
        let ask = |uri: &str, hosts: &[&str]| {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            one_host(&head(uri, &headers)).is_ok()
        };
        assert!(ask("/", &[]) && ask("/", &["a"]) && ask("http://a/", &[]));
        assert!(!ask("/", &["a", "a"]) && !ask("/", &["localhost", "evil.example"]));
        for (uri, host, same) in [
            ("http://a/", "a", true),
            ("http://A:80/", "a", true),
            ("http://a/", "A:80", true),
            ("http://a:81/", "a", false),
            ("http://a/", "b", false),
            ("http://[::1]:1/", "[::1]:1", true),
            ("http://a/", "", false),
            ("http://a/", "a b", false),
        ] {
            assert_eq!(ask(uri, &[host]), same, "{uri} {host}");
        }
    }
}
