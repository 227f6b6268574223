//! Answers a request that its caller has made before, word for word, with the answer of then. As a pre-hook it looks the request up; as a
//! post-hook it keeps the answer. What it keeps is in the caller's own bucket, so no caller gets another one's answer, and only whole plain
//! texts are kept: no tool calls, nothing that was cut off.

use std::fmt::Write as _;

use cofferdam_guest::kv::{self, Failure, Write};
use cofferdam_guest::{Changes, HookError, Message, Part, Plugin, PostOutcome, PreOutcome, Reply, Request, config, export, log, metrics};
use serde::Deserialize;
use sha2::{Digest, Sha256};

struct ResponseCache;

/// Where the pre-hook leaves the request's key for the post-hook.
const KEY: &str = "response_cache_key";

impl Plugin for ResponseCache {
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("settings.schema.json"));
    const READS: Option<&'static [&'static str]> = Some(&["messages", "params", "metadata", "reply"]);
    const WRITES: Option<&'static [&'static str]> = Some(&["respond", "metadata.response_cache_key"]);

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let key = key(&request);
        // A cache that cannot be read is none; the request goes on.
        let kept = kv::caller().text(&key).unwrap_or_else(|failure| {
            log::warn(format_args!("the cache cannot be read: {failure:?}"));
            None
        });
        metrics::count("lookups", 1.0, &[("found", if kept.is_some() { "yes" } else { "no" })]);
        Ok(match kept {
            Some(text) => Message::assistant(text).into(),
            None => Changes::new().metadata(KEY, key.as_str()).into(),
        })
    }

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        let key = reply.metadata_json(KEY).map(|json| json.trim_matches('"').to_owned());
        if let (Some(key), Some(text)) = (key, plain_text(&reply)) {
            let ttl = config::read::<Settings>()?.ttl_seconds;
            match kv::caller().set(&key, &text, Write::new().ttl(ttl).relaxed()) {
                Ok(()) => {}
                // A full cache keeps nothing new until something in it is over; an answer that is too long is not kept.
                Err(Failure::Exhausted(_) | Failure::Invalid(_)) => metrics::count("not_kept", 1.0, &[]),
                Err(failure) => log::warn(format_args!("the cache cannot be written: {failure:?}")),
            }
        }
        Ok(PostOutcome::keep())
    }
}

export!(ResponseCache: pre_hook, post_hook);

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    ttl_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ttl_seconds: 3_600 }
    }
}

/// A hash of all that the answer may depend on: pipeline, model, every message and every other field of the request. Equal requests have
/// equal keys, and a difference anywhere makes another key.
fn key(request: &Request) -> String {
    let Request { context, model, messages, params, metadata } = request;
    let mut hash = Sha256::new();
    // The debug form tells every field and quotes every text, so no two requests run into the same one.
    let messages: Vec<Message> = messages.iter().map(|message| without_code(message.clone())).collect();
    hash.update(format!("{:?}", (&context.pipeline, model, messages, params, metadata)));
    hash.finalize().iter().fold(String::from("answer-"), |mut key, byte| {
        write!(key, "{byte:02x}").expect("a String takes every write");
        key
    })
}

/// The message without the code that the host puts around excerpts of its knowledge base, which is another one in each request: 32
/// hexadecimal digits behind `<<`. Only system messages have it.
fn without_code(mut message: Message) -> Message {
    let code = |text: &str| {
        let digits = text.split_once("<<")?.1.get(..32)?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| digits.to_owned())
    };
    for part in &mut message.content {
        if let ("system", Part::Text(part)) = (&*message.role, part)
            && let Some(code) = code(&part.text)
        {
            part.text = part.text.replace(&code, "");
        }
    }
    message
}

/// The answer, if it is one whole text and nothing else.
fn plain_text(reply: &Reply) -> Option<String> {
    let [choice] = &reply.choices[..] else { return None };
    let Message { content, tool_calls, extra, .. } = &choice.message;
    let says_more = |value: &str| !matches!(value, "null" | "[]" | "\"\"");
    let is_plain = matches!(&content[..], [Part::Text(_)]) && tool_calls.is_empty() && !extra.iter().any(|field| says_more(&field.value));
    (is_plain && choice.finish_reason.as_deref() == Some("stop")).then(|| choice.message.text())
}

#[cfg(test)]
mod tests {
    use cofferdam_guest::{Choice, Field, testing};

    use super::*;

    fn request(text: &str) -> Request {
        testing::request(vec![Message::user(text)])
    }

    /// Asks; if the cache has no answer, the model says `answer` and the cache sees it. What the caller gets.
    #[track_caller]
    fn ask(request: Request, answer: &str) -> String {
        let Changes { metadata, .. } = match ResponseCache::on_request(request).unwrap() {
            PreOutcome::Respond(message) => return message.text(),
            PreOutcome::Proceed(changes) => changes,
            PreOutcome::Reject(rejection) => panic!("{rejection:?}"),
        };
        let mut reply = testing::reply(answer);
        reply.metadata = metadata.into_iter().map(|change| Field { name: change.name, value: change.value.unwrap() }).collect();
        assert_eq!(ResponseCache::on_reply(reply).unwrap(), PostOutcome::keep());
        answer.to_owned()
    }

    #[test]
    fn the_same_request_gets_the_answer_of_before_until_its_time_is_over() {
        testing::set_config(r#"{"ttl_seconds": 60}"#);
        assert_eq!(ask(request("a"), "one"), "one");
        testing::pass_seconds(59);
        assert_eq!(ask(request("a"), "two"), "one");
        testing::pass_seconds(1);
        assert_eq!(ask(request("a"), "three"), "three");
    }

    #[test]
    fn no_caller_gets_another_ones_answer() {
        testing::as_caller("anna");
        assert_eq!(ask(request("a"), "anna's"), "anna's");
        testing::as_caller("ben");
        assert_eq!(ask(request("a"), "ben's"), "ben's");
    }

    #[test]
    fn every_field_of_a_request_makes_another_one() {
        let field = |name: &str, value: &str| vec![Field { name: name.into(), value: value.into() }];
        let mut requests = vec![request("a"), request("b"), testing::request(vec![Message::system("a"), Message::user("a")])];
        requests.push(Request { model: "other".into(), ..request("a") });
        requests.push(Request { params: field("temperature", "1"), ..request("a") });
        requests.push(Request { params: field("user", "\"carl\""), ..request("a") });
        requests.push(Request { metadata: field("language", "\"de\""), ..request("a") });
        // One text that looks like two.
        requests.push(testing::request(vec![Message::user("a"), Message::user("b")]));
        requests.push(testing::request(vec![Message::user("a\" }, Message { \"b")]));
        let keys: std::collections::BTreeSet<String> = requests.iter().map(key).collect();
        assert_eq!(keys.len(), requests.len());
        assert_eq!(key(&request("a")), key(&request("a")));
    }

    #[test]
    fn the_code_around_excerpts_makes_no_other_request() {
        let with = |role: &str, code: &str, excerpt: &str| {
            let text = format!("Excerpts. Each begins with <<{code}.\n\n<<{code} [1] source: a>>\n{excerpt}\n\n<<{code} END>>");
            testing::request(vec![Message::new(role, text), Message::user("a")])
        };
        let (one, other) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
        assert_eq!(key(&with("system", one, "x")), key(&with("system", other, "x")));
        assert_ne!(key(&with("system", one, "x")), key(&with("system", other, "y")));
        assert_ne!(key(&with("user", one, "x")), key(&with("user", other, "x")));
    }

    #[test]
    fn only_one_whole_plain_text_is_kept() {
        let reply = || testing::reply("text");
        assert_eq!(plain_text(&reply()).as_deref(), Some("text"));
        let mut others: Vec<Reply> = (0..4).map(|_| reply()).collect();
        others[0].choices[0].finish_reason = Some("length".into());
        others[1].choices.push(Choice { index: 1, message: Message::assistant("more"), finish_reason: Some("stop".into()) });
        others[2].choices[0].message.content.clear();
        others[3].choices[0].message.extra.push(Field { name: "refusal".into(), value: "\"No.\"".into() });
        assert!(others.iter().all(|reply| plain_text(reply).is_none()));
    }

    #[test]
    fn the_default_of_the_schema_is_that_of_the_code() {
        let schema: serde_json::Value = serde_json::from_str(ResponseCache::CONFIG_SCHEMA.unwrap()).unwrap();
        assert_eq!(schema["properties"]["ttl_seconds"]["default"], Settings::default().ttl_seconds);
    }
}
