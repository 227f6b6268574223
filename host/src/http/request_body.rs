//! Reading a request's body: whole, within a limit of bytes and of time.
//! Invariant: memory is reserved before it is taken, on a client's word for a length too.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, header};

use super::bodies::Reserved;
use super::error::Refusal;

/// Bytes that are read and dropped after a refusal, so that a client in the middle of sending gets to read the answer and not a reset.
const DISCARD_BYTES: usize = 32 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// The whole body, for which `reserved` holds as many bytes. If it came in one piece, as small ones do, it is not copied.
pub(super) async fn collect(
    body: &mut Incoming,
    reserved: &Reserved,
    limit: usize,
    key: &'static str,
    time: Duration,
) -> Result<Bytes, Refusal> {
    let too_large = Refusal::BodyTooLarge { limit, key };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large);
    }
    reserved.grow(announced)?;
    let reading = async {
        let Some(first) = next(body).await? else { return Ok(Bytes::new()) };
        if body.is_end_stream() && first.len() <= limit {
            reserved.grow(first.len().saturating_sub(announced))?;
            return Ok(first);
        }
        let mut whole = Vec::with_capacity(announced.max(first.len()));
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            if bytes.len() > limit - whole.len() {
                return Err(too_large);
            }
            reserved.grow((whole.len() + bytes.len()).saturating_sub(reserved.bytes()))?;
            whole.extend_from_slice(&bytes);
            piece = next(body).await?;
        }
        Ok(whole.into())
    };
    tokio::time::timeout(time, reading).await.unwrap_or(Err(Refusal::BodySlow))
}

/// Reads what is left of a refused request's body and drops it, within bounds. A client that waits for `100 Continue` before it sends is not
/// made to send: reading would send that answer.
pub(super) async fn discard(body: &mut Incoming, headers: &HeaderMap) {
    let untouched = || {
        let announced = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        Some(announced.is_some() && announced == body.size_hint().exact())
    };
    if body.is_end_stream() || (headers.contains_key(header::EXPECT) && untouched() == Some(true)) {
        return;
    }
    let reading = async {
        let mut left = DISCARD_BYTES;
        while let Ok(Some(bytes)) = next(body).await {
            match left.checked_sub(bytes.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // Out of time means that the client gets its answer now, or a reset.
    let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
}

/// The next piece of data; trailers are skipped.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Refusal::BodyBroken),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Refuses a body whose headers say that it is not JSON. No type at all is taken for JSON. How it is compressed is `encoded.rs`'s to judge.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), Refusal> {
    expect_plainly_sent(headers)?;
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if essence.is_empty() || (essence.len() >= 4 && essence[essence.len() - 4..].eq_ignore_ascii_case(b"json")) {
        return Ok(());
    }
    Err(Refusal::ContentType { got: shown(value), want: "application/json" })
}

/// As `expect_json`, but for the type of forms, which curl gives to all data.
pub(super) fn expect_json_or_form(headers: &HeaderMap) -> Result<(), Refusal> {
    let form =
        headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"application/x-www-form-urlencoded"));
    if form { expect_plainly_sent(headers) } else { expect_json(headers) }
}

/// Refuses a body that is encoded.
pub(super) fn expect_plain(headers: &HeaderMap) -> Result<(), Refusal> {
    only(headers, header::CONTENT_ENCODING, "identity")?;
    expect_plainly_sent(headers)
}

/// hyper decodes `chunked`, which may stand last, and leaves every other transfer coding in.
pub(super) fn expect_plainly_sent(headers: &HeaderMap) -> Result<(), Refusal> {
    only(headers, header::TRANSFER_ENCODING, "chunked")
}

fn only(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> Result<(), Refusal> {
    let mut values = headers.get_all(name).iter();
    let odd = values.next().filter(|value| !value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes())).or_else(|| values.next());
    odd.map_or(Ok(()), |value| Err(Refusal::ContentEncoding(shown(value))))
}

/// A header's value, short enough for an error.
pub(super) fn shown(value: &header::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a value"))])
    }

    #[test]
    fn a_json_type_or_none_is_taken_and_others_are_refused_with_a_remedy() {
        assert_eq!(expect_json(&HeaderMap::new()), Ok(()));
        for value in ["application/json", "Application/JSON; charset=utf-8", "text/json", "application/problem+json", ""] {
            assert_eq!(expect_json(&headers(header::CONTENT_TYPE, value)), Ok(()), "{value}");
        }
        assert_eq!(expect_json_or_form(&headers(header::CONTENT_TYPE, "application/x-www-form-urlencoded")), Ok(()));
        assert!(expect_json_or_form(&headers(header::CONTENT_TYPE, "text/plain")).is_err());
        for value in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=json"] {
            let refused = expect_json(&headers(header::CONTENT_TYPE, value));
            assert!(matches!(refused, Err(Refusal::ContentType { want: "application/json", .. })), "{value}");
        }
    }

    #[test]
    fn a_body_compressed_for_its_transfer_is_refused_and_an_upload_that_is_compressed_at_all() {
        assert_eq!(expect_plain(&headers(header::CONTENT_ENCODING, "identity")), Ok(()));
        assert!(matches!(expect_plain(&headers(header::CONTENT_ENCODING, "gzip")), Err(Refusal::ContentEncoding(e)) if e == "gzip"));
        assert_eq!(expect_json(&headers(header::TRANSFER_ENCODING, "Chunked")), Ok(()));
        assert!(matches!(expect_json(&headers(header::TRANSFER_ENCODING, "gzip, chunked")), Err(Refusal::ContentEncoding(_))));
        let mut twice = headers(header::CONTENT_ENCODING, "identity");
        twice.append(header::CONTENT_ENCODING, "gzip".parse().expect("a value"));
        assert!(matches!(expect_plain(&twice), Err(Refusal::ContentEncoding(e)) if e == "gzip"));
    }
}
