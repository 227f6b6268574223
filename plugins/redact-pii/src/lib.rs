//! A post-hook and a stream hook that take e-mail addresses, phone numbers and payment card numbers out of every choice of a reply.
//! Finds them by hand-written scanners and not by regular expressions: every call runs in a fresh instance, which would compile
//! them anew. Never touches tool calls and usage: what a program reads must not change its meaning.

mod along;
mod json;
mod redact;

use cofferdam_guest::{
    Delta, Ending, Farewell, HookError, Message, Opened, Opening, Part, Piece, Plugin, PostOutcome, Reply, Step, StreamHook, Texts, config,
    export,
};
use redact::{Kinds, redact};
use serde::Deserialize;

/// All of a reply but its calls, which a program reads.
const PROSE: [&str; 4] = ["reply.text", "reply.refusal", "reply.reasoning", "reply.other"];

/// Along a stream: what it looks for, and the texts that it holds back.
struct RedactPii {
    kinds: Kinds,
    texts: Texts,
}

impl Plugin for RedactPii {
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("config.schema.json"));
    const READS: Option<&'static [&'static str]> = Some(&PROSE);
    const WRITES: Option<&'static [&'static str]> = Some(&PROSE);

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        let kinds = config::read::<Config>()?.kinds()?;
        Ok(reply.map_messages(|message| redact_message(message, kinds)).into())
    }
}

impl StreamHook for RedactPii {
    fn open(_: Opening) -> Result<Opened<Self>, HookError> {
        let kinds = config::read::<Config>()?.kinds()?;
        Ok(Opened::Transform(Self { kinds, texts: Texts::default() }))
    }

    fn push(&mut self, deltas: Vec<Delta>) -> Result<Step, HookError> {
        let kinds = self.kinds;
        let mut out = self.texts.push(deltas, |tail, last| along::decided(tail, last, kinds));
        for delta in &mut out {
            if let Piece::Other(value) = &mut delta.piece
                && !Texts::is_reasoning(value)
                && !OPAQUE.iter().any(|name| value.starts_with(&format!("{{\"{name}\"")))
                && let Some(new) = json::map_strings(value, &OPAQUE, |text| redact(text, kinds))
            {
                *value = new;
            }
        }
        Ok(out.into())
    }

    fn close(&mut self, _: Ending) -> Result<Farewell, HookError> {
        let kinds = self.kinds;
        Ok(self.texts.close(|tail, last| along::decided(tail, last, kinds)).into())
    }
}

export!(RedactPii: post_hook, stream_hook);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    kinds: Option<Vec<String>>,
}

impl Config {
    fn kinds(self) -> Result<Kinds, HookError> {
        let Some(names) = self.kinds else { return Ok(Kinds::ALL) };
        let mut kinds = Kinds::NONE;
        for name in names {
            match name.as_str() {
                "email" => kinds.email = true,
                "phone" => kinds.phone = true,
                "card" => kinds.card = true,
                _ => {
                    let text =
                        format!("configuration of the plugin: unknown kind `{name}` in `kinds`, expected `email`, `phone` or `card`");
                    return Err(HookError::Unavailable(text));
                }
            }
        }
        Ok(kinds)
    }
}

/// Fields that carry what a program reads, or bytes in which digits mean nothing.
const OPAQUE: [&str; 9] =
    ["data", "encrypted_content", "file_id", "function_call", "id", "signature", "tool_call_id", "tool_calls", "type"];

/// Says whether anything changed. Fields that the contract does not model are redacted too: reasoning and refusals quote freely.
fn redact_message(message: &mut Message, kinds: Kinds) -> bool {
    let mut changed = message.map_text(|text| redact(text, kinds));
    let mut redact_value = |value: &mut String| {
        if let Some(new) = json::map_strings(value, &OPAQUE, |text| redact(text, kinds)) {
            *value = new;
            changed = true;
        }
    };
    for part in &mut message.content {
        match part {
            Part::Text(part) => part.extra.iter_mut().for_each(|field| redact_value(&mut field.value)),
            Part::Other(value) => redact_value(value),
        }
    }
    message.extra.iter_mut().filter(|field| !OPAQUE.contains(&field.name.as_str())).for_each(|field| redact_value(&mut field.value));
    changed
}

#[cfg(test)]
mod tests;
