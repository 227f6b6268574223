//! A request's JSON body from its first byte to a value: reserved as it comes, looked at, and parsed where it holds nobody up.
//! Invariant: what was reserved is held by the request's log, which outlives the value, and by the parse, which may outlive the request.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bodies::Reserved;
use super::encoded::Encoding;
use super::error::{Failure, Refusal};
use super::request_body::{collect, expect_json};
use super::request_log::RequestLog;
use super::shared::Shared;
use crate::chat::codec::{self, Checked, Form};

/// Longer bodies are parsed on a thread of their own. A body of this length can hold this one up for some milliseconds at the worst, and one as
/// clients send them for a tenth of one.
const INLINE_BYTES: usize = 64 << 10;

const KEY: &str = "limits.http.body_bytes";

/// What a handler does to read a body, with its place in the request.
pub(super) struct Reading<'a> {
    pub(super) shared: &'a Shared,
    pub(super) head: &'a Parts,
    pub(super) body: &'a mut Incoming,
    pub(super) log: &'a mut RequestLog,
}

impl Reading<'_> {
    /// The body, which says it is JSON or does not say, as `parse` reads it.
    pub(super) async fn parsed<T, F>(self, form: Form, parse: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(Bytes) -> Result<T, Failure> + Send + 'static,
    {
        let Self { shared, head, body, log } = self;
        let limits = &shared.limits;
        let encoding = Encoding::of(&head.headers)?;
        expect_json(&head.headers)?;
        let reserved = Arc::new(Reserved::open(&shared.shares.bodies_bytes, &log.client));
        let bytes = collect(body, &reserved, limits.body_bytes, KEY, limits.body_time).await?;
        log.body = Some(Arc::clone(&reserved));
        log.body_is_in()?;
        // Few bytes may have been many before they were compressed.
        let large = encoding != Encoding::Plain || bytes.len() > INLINE_BYTES;
        let (sizes, most) = (limits.sizes(), limits.body_bytes);
        let work = move || {
            let bytes = encoding.decoded(bytes, most, KEY, |bytes| reserved.grow(bytes))?;
            let Checked { text, values } = codec::check(bytes, form, &sizes)?;
            reserved.grow_by_values(values)?;
            parse(text)
        };
        if !large {
            return work();
        }
        let turn = Arc::clone(&shared.parses).acquire_owned().await.expect("nobody closes the semaphore");
        let parsing = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        parsing.await.unwrap_or(Err(Failure::Panicked))
    }

    /// The body as a value whose form refuses what it does not know; an error names its field.
    pub(super) async fn value<T: DeserializeOwned + Send + 'static>(self, form: Form) -> Result<T, Failure> {
        self.parsed(form, |text| Ok(value(&text)?)).await
    }
}

/// A JSON text as a value; an error names its field.
pub(super) fn value<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Refusal> {
    let reader = &mut serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut *reader).map_err(|error| {
        let param = error.path().to_string();
        let param = if param == "." { "body".to_owned() } else { param };
        Refusal::field(param, error.inner().to_string())
    })?;
    reader.end().map_err(|error| Refusal::field("body", error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_json_names_its_field() {
        #[derive(Debug, serde::Deserialize)]
        struct Form {
            #[expect(dead_code, reason = "only parsed")]
            name: String,
        }
        let param = |text: &str| match value::<Form>(text.as_bytes()) {
            Err(Refusal::Field { param, .. }) => param,
            other => panic!("{other:?}"),
        };
        assert_eq!(param(r#"{"name": 1}"#), "name");
        assert_eq!(param("{}"), "body");
        assert_eq!(param("no"), "body");
        assert_eq!(param(r#"{"name": "a"} x"#), "body");
    }
}
