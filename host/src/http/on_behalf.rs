//! For whom Open WebUI asks, as plugins read it: keys of `metadata` with documented names. What it sends beside a body is not trusted more than the
//! key that it comes with: whoever has the key may say that it asks for anybody.

use hyper::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::chat::codec::raw_json;
use crate::chat::{Fields, Json, Metadata};

/// An object with `id`, `name`, `email` and `role`, as far as they were said.
pub(super) const USER: &str = "openwebui.user";
/// Strings.
const CHAT: &str = "openwebui.chat_id";
/// What the request is for if it is no chat: `title_generation` and others.
const TASK: &str = "openwebui.task";

/// The headers that Open WebUI sends with completions if it is told to, and the user's field that each fills.
const USER_HEADERS: [(&str, &str); 4] = [
    ("x-openwebui-user-id", "id"),
    ("x-openwebui-user-name", "name"),
    ("x-openwebui-user-email", "email"),
    ("x-openwebui-user-role", "role"),
];
const CHAT_HEADER: &str = "x-openwebui-chat-id";

/// Bytes of one value that is kept.
const VALUE_BYTES: usize = 4 << 10;

/// What a call of a filter says: `user` beside the body, and of the body its own ids and those in its `metadata`.
pub(super) fn of_filter(user: Option<&Json>, body: &Fields) -> Metadata {
    let mut metadata = Metadata::new();
    if let Some(user) = user {
        put(&mut metadata, USER, user);
    }
    let within = body.iter().find(|(name, _)| name == "metadata").map(|(_, json)| json);
    let within = within.and_then(|json| serde_json::from_str::<Map<String, Value>>(json.get()).ok()).unwrap_or_default();
    let own = |name: &str| body.iter().find(|(known, _)| known == name).map(|(_, json)| json.clone());
    for (key, names) in [
        (CHAT, &["chat_id"][..]),
        // Outlets have the message's id as `id`.
        ("openwebui.message_id", &["message_id", "id"]),
        ("openwebui.session_id", &["session_id"]),
        (TASK, &["task"]),
    ] {
        let said = names.iter().find_map(|name| within.get(*name).map(raw_json).or_else(|| own(name)));
        if let Some(said) = said {
            put(&mut metadata, key, &said);
        }
    }
    metadata
}

/// What a completion says: the field `user` if it is an object, which it then is no more, and headers.
pub(super) fn of_chat(headers: &HeaderMap, params: &mut Fields) -> Metadata {
    let mut metadata = Metadata::new();
    let text = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        percent_decode_str(value).decode_utf8().ok().map(|text| Value::from(text.into_owned()))
    };
    let user: Map<String, Value> =
        USER_HEADERS.iter().filter_map(|(header, field)| text(header).map(|value| ((*field).to_owned(), value))).collect();
    if !user.is_empty() {
        put(&mut metadata, USER, &raw_json(&user));
    }
    if let Some(chat) = text(CHAT_HEADER) {
        put(&mut metadata, CHAT, &raw_json(&chat));
    }
    let Some((_, json)) = params.iter_mut().find(|(name, _)| name == "user") else { return metadata };
    let Ok(user) = serde_json::from_str::<Map<String, Value>>(json.get()) else { return metadata };
    put(&mut metadata, USER, json);
    // Providers take a string.
    match user.get("id").filter(|id| id.is_string()) {
        Some(id) => *json = raw_json(id),
        None => params.retain(|(name, _)| name != "user"),
    }
    metadata
}

fn put(metadata: &mut Metadata, key: &str, value: &Json) {
    if value.get() != "null" && value.get().len() <= VALUE_BYTES {
        metadata.insert(key.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::parse_fields;

    fn shown(metadata: &Metadata) -> Vec<String> {
        metadata.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn a_filter_s_call_names_user_chat_message_and_task() {
        let body = parse_fields(
            br#"{"model":"m","metadata":{"chat_id":"c","message_id":"m1","session_id":null,"task":"title_generation"},"id":"other"}"#,
        )
        .expect("an object");
        let user = crate::chat::codec::json(r#"{"id":"u"}"#.into()).expect("JSON");
        let told = shown(&of_filter(Some(&user), &body));
        assert_eq!(
            told,
            [
                r#"openwebui.chat_id="c""#,
                r#"openwebui.message_id="m1""#,
                r#"openwebui.task="title_generation""#,
                r#"openwebui.user={"id":"u"}"#
            ]
        );
        let outlet = parse_fields(br#"{"chat_id":"c","session_id":"s","id":"m2"}"#).expect("an object");
        assert_eq!(
            shown(&of_filter(None, &outlet)),
            [r#"openwebui.chat_id="c""#, r#"openwebui.message_id="m2""#, r#"openwebui.session_id="s""#]
        );
    }

    #[test]
    fn a_user_that_is_an_object_becomes_a_name_for_providers() {
        let headers = HeaderMap::from_iter([
            ("x-openwebui-user-name".parse().expect("a name"), "J%C3%B6rg".parse().expect("a value")),
            (CHAT_HEADER.parse().expect("a name"), "c".parse().expect("a value")),
        ]);
        let mut params = parse_fields(br#"{"user":{"name":"Ada","id":"u"},"n":1}"#).expect("an object");
        assert_eq!(shown(&of_chat(&headers, &mut params)), [r#"openwebui.chat_id="c""#, r#"openwebui.user={"name":"Ada","id":"u"}"#]);
        assert_eq!(params[0].1.get(), r#""u""#);
        let mut params = parse_fields(br#"{"user":{},"n":1}"#).expect("an object");
        assert_eq!(shown(&of_chat(&HeaderMap::new(), &mut params)), ["openwebui.user={}"]);
        assert_eq!(params.len(), 1);
        let mut params = parse_fields(br#"{"user":"plain"}"#).expect("an object");
        assert_eq!(shown(&of_chat(&headers, &mut params))[1], "openwebui.user={\"name\":\"Jörg\"}");
        assert_eq!(params[0].1.get(), r#""plain""#);
    }
}
