//! The adapter for OpenAI, whose dialect is the canonical form, and for every server that speaks it; and what all OpenAI-shaped requests share.
//! Usage is asked for with every stream, so that what a reply used is known. The fields of a request keep their order, and those that do not
//! change keep their bytes. If a server differs from OpenAI, the normalizer corrects its replies.
//! Source: OpenAI API reference, "Create chat completion".

use std::borrow::Cow;
use std::fmt;

use http::{HeaderName, StatusCode, Uri, header};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::OpenAiNormalizer;
use super::embeddings::{decode_embeddings, embeddings_body};
use super::errors::{in_band, provider_error};
use crate::chat::codec::request_json;
use crate::chat::{Embedded, Fields, Json};
use crate::llm::adapter::{
    CompletionRequest, DecodeError, Decoding, Dialect, Embeddings, EmbeddingsRequest, HttpRequest, ProviderError, Reranking, Takes,
    UnsupportedField,
};
use crate::llm::call_id;
use crate::llm::fit::hoisted;
use crate::llm::vendor::{ANY_URL, OptionKeys, VendorInfo};

/// The host of OpenAI's own API; those of regions end in it.
const OPENAI: &str = "api.openai.com";

pub(in crate::llm) const INFO: VendorInfo =
    VendorInfo { name: "openai", system: "openai", default_url: Some("https://api.openai.com/v1"), url_hint: ANY_URL };

/// The keys of an entry of the kind `openai`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAiOptions {
    /// Usage is asked for with every stream; some old servers refuse the question.
    pub stream_usage: bool,
    pub auth: KeyHeader,
    pub custom_tools: CustomTools,
    /// Fields that are never sent: some servers refuse what they do not know, and clients send it unasked.
    pub leave_out: Vec<String>,
}

/// The header that carries the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyHeader {
    /// `authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// `api-key: KEY`, as Azure and gateways of its kind want it.
    ApiKey,
    /// `x-api-key: KEY`, as Anthropic and many gateways want it.
    XApiKey,
}

impl KeyHeader {
    /// The header's name, and its value.
    fn with(self, key: &str) -> (HeaderName, String) {
        match self {
            Self::Bearer => (header::AUTHORIZATION, format!("Bearer {key}")),
            Self::ApiKey => (HeaderName::from_static("api-key"), key.to_owned()),
            Self::XApiKey => (HeaderName::from_static("x-api-key"), key.to_owned()),
        }
    }
}

/// Fields that an operator may list.
const LEFT_OUT_MAX: usize = 32;

/// Whether a request is still one without the field of that name.
fn can_be_left_out(name: &str) -> bool {
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name && !["input", "messages", "model", "stream"].contains(&name)
}

/// How tools of the type `custom` are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CustomTools {
    /// As they are to OpenAI itself, and as functions to other servers, of which few know anything else.
    #[default]
    Auto,
    AsSent,
    AsFunctions,
}

impl Default for OpenAiOptions {
    fn default() -> Self {
        Self { stream_usage: true, auth: KeyHeader::default(), custom_tools: CustomTools::default(), leave_out: Vec::new() }
    }
}

impl OpenAiOptions {
    pub(in crate::llm) fn visit(&mut self, keys: &mut impl OptionKeys) {
        keys.flag("stream_usage", &mut self.stream_usage);
        let headers = [("bearer", KeyHeader::Bearer), ("api-key", KeyHeader::ApiKey), ("x-api-key", KeyHeader::XApiKey)];
        keys.choice("auth", &mut self.auth, &headers);
        let words = [("auto", CustomTools::Auto), ("as-sent", CustomTools::AsSent), ("as-functions", CustomTools::AsFunctions)];
        keys.choice("custom_tools", &mut self.custom_tools, &words);
        let expected = "the name of a field that a request can do without, such as \"prompt_cache_key\"";
        keys.texts("leave_out", &mut self.leave_out, LEFT_OUT_MAX, can_be_left_out, expected);
    }
}

/// OpenAI, and every server that speaks as it does.
pub(in crate::llm) struct OpenAi {
    /// Usage is asked for with every stream; some old servers refuse the question.
    stream_usage: bool,
    /// It is OpenAI itself, which refuses long ids of calls. Other servers may need them whole, as a gateway to Gemini does.
    short_ids: bool,
    auth: KeyHeader,
    /// It takes tools of the type `custom`.
    custom_tools: bool,
    leave_out: Vec<String>,
}

impl OpenAi {
    /// The server at `base_url`.
    pub(in crate::llm) fn at(base_url: &str, options: &OpenAiOptions) -> Self {
        let host = base_url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase));
        let openai = host.is_some_and(|host| host == OPENAI || host.strip_suffix(OPENAI).is_some_and(|region| region.ends_with('.')));
        let custom_tools = match options.custom_tools {
            CustomTools::Auto => openai,
            CustomTools::AsSent => true,
            CustomTools::AsFunctions => false,
        };
        let OpenAiOptions { stream_usage, auth, ref leave_out, .. } = *options;
        Self { stream_usage, short_ids: openai, auth, custom_tools, leave_out: leave_out.clone() }
    }
}

impl Dialect for OpenAi {
    fn encode_chat(&self, request: &CompletionRequest<'_>) -> Result<(HttpRequest, Decoding), UnsupportedField> {
        let mut messages = if self.short_ids { call_id::fitted(request.messages) } else { request.messages.into() };
        if let Some(hoisted) = hoisted(&messages) {
            messages = hoisted.into();
        }
        let mut params = params(request, self.stream_usage);
        params.retain(|(name, _)| !self.leave_out.contains(name));
        let body = request_json(request.model, &messages, &params, request.stream);
        let normalizer = OpenAiNormalizer::new(request.name.clone(), wants_usage(request.params));
        Ok((HttpRequest { path: "/chat/completions".into(), headers: Vec::new(), body }, Decoding::OpenAi(Box::new(normalizer))))
    }

    fn takes(&self) -> Takes {
        Takes { custom_tools: self.custom_tools, ..Takes::ALL }
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    fn reranking(&self) -> Option<&dyn Reranking> {
        Some(self)
    }

    fn credentials(&self, key: &str) -> (HeaderName, String) {
        self.auth.with(key)
    }

    fn provider_error(&self, _: StatusCode, json: &serde_json::Value) -> ProviderError {
        provider_error(json)
    }
}

impl Embeddings for OpenAi {
    fn encode_embeddings(&self, request: &EmbeddingsRequest<'_>) -> Result<HttpRequest, UnsupportedField> {
        let leaves_out = |name: &str| self.leave_out.iter().any(|left_out| left_out == name);
        let request = &EmbeddingsRequest {
            dimensions: request.dimensions.filter(|_| !leaves_out("dimensions")),
            user: request.user.filter(|_| !leaves_out("user")),
            ..*request
        };
        Ok(HttpRequest { path: "/embeddings".into(), headers: Vec::new(), body: embeddings_body(request) })
    }

    fn decode_embeddings(&self, inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError> {
        decode_embeddings(inputs, body, in_band)
    }
}

/// The client's fields as they are sent. `stream_usage`: the provider can be asked for the usage of a stream. One that cannot often refuses
/// `stream_options`, so they are left out.
pub(in crate::llm) fn params(request: &CompletionRequest<'_>, stream_usage: bool) -> Fields {
    let mut params = request.params.clone();
    let at = params.iter().position(|(name, _)| name == "stream_options");
    match (request.stream && stream_usage, at) {
        (false, Some(at)) => drop(params.remove(at)),
        (false, None) => {}
        (true, Some(at)) => {
            if let Some(options) = with_usage(&params[at].1) {
                params[at].1 = options;
            }
        }
        (true, None) => params.extend(with_usage(RawValue::NULL).map(|options| ("stream_options".to_owned(), options))),
    }
    params
}

/// Whether the client asked for the usage of a stream.
pub(in crate::llm) fn wants_usage(params: &Fields) -> bool {
    #[derive(serde::Deserialize)]
    struct Asked {
        include_usage: Option<bool>,
    }
    let options = params.iter().find(|(name, _)| name == "stream_options");
    let asked: Option<Asked> = options.and_then(|(_, options)| serde_json::from_str(options.get()).ok());
    asked.is_some_and(|asked| asked.include_usage == Some(true))
}

/// `stream_options` with usage asked for; none if they are no object, which is left for the provider to refuse.
fn with_usage(options: &RawValue) -> Option<Json> {
    let mut options = if options.get() == "null" { Object::default() } else { Object::read(options)? };
    options.set("include_usage", to_raw_value(&true).expect("true is JSON"));
    Some(options.json())
}

/// The fields in their order.
#[derive(Default)]
pub(in crate::llm) struct Object<'a>(Vec<(String, Cow<'a, RawValue>)>);

impl<'a> Object<'a> {
    /// None if `raw` is no object.
    pub(in crate::llm) fn read(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    pub(in crate::llm) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find_map(|(field, value)| (field == name).then_some(&**value))
    }

    /// Sets a field in its place, or before all others if it is new.
    pub(in crate::llm) fn set(&mut self, name: &str, value: Json) {
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, place)) => *place = Cow::Owned(value),
            None => self.0.insert(0, (name.to_owned(), Cow::Owned(value))),
        }
    }

    /// Keeps the fields that are wanted.
    pub(in crate::llm) fn retain(&mut self, wanted: impl Fn(&str, &RawValue) -> bool) {
        self.0.retain(|(name, value)| wanted(name, value));
    }

    pub(in crate::llm) fn json(&self) -> Json {
        to_raw_value(self).expect("an object of JSON values is JSON")
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, &**value)))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((name, Cow::Borrowed(value)));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        crate::llm::golden::check(&OpenAi::at("http://127.0.0.1/v1", &OpenAiOptions::default()), "openai");
    }

    #[test]
    fn long_ids_of_calls_are_shortened_for_openai_itself() {
        let body = |base_url: &str| {
            let long = format!("call_1__thought__{}", "a".repeat(99));
            let messages = [crate::chat::Message { tool_call_id: Some(long.clone()), ..crate::chat::Message::text("tool", "1") }];
            let name = crate::chat::Name { id: "i".into(), model: "m".into(), created: 1 };
            let unsupported = crate::llm::adapter::Unsupported::Refuse;
            let request = CompletionRequest { model: "m", messages: &messages, params: &Vec::new(), stream: false, unsupported, name };
            let (wire, _) = OpenAi::at(base_url, &OpenAiOptions::default())
                .encode_chat(&request)
                .unwrap_or_else(|unsupported| panic!("{unsupported:?}"));
            String::from_utf8_lossy(&wire.body).contains(&long)
        };
        for (base_url, as_sent) in [
            ("https://api.openai.com/v1", false),
            ("https://eu.API.openai.com/v1", false),
            ("https://notapi.openai.com/v1", true),
            ("http://127.0.0.1:4000/v1", true),
        ] {
            assert_eq!(body(base_url), as_sent, "{base_url}");
        }
    }

    #[test]
    fn a_key_is_a_bearer_token_or_stands_in_the_header_that_the_operator_chose() {
        for (auth, name, value) in
            [(KeyHeader::Bearer, "authorization", "Bearer k"), (KeyHeader::ApiKey, "api-key", "k"), (KeyHeader::XApiKey, "x-api-key", "k")]
        {
            let options = OpenAiOptions { auth, ..OpenAiOptions::default() };
            let (found, text) = OpenAi::at("http://127.0.0.1/v1", &options).credentials("k");
            assert_eq!((found.as_str(), text.as_str()), (name, value));
        }
    }
}

#[cfg(test)]
mod left_out_tests {
    use super::*;
    use crate::chat::Name;
    use crate::chat::codec::{json, parse_request};
    use crate::llm::adapter::Unsupported;

    fn server() -> OpenAi {
        let leave_out = ["prompt_cache_key", "stream_options", "user"].map(str::to_owned).into();
        OpenAi::at("http://127.0.0.1/v1", &OpenAiOptions { leave_out, ..OpenAiOptions::default() })
    }

    #[test]
    fn what_a_server_refuses_is_never_sent_to_it() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":7,"prompt_cache_key":"k","user":"u"}"#;
        let asked = parse_request(body).expect("a request");
        let name = Name { id: "i".into(), model: "m".into(), created: 1 };
        let (messages, params) = (&asked.messages, &asked.params);
        let request = CompletionRequest { model: "m", messages, params, stream: true, unsupported: Unsupported::Refuse, name };
        let (sent, _) = server().encode_chat(&request).unwrap_or_else(|unsupported| panic!("{unsupported:?}"));
        assert_eq!(&sent.body[..], br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"seed":7}"#);
        let tokens = json("[[1]]".into()).expect("JSON");
        let request = EmbeddingsRequest { model: "m", inputs: &[], tokens: Some(&tokens), dimensions: Some(8), user: Some("u") };
        let sent = server().encode_embeddings(&request).unwrap_or_else(|unsupported| panic!("{unsupported:?}"));
        assert_eq!(&sent.body[..], br#"{"model":"m","input":[[1]],"dimensions":8}"#);
    }

    #[test]
    fn a_field_that_makes_the_request_cannot_be_left_out() {
        assert!(["encoding_format", "n", "X1"].into_iter().all(can_be_left_out));
        assert!(!["", "model", "messages", "input", "stream", "a b", &"x".repeat(65)].into_iter().any(can_be_left_out));
    }
}

#[cfg(test)]
mod request_tests {
    use super::*;
    use crate::chat::Name;
    use crate::chat::codec::{json, parse_request};
    use crate::llm::adapter::Unsupported;

    fn options(given: Option<&str>, stream: bool, stream_usage: bool) -> Option<String> {
        let mut fields: Fields = vec![("seed".into(), json("1".into()).expect("JSON"))];
        fields.extend(given.map(|given| ("stream_options".to_owned(), json(given.into()).expect("JSON"))));
        let name = Name { id: "i".into(), model: "m".into(), created: 1 };
        let request = CompletionRequest { model: "m", messages: &[], params: &fields, stream, unsupported: Unsupported::Refuse, name };
        let params = params(&request, stream_usage);
        assert_eq!(params[0].1.get(), "1");
        params.iter().find(|(name, _)| name == "stream_options").map(|(_, options)| options.get().to_owned())
    }

    #[test]
    fn usage_is_asked_for_with_every_stream() {
        let asked = Some(r#"{"include_usage":true}"#.to_owned());
        for given in [None, Some("null"), Some("{}"), Some(r#"{"include_usage":false}"#), Some(r#"{"include_usage":null}"#)] {
            assert_eq!(options(given, true, true), asked, "{given:?}");
        }
        let kept = options(Some(r#"{"include_obfuscation":false,"include_usage":false,"x":1.0}"#), true, true);
        assert_eq!(kept.as_deref(), Some(r#"{"include_obfuscation":false,"include_usage":true,"x":1.0}"#));
        assert_eq!(options(Some("5"), true, true).as_deref(), Some("5"));
    }

    #[test]
    fn stream_options_are_left_out_where_they_have_no_place() {
        for given in [None, Some(r#"{"include_usage":true}"#)] {
            assert_eq!(options(given, false, true), None);
            assert_eq!(options(given, true, false), None);
        }
    }

    #[test]
    fn a_client_asks_for_usage_with_true_alone() {
        for (given, expected) in
            [("{\"include_usage\":true}", true), ("{\"include_usage\":false}", false), ("{}", false), ("null", false), ("7", false)]
        {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"stream_options":{given}}}"#);
            assert_eq!(wants_usage(&parse_request(body.as_bytes()).expect("a request").params), expected, "{given}");
        }
    }
}

#[cfg(test)]
mod object_tests {
    use super::*;
    use crate::chat::codec::{json, json_string};

    #[test]
    fn fields_keep_their_order_and_bytes() {
        let raw = json(r#"{"z":1.50,"a":{ "k":1e999},"m":null}"#.into()).expect("JSON");
        let mut object = Object::read(&raw).expect("an object");
        object.set("a", json_string("x"));
        object.set("new", json_string("y"));
        object.retain(|_, value| value.get() != "null");
        assert_eq!(object.json().get(), r#"{"new":"y","z":1.50,"a":"x"}"#);
        assert_eq!(object.get("z").map(RawValue::get), Some("1.50"));
        assert!(Object::read(&json("[]".into()).expect("JSON")).is_none());
    }
}
