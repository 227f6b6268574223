//! The headers of a plugin's request and of its reply. Those that speak of one connection are the host's: a plugin that could set them would
//! send a second request inside its first.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::error::Error;

/// Header lines of a request, and all their bytes.
const LINES_MAX: usize = 64;
const BYTES_MAX: usize = 32 << 10;
/// All bytes of their values with the secrets in them.
pub(super) const FILLED_MAX: usize = 128 << 10;

/// What is refused: the request's frame, and its way.
const REFUSED: [&str; 14] = [
    "connection",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];
/// What is left out in silence, because libraries set it and the host knows better: the length changes with the secrets, and a compressed
/// reply would hide them.
const LEFT_OUT: [HeaderName; 2] = [header::CONTENT_LENGTH, header::ACCEPT_ENCODING];

/// A header as the plugin wrote it, its secrets still by reference.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: HeaderName,
    pub(super) value: String,
}

/// # Errors
/// `Invalid`.
pub(super) fn read(headers: Vec<(String, String)>) -> Result<Vec<Line>, Error> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > LINES_MAX || bytes > BYTES_MAX {
        return Err(Error::Invalid(format!("a request has at most {LINES_MAX} headers and {BYTES_MAX} bytes of them")));
    }
    let mut lines = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let shown = || name.chars().take(60).collect::<String>();
        let read: HeaderName = name.parse().map_err(|_| Error::Invalid(format!("`{}` is no name of a header", shown().escape_debug())))?;
        if REFUSED.contains(&read.as_str()) {
            return Err(Error::Invalid(format!("the header `{read}` is the host's to set")));
        }
        // Also before its secrets are in: what is refused here has nothing to hide.
        HeaderValue::from_str(&value).map_err(|_| Error::Invalid(format!("the value of the header `{read}` cannot be sent")))?;
        if !LEFT_OUT.contains(&read) {
            lines.push(Line { name: read, value });
        }
    }
    Ok(lines)
}

/// Whether a header of a reply is of the plugin's concern. It gets the whole body, whose length it sees.
pub(super) fn is_of_reply(name: &HeaderName) -> bool {
    !REFUSED.contains(&name.as_str()) && *name != header::CONTENT_LENGTH
}

/// By which a server knows a request that it got before, whatever its method.
pub(super) fn makes_repeatable(name: &HeaderName) -> bool {
    name == "idempotency-key"
}

/// Whether a request proves who asks for all that follows on its connection, as no other scheme does.
pub(super) fn is_of_connection(headers: &HeaderMap) -> bool {
    let scheme = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b' ').next().map(<[u8]>::to_ascii_lowercase);
    headers.get_all(header::AUTHORIZATION).iter().filter_map(scheme).any(|scheme| scheme == b"ntlm" || scheme == b"negotiate")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(name: &str, value: &str) -> Result<usize, Error> {
        read(vec![(name.into(), value.into())]).map(|lines| lines.len())
    }

    #[test]
    fn what_frames_a_request_is_refused_in_any_case_of_letters() {
        for name in REFUSED {
            assert!(matches!(read_one(&name.to_uppercase(), "x"), Err(Error::Invalid(_))), "{name}");
        }
        assert_eq!((read_one("Content-Length", "5"), read_one("accept-encoding", "gzip")), (Ok(0), Ok(0)));
        assert_eq!(read_one("Authorization", "Bearer {{secret:KEY}}"), Ok(1));
    }

    #[test]
    fn no_name_and_no_value_begins_another_line() {
        for (name, value) in [("a\r\nb", "x"), ("a b", "x"), ("", "x"), ("a:", "x"), ("a", "x\r\nhost: y"), ("a", "x\ny"), ("a", "\0")] {
            assert!(matches!(read_one(name, value), Err(Error::Invalid(_))), "{name:?}: {value:?}");
        }
    }

    #[test]
    fn sixty_four_lines_and_32_kib_are_taken_and_no_more() {
        let lines = |count: usize| vec![("a".to_owned(), "b".to_owned()); count];
        assert_eq!(read(lines(64)).unwrap().len(), 64);
        assert!(read(lines(65)).is_err());
        assert!(read_one("a", &"x".repeat((32 << 10) - 1)).is_ok());
        assert!(read_one("a", &"x".repeat(32 << 10)).is_err());
    }
}
