//! What a hook in the style of the web answered. It is checked as a whole, and as strictly as an outcome of the contract's shapes, before any of
//! it takes effect. A message that comes back as it was handed over is the message that was handed over, with all that it has.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::asked::{Asked, PARTS};
use crate::chat::codec::{Form, borrowed_fields, check};
use crate::chat::{Content, Exchange, Message, Metadata, Part, Sizes};
use crate::sandbox::bindings::types::Rejection as Said;
use crate::sandbox::call::Verdict;
use crate::sandbox::capability::log::{Log, harmless};
use crate::sandbox::convert::{Changes, apply_metadata, check_json, check_message};
use crate::sandbox::outcome::{few, metadata_within, rejection_back};
use crate::sandbox::{FaultKind, PreOutcome, Rejection};

/// Structure of an answer: twice what a client may send by default, for metadata comes with it.
const SIZES: Sizes =
    Sizes { depth: 128, values: 200_000, fields: 40_000, messages: 20_000, parts: 40_000, tool_calls: 20_000, tools: 1, inputs: 1 };
/// Bytes of a plain body that stand for a rejection's message.
const PLAIN_BYTES_MAX: usize = 2_000;

/// An answer, whole.
pub(in crate::sandbox) struct Answer {
    pub(super) status: u16,
    /// Seconds.
    pub(super) retry_after: Option<u32>,
    pub(super) body: Vec<u8>,
}

/// What the hook made of one reply of the model's.
pub(in crate::sandbox) enum Looked {
    /// The message that stands in its place, if it changed.
    Kept(Option<Box<Message>>),
    Reject(Rejection),
}

impl Verdict for Looked {
    fn word(&self) -> &'static str {
        match self {
            Self::Kept(_) => "ok",
            Self::Reject(_) => "rejected",
        }
    }
}

/// The body of an answer that is no refusal.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Why,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Why {
    Text(String),
    Object {
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        code: Option<String>,
    },
}

/// Checks what a hook before the model answered, and applies it.
pub(in crate::sandbox) fn settle_pre(answer: Answer, asked: &Asked, exchange: &mut Exchange, log: &Log) -> Result<PreOutcome, FaultKind> {
    let answer = match accepted(answer, log)? {
        Ok(body) => body,
        Err(rejection) => return Ok(PreOutcome::Reject(rejection)),
    };
    let text = checked(answer)?;
    let body = read(&text)?;
    let metadata = metadata(body.metadata, &exchange.metadata)?;
    if body.messages.is_empty() {
        return Err(FaultKind::Invalid("it left no message".into()));
    }
    let count = body.messages.len();
    let handed = |at: usize| exchange.messages.get(at);
    let messages = body.messages.iter().enumerate().map(|(at, raw)| message(raw, (at, count), asked, handed));
    exchange.messages = messages.collect::<Result<_, _>>()?;
    apply_metadata(metadata, &mut exchange.metadata);
    Ok(PreOutcome::Proceed)
}

/// Checks what a hook made of a reply, which was the last message that it was handed. What it did to those before is without effect: the model has
/// read them. The metadata is applied.
pub(in crate::sandbox) fn settle_post(
    answer: Answer,
    asked: &Asked,
    reply: &Message,
    metadata_now: &mut Metadata,
    log: &Log,
) -> Result<Looked, FaultKind> {
    let answer = match accepted(answer, log)? {
        Ok(body) => body,
        Err(rejection) => return Ok(Looked::Reject(rejection)),
    };
    let text = checked(answer)?;
    let body = read(&text)?;
    let metadata = metadata(body.metadata, metadata_now)?;
    let Some(raw) = body.messages.last() else {
        return Err(FaultKind::Invalid("it left no message, and the last one is the reply".into()));
    };
    let last = asked.len() - 1;
    let kept = if raw.get().as_bytes() == asked.text(last) {
        None
    } else {
        let message = message(raw, (last, asked.len()), asked, |at| (at == last).then_some(reply))?;
        if message.role != "assistant" {
            let role = &message.role;
            return Err(FaultKind::Invalid(format!("the last message is the reply, and its role must be `assistant`, not `{role}`")));
        }
        Some(Box::new(message))
    };
    apply_metadata(metadata, metadata_now);
    Ok(Looked::Kept(kept))
}

/// The body of an answer that accepts, or the rejection.
fn accepted(answer: Answer, log: &Log) -> Result<Result<Vec<u8>, Rejection>, FaultKind> {
    let Answer { status, retry_after, body } = answer;
    match status {
        200..=299 => Ok(Ok(body)),
        400..=499 => {
            let (code, message) = why(&body);
            let code = code.unwrap_or_default();
            let message = message.unwrap_or_else(|| format!("a plugin refused it with the status {status}"));
            Ok(Err(rejection_back(Said { status, code, message, retry_after }, log)))
        }
        500..=599 => {
            let said = why(&body).1.map_or_else(String::new, |message| format!(": {message}"));
            Err(FaultKind::Reported(format!("it answered with the status {status}{said}")))
        }
        _ => Err(FaultKind::Invalid(format!("it answered with the status {status}, which says neither yes nor no"))),
    }
}

/// The code and the message of `{"error": "…"}` or `{"error": {"code", "message"}}`; of any other text, the text.
fn why(body: &[u8]) -> (Option<String>, Option<String>) {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error: Why::Text(message) }) => (None, Some(message)),
        Ok(Refusal { error: Why::Object { message, code } }) => (code, message),
        Err(_) => {
            let plain = body[..body.len().min(PLAIN_BYTES_MAX)].trim_ascii();
            let plain = String::from_utf8_lossy(plain);
            (None, (!plain.is_empty()).then(|| harmless(&plain, PLAIN_BYTES_MAX)))
        }
    }
}

/// The body as JSON whose structure is within its bounds and whose fields are in their own spelling.
fn checked(body: Vec<u8>) -> Result<Bytes, FaultKind> {
    let wrong = |why: String| FaultKind::Invalid(format!("its answer: {why}"));
    // The limits are not those that the message names for clients.
    let named = |message: String| message.split(" (`limits.http.").next().map(str::to_owned).unwrap_or_default();
    let checked = check(body.into(), Form::Chat, &SIZES).map_err(|invalid| wrong(named(invalid.message)))?;
    check_json(&checked.text).map_err(|error| wrong(format!("it is no valid JSON: {error}")))?;
    Ok(checked.text)
}

fn read(text: &[u8]) -> Result<Body<'_>, FaultKind> {
    let wrong = |why: &str| FaultKind::Invalid(format!("its answer must be {{\"messages\": […], \"metadata\": {{…}}}}: {why}"));
    // A list of the same values would be read, too, and was not checked as what it is.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("it is no object"));
    }
    serde_json::from_slice(text).map_err(|error| wrong(&error.to_string()))
}

/// The changes that metadata makes when it comes back: what is there is set, `null` removes, and what is not there stays.
fn metadata(raw: Option<&RawValue>, now: &Metadata) -> Result<Changes, FaultKind> {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(Changes::new()) };
    let fields = borrowed_fields(raw).map_err(|error| FaultKind::Invalid(format!("metadata: {error}")))?;
    let unchanged = |name: &str, value: &RawValue| now.get(name).is_some_and(|known| known.get() == value.get());
    let changed = fields.into_iter().filter(|(name, value)| !unchanged(name, value));
    let changes: Changes = changed.map(|(name, value)| (name, (value.get() != "null").then(|| value.to_owned()))).collect();
    few(changes.len(), "metadata")?;
    metadata_within(&changes, now)?;
    Ok(changes)
}

/// A message that came back in that place among so many. It is one that was handed over if it is the same as the one in its place, counted from
/// the start or from the end.
fn message<'a>(
    raw: &RawValue,
    (at, count): (usize, usize),
    asked: &Asked,
    handed: impl Fn(usize) -> Option<&'a Message>,
) -> Result<Message, FaultKind> {
    let from_the_end = (asked.len() + at).checked_sub(count);
    let candidates = [Some(at), from_the_end.filter(|other| *other != at)].into_iter().flatten().filter(|at| *at < asked.len());
    if let Some(same) = candidates.clone().find(|at| asked.text(*at) == raw.get().as_bytes()).and_then(&handed) {
        return Ok(same.clone());
    }
    let wrong = |why: String| FaultKind::Invalid(format!("messages[{at}]: {why}"));
    let mut message: Message = serde_json::from_str(raw.get()).map_err(|error| wrong(error.to_string()))?;
    let parts = message.extra.iter().position(|(name, _)| name == PARTS).map(|at| message.extra.remove(at).1);
    if let (None, true, Content::Text(text)) = (&parts, is_bare(&message), &message.content) {
        let same = |original: &&Message| original.role == message.role && original.joined_text() == *text;
        if let Some(same) = candidates.filter_map(&handed).find(same) {
            return Ok(same.clone());
        }
    }
    if let Some(parts) = parts {
        let parts: Option<Vec<Part>> = serde_json::from_str(parts.get()).map_err(|error| wrong(format!("{PARTS}: {error}")))?;
        message.content = with_parts(message.content, parts.unwrap_or_default());
    }
    // What was no content is shown as an empty one.
    if matches!(&message.content, Content::Text(text) if text.is_empty()) && !message.tool_calls.is_empty() {
        message.content = Content::Null;
    }
    check_message(&message).map_err(wrong)?;
    Ok(message)
}

/// Whether it has a role and a content and no more, as functions in the seed's shape make them anew.
fn is_bare(message: &Message) -> bool {
    let Message { role: _, content: _, name, tool_calls, tool_call_id, extra } = message;
    name.is_none() && tool_calls.is_empty() && tool_call_id.is_none() && extra.is_empty()
}

/// `content` decides about the text, the parts about all else: a text that is no longer that of the parts takes the place of theirs.
fn with_parts(content: Content, mut parts: Vec<Part>) -> Content {
    let text = match content {
        Content::Text(text) => text,
        Content::Null => String::new(),
        // Whoever writes parts there means them.
        Content::Parts(parts) => return Content::Parts(parts),
    };
    if parts.is_empty() {
        return Content::Text(text);
    }
    let message = Message { content: Content::Parts(parts), ..Message::default() };
    let same = message.joined_text() == text;
    let Content::Parts(kept) = message.content else { return Content::Text(text) };
    parts = kept;
    if !same {
        let is_text = |part: &Part| matches!(part, Part::Text { .. });
        let at = parts.iter().position(is_text);
        let extra = parts.iter_mut().find_map(|part| match part {
            Part::Text { extra, .. } => Some(std::mem::take(extra)),
            Part::Other(_) => None,
        });
        parts.retain(|part| !is_text(part));
        if !text.is_empty() {
            // No text stood before the first one.
            parts.insert(at.unwrap_or(0), Part::Text { text, extra: extra.unwrap_or_default() });
        }
    }
    if parts.is_empty() { Content::Text(String::new()) } else { Content::Parts(parts) }
}
