//! The pre-hook: masks every message of the conversation and those fields of the request that hold what users say.

use cofferdam_guest::{Changes, Field, HookError, Json, Message, PreOutcome, Request};

use crate::conversation;
use crate::find::Finder;
use crate::mapping::Mapping;
use crate::settings::Settings;

/// Where the mapping travels.
pub(crate) const MAPPING: &str = "mask_pii";
/// Whether the reply is asked for as JSON, in which values are escaped.
pub(crate) const AS_JSON: &str = "mask_pii_json";

/// Fields of the request that hold what users say or who they are.
const PARAMS: [&str; 4] = ["user", "safety_identifier", "metadata", "prediction"];
/// The host takes 256 KiB of metadata from all hooks together.
const MOST_MAPPING_BYTES: usize = 192 * 1024;
/// With more changed messages than these, all are handed over.
const MOST_EDITS: usize = 64;

pub(crate) fn masked(mut request: Request, settings: &Settings) -> Result<PreOutcome, HookError> {
    let mut mapping = match request.metadata_json(MAPPING) {
        Some(json) => Mapping::from_json(json).ok_or_else(|| format!("`metadata.{MAPPING}` is not what this plugin wrote"))?,
        None => Mapping::default(),
    };
    let mut finder = Finder::new(settings);
    let mut read = |_: &str, text: &str| {
        mapping.reserve(text);
        finder.learn(text);
        None
    };
    for message in &mut request.messages {
        conversation::message(message, &mut read);
    }
    for param in &request.params {
        conversation::value(param, &mut read);
    }

    let mut mask = |key: &str, text: &str| masked_text(key, text, &finder, &mut mapping);
    let mut changed = Vec::new();
    for (index, message) in (0..).zip(&mut request.messages) {
        if conversation::message(message, &mut mask) {
            changed.push(index);
        }
    }
    let mut changes = Changes::new();
    for Field { name, value } in request.params.iter().filter(|param| PARAMS.contains(&param.name.as_str())) {
        let field = Field { name: name.clone(), value: value.clone() };
        if let Some(new) = conversation::value(&field, &mut mask) {
            changes = changes.param(name, Json::raw(new));
        }
    }
    if mapping.is_empty() {
        return Ok(PreOutcome::unchanged());
    }
    let json = mapping.to_json();
    if json.len() > MOST_MAPPING_BYTES {
        return Err(HookError::Unsupported(format!(
            "there are more values to mask than the {MOST_MAPPING_BYTES} bytes of their mapping hold"
        )));
    }
    let as_json = request.param_json("response_format").is_some_and(|format| format.contains("json"));
    changes = with_messages(changes, request.messages, &changed, &settings.instruction);
    Ok(changes.metadata(MAPPING, Json::raw(json)).metadata(AS_JSON, as_json).into())
}

/// The changed messages, and what the model is told about placeholders behind what the operator or the client told it first.
fn with_messages(mut changes: Changes, messages: Vec<Message>, changed: &[u32], instruction: &str) -> Changes {
    let first = messages.iter().take_while(|message| matches!(message.role.as_str(), "system" | "developer")).count();
    let role = if first > 0 { messages[first - 1].role.clone() } else { "system".to_owned() };
    if changed.len() > MOST_EDITS {
        changes = changes.messages(messages);
    } else {
        let mut messages: Vec<Option<Message>> = messages.into_iter().map(Some).collect();
        for &index in changed {
            let message = messages[index as usize].take().expect("each message is changed once");
            changes = changes.replace(index, message);
        }
    }
    let place = u32::try_from(first).expect("messages are counted in 32 bits");
    if instruction.is_empty() { changes } else { changes.insert(place, Message::new(role, instruction)) }
}

/// The text with placeholders; what stands in its key tells what a number is.
fn masked_text(key: &str, text: &str, finder: &Finder, mapping: &mut Mapping) -> Option<String> {
    let called = if key.is_empty() { String::new() } else { format!("{key}: ") };
    let whole = called.clone() + text;
    let found = finder.find(&whole, called.len());
    if found.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut done = called.len();
    for (range, kind) in found {
        out.push_str(&whole[done..range.start]);
        out.push_str(&mapping.placeholder(kind, &whole[range.clone()]));
        done = range.end;
    }
    out.push_str(&whole[done..]);
    Some(out)
}
