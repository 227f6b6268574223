//! What a hook in the style of the web gets: `{messages, metadata}` as JSON. A message's `content` is always a string; what else a message
//! has stands beside it under the API's names, and parts that are no plain string under `content_parts`.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::chat::codec::alike;
use crate::chat::{Content, Message, Metadata, RequestId};
use crate::sandbox::Hook;

/// Where the parts of a message stand.
pub(super) const PARTS: &str = "content_parts";
/// The host that the request is addressed to; nothing has that name elsewhere.
const HOST: &str = "cofferdam.internal";

/// A request to a hook.
pub(in crate::sandbox) struct Asked {
    hook: Hook,
    id: RequestId,
    body: Bytes,
    /// Where each message stands in the body.
    messages: Vec<Range<usize>>,
}

impl Asked {
    pub(in crate::sandbox) fn of<'a>(hook: Hook, id: &RequestId, messages: impl Iterator<Item = &'a Message>, metadata: &Metadata) -> Self {
        let mut body = b"{\"messages\":[".to_vec();
        let mut places = Vec::new();
        for message in messages {
            if !places.is_empty() {
                body.push(b',');
            }
            let from = body.len();
            write(&mut body, &Shown(message));
            places.push(from..body.len());
        }
        body.extend_from_slice(b"],\"metadata\":");
        write(&mut body, metadata);
        body.push(b'}');
        Self { hook, id: id.clone(), body: body.into(), messages: places }
    }

    /// The request. Its path is the hook that is asked.
    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        let path = match self.hook {
            Hook::Post => "/post_hook",
            _ => "/pre_hook",
        };
        *request.uri_mut() = http::Uri::from_static(path);
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static(HOST));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, self.body.len().into());
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert("x-request-id", id);
        }
        request
    }

    #[cfg(test)]
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// How many messages were handed over.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// The message of that place, as its JSON.
    pub(super) fn text(&self, at: usize) -> &[u8] {
        &self.body[self.messages[at].clone()]
    }
}

fn write<T: Serialize>(body: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(body, value).expect("domain values have string keys and write to memory");
}

/// A message in the shape of these hooks.
struct Shown<'a>(&'a Message);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Message { role, content, name, tool_calls, tool_call_id, extra } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", role)?;
        match content {
            Content::Text(text) => map.serialize_entry("content", text)?,
            Content::Null | Content::Parts(_) => map.serialize_entry("content", &self.0.joined_text())?,
        }
        if let Some(name) = name {
            map.serialize_entry("name", name)?;
        }
        if !tool_calls.is_empty() {
            map.serialize_entry("tool_calls", tool_calls)?;
        }
        if let Some(id) = tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        if let Content::Parts(parts) = content {
            map.serialize_entry(PARTS, parts)?;
        }
        // A client's own field of that name must not look like parts that the model will get.
        for (name, value) in extra.iter().filter(|(name, _)| !alike(name, PARTS)) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
