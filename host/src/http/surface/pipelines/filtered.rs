//! A body that Open WebUI sends through a filter. What the hook does not change goes back byte for byte, whatever it is: the client puts the answer
//! in the place of what it sent, and has fields there that nobody else knows.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::codec::{self, Invalid, json_string, parse_fields, raw_json, to_json};
use crate::chat::{Choice, Completion, Fields, Json, Message};

const MODEL: &str = "model";
const MESSAGES: &str = "messages";
const STREAM: &str = "stream";
const CONTENT: &str = "content";
/// What Open WebUI draws of a message.
const OUTPUT: &str = "output";

/// A call of a filter.
pub(super) struct Filtered {
    /// The body as it came.
    pub(super) raw: Bytes,
    pub(super) body: Fields,
    /// For whom Open WebUI asks.
    pub(super) user: Option<Json>,
}

/// The messages of a body, each as it came and as it was read.
pub(super) struct Messages {
    raw: Vec<Json>,
    pub(super) read: Vec<Message>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
    #[serde(borrow, default)]
    user: Option<&'a RawValue>,
}

/// # Errors
/// If it is no object with an object `body`.
pub(super) fn read(text: &Bytes) -> Result<Filtered, Invalid> {
    let Envelope { body, user } = serde_json::from_slice(text).map_err(|error| {
        let param = error.is_data().then(|| "body".to_owned());
        Invalid { param, message: format!("a filter is called with {{\"body\": {{…}}, \"user\": {{…}}}}: {error}") }
    })?;
    let fields = parse_fields(body.get().as_bytes())
        .map_err(|invalid| Invalid { param: Some("body".into()), message: format!("body: {}", invalid.message) })?;
    Ok(Filtered { raw: text.slice_ref(body.get().as_bytes()), body: fields, user: user.map(ToOwned::to_owned) })
}

impl Filtered {
    pub(super) fn field(&self, name: &str) -> Option<&Json> {
        self.body.iter().find_map(|(known, json)| (known == name).then_some(json))
    }

    pub(super) fn model(&self) -> String {
        self.field(MODEL).and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
    }

    pub(super) fn streams(&self) -> bool {
        self.field(STREAM).is_some_and(|json| json.get() == "true")
    }

    /// What a hook knows as the request's parameters: every field but those that the host has a place for.
    pub(super) fn params(&self) -> Fields {
        self.body.iter().filter(|(name, _)| ![MODEL, MESSAGES, STREAM].contains(&name.as_str())).cloned().collect()
    }

    /// # Errors
    /// There are none, or one of them is no message.
    pub(super) fn messages(&self) -> Result<Messages, Invalid> {
        let invalid = |at: String, why: String| Invalid { message: format!("{at}: {why}"), param: Some(at) };
        let list = self.field(MESSAGES).ok_or_else(|| invalid("body.messages".into(), "is missing".into()))?;
        let raw: Vec<Json> = serde_json::from_str(list.get()).map_err(|error| invalid("body.messages".into(), error.to_string()))?;
        let read = raw
            .iter()
            .enumerate()
            .map(|(at, json)| serde_json::from_str(json.get()).map_err(|error| invalid(format!("body.messages[{at}]"), error.to_string())));
        let read = read.collect::<Result<_, _>>()?;
        Ok(Messages { raw, read })
    }

    /// The body with what a pre-hook left of it. `model` is one that the hook chose.
    pub(super) fn after_inlet(&self, before: &Messages, model: Option<&str>, messages: &[Message], params: &Fields) -> Bytes {
        let now: Vec<Bytes> = messages.iter().map(to_json).collect();
        let was: Vec<Bytes> = before.read.iter().map(to_json).collect();
        let same_params = same(&self.params(), params);
        if now == was && same_params && model.is_none() {
            return self.raw.clone();
        }
        let mut changed = Fields::new();
        for (name, json) in &self.body {
            match name.as_str() {
                MODEL => changed.push((name.clone(), model.map_or_else(|| json.clone(), json_string))),
                MESSAGES if now != was => changed.push((name.clone(), before.list(&was, &now))),
                MESSAGES | STREAM => changed.push((name.clone(), json.clone())),
                _ => changed.extend(params.iter().find(|(param, _)| param == name).cloned()),
            }
        }
        let is_new = |name: &str| self.body.iter().all(|(known, _)| known != name);
        changed.extend(params.iter().filter(|(name, _)| is_new(name)).cloned());
        to_json(&codec::object(&changed))
    }

    /// The body with the reply that a post-hook left, at the message of that index.
    pub(super) fn after_outlet(&self, before: &Messages, at: usize, message: &Message) -> Result<Bytes, Invalid> {
        let mut fields = parse_fields(before.raw[at].get().as_bytes())?;
        for (name, json) in &mut fields {
            match name.as_str() {
                CONTENT => *json = raw_json(&message.content),
                OUTPUT => *json = output(json, &message.joined_text()),
                _ => {}
            }
        }
        let mut list = before.raw.clone();
        list[at] = codec::object(&fields);
        let with_list = |(name, json): &(String, Json)| {
            let json = if name == MESSAGES { raw_json(&list) } else { json.clone() };
            (name.clone(), json)
        };
        Ok(to_json(&codec::object(&self.body.iter().map(with_list).collect())))
    }
}

impl Messages {
    /// The messages as they are now, those that are as they were in the bytes in which they came.
    fn list(&self, was: &[Bytes], now: &[Bytes]) -> Json {
        let mut known: HashMap<&Bytes, Vec<usize>> = HashMap::new();
        // The last first, because they are taken from the end.
        for (at, text) in was.iter().enumerate().rev() {
            known.entry(text).or_default().push(at);
        }
        let list = now.iter().map(|text| match known.get_mut(text).and_then(Vec::pop) {
            Some(at) => self.raw[at].clone(),
            None => json_of(text),
        });
        raw_json(&list.collect::<Vec<_>>())
    }

    /// The newest message of the assistant, as a reply.
    pub(super) fn reply(&self, model: &str) -> Option<(usize, Completion)> {
        let at = self.read.iter().rposition(|message| message.role == "assistant")?;
        let mut message = self.read[at].clone();
        // The client's own fields are none of the model's.
        let extra = std::mem::take(&mut message.extra);
        let of = |name: &str| extra.iter().find(|(known, json)| known == name && json.get() != "null").map(|(_, json)| json.clone());
        let finish_reason = of("finish_reason").and_then(|json| serde_json::from_str(json.get()).ok());
        let choice = Choice { index: 0, message, finish_reason, extra: Fields::new() };
        let id = of("id").and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default();
        Some((at, Completion { id, created: 0, model: model.to_owned(), choices: vec![choice], usage: of("usage"), extra: Fields::new() }))
    }
}

fn same(one: &Fields, other: &Fields) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|((a, x), (b, y))| a == b && x.get() == y.get())
}

fn json_of(text: &Bytes) -> Json {
    serde_json::from_slice::<&RawValue>(text).map(ToOwned::to_owned).unwrap_or_default()
}

/// What Open WebUI draws, with that text: in the first place where there is text, and in no other.
fn output(json: &Json, text: &str) -> Json {
    let Ok(mut items) = serde_json::from_str::<Value>(json.get()) else { return json.clone() };
    let mut text = Some(text);
    for item in items.as_array_mut().into_iter().flatten().filter(|item| item["type"].as_str().unwrap_or("message") == "message") {
        for part in item.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten() {
            if part.get("text").is_some_and(Value::is_string) {
                part["text"] = text.take().unwrap_or_default().into();
            }
        }
    }
    raw_json(&items)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{ "model":"m" ,"stream":true,"messages":[{"role":"system","content":"s"},{"content":null,"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
      {"role":"user","content":[{"type":"text","text":"a\u0062"},{"type":"image_url","image_url":{"url":"data:,"}}],"files":[1]}],
      "user":{"id":"u","name":"N"},"metadata":{"z":1.0,"a":null},"features":{"web_search":false},"temperature":1e0}"#;

    fn filtered() -> Filtered {
        read(&Bytes::from(format!(r#"{{"user":null,"more":1,"body":{BODY}}}"#))).expect("a call")
    }

    #[test]
    fn what_the_hook_leaves_alone_is_the_same_bytes() {
        let filtered = filtered();
        let messages = filtered.messages().expect("messages");
        assert_eq!(filtered.after_inlet(&messages, None, &messages.read, &filtered.params()), BODY);
        assert!(filtered.user.is_none() && filtered.streams() && filtered.model() == "m");
    }

    #[test]
    fn beside_a_change_everything_else_keeps_its_bytes_and_its_place() {
        let filtered = filtered();
        let messages = filtered.messages().expect("messages");
        let mut now = messages.read.clone();
        now.insert(0, Message::text("system", "new"));
        let mut params = filtered.params();
        params.retain(|(name, _)| name != "features");
        params.push(("top_p".into(), json_string("x")));
        let text = filtered.after_inlet(&messages, Some("other"), &now, &params);
        let text = std::str::from_utf8(&text).expect("UTF-8");
        assert!(text.starts_with(r#"{"model":"other","stream":true,"messages":[{"role":"system","content":"new"},{"role":"system","content":"s"},{"content":null,"role""#), "{text}");
        assert!(text.contains(r#""text":"a\u0062""#) && text.contains(r#""files":[1]"#), "{text}");
        assert!(text.ends_with(r#""user":{"id":"u","name":"N"},"metadata":{"z":1.0,"a":null},"temperature":1e0,"top_p":"x"}"#), "{text}");
    }

    #[test]
    fn messages_that_are_the_same_twice_come_back_in_their_order() {
        let text = r#"{"body":{"messages":[{"role":"user","content":"a"},{"content":"a","role":"user"},{"role":"user","content":"b"}]}}"#;
        let filtered = read(&Bytes::from_static(text.as_bytes())).expect("a call");
        let messages = filtered.messages().expect("messages");
        let mut now = messages.read.clone();
        now.remove(2);
        let text = filtered.after_inlet(&messages, None, &now, &filtered.params());
        assert_eq!(text, r#"{"messages":[{"role":"user","content":"a"},{"content":"a","role":"user"}]}"#);
    }

    #[test]
    fn a_reply_is_the_newest_one_and_its_text_stands_in_what_is_drawn_too() {
        let text = r#"{"body":{"messages":[{"id":"1","role":"user","content":"q"},{"id":"2","role":"assistant","content":"old","info":{"x":1.0},
            "output":[{"type":"reasoning","content":[{"type":"output_text","text":"why"}]},{"type":"message","content":[{"type":"output_text","text":"o"},{"type":"output_text","text":"ld"}]}],
            "usage":{"total_tokens":3},"finish_reason":"stop"}],"chat_id":"c","id":"2"}}"#;
        let filtered = read(&Bytes::from_static(text.as_bytes())).expect("a call");
        let messages = filtered.messages().expect("messages");
        let (at, completion) = messages.reply("m").expect("a reply");
        assert_eq!((at, completion.id.as_str(), completion.choices[0].finish_reason.as_deref()), (1, "2", Some("stop")));
        assert_eq!(completion.usage.as_ref().map(|json| json.get()), Some(r#"{"total_tokens":3}"#));
        let changed = filtered.after_outlet(&messages, at, &Message::text("assistant", "new")).expect("a body");
        let changed: Value = serde_json::from_slice(&changed).expect("JSON");
        assert_eq!(changed["messages"][1]["content"], "new");
        let output = &changed["messages"][1]["output"];
        assert_eq!(
            (&output[0]["content"][0]["text"], &output[1]["content"][0]["text"], &output[1]["content"][1]["text"]),
            (&Value::from("why"), &Value::from("new"), &Value::from(""))
        );
        assert_eq!((&changed["messages"][1]["info"]["x"], &changed["chat_id"]), (&Value::from(1.0), &Value::from("c")));
    }

    #[test]
    fn a_body_that_is_none_names_what_is_wrong() {
        for (text, param) in [("{}", "body"), (r#"{"body":[]}"#, "body"), (r#"{"body":null}"#, "body")] {
            let refused = read(&Bytes::from_static(text.as_bytes())).err().expect("refused");
            assert_eq!(refused.param.as_deref(), Some(param), "{text}");
        }
        let filtered = read(&Bytes::from_static(br#"{"body":{"messages":[{"content":"x"}]}}"#)).expect("a call");
        assert_eq!(filtered.messages().err().expect("refused").param.as_deref(), Some("body.messages[0]"));
    }
}
