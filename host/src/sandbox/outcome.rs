//! What a hook decided. It is checked as a whole before any of it takes effect, so that an exchange is changed entirely or not at all.

use super::bindings::log::Level;
use super::bindings::{post_hook as post, pre_hook as pre, types as wit};
use super::call::Verdict;
use super::capability::log::{Log, harmless};
use super::convert::{Changes, apply_fields, apply_metadata, changes_back, message_back};
use super::{FaultKind, Rejection};
use crate::chat::codec::{alike, misspelt};
use crate::chat::{Completion, Content, Exchange, Message, Metadata, Part};

/// Fields of the request body that the host owns: a plugin that sets them would change who is asked, or how.
const HOST_FIELDS: [&str; 4] = ["model", "messages", "stream", "pipeline"];

/// Changes of one kind in one outcome; the contract states it.
const CHANGES_MAX: usize = 256;
/// Edits times messages, because applying them is work that no fuel pays for.
const EDIT_WORK_MAX: usize = 1 << 20;
/// Bytes of all metadata, names and values, because every later hook is handed all of it.
const METADATA_BYTES_MAX: usize = 256 << 10;
/// Bytes of a rejection's code and of its message.
const CODE_BYTES: usize = 64;
const MESSAGE_BYTES: usize = 2_000;

/// A pre-hook's decision; what it changed is already in the exchange.
#[derive(Debug)]
pub enum PreOutcome {
    Proceed,
    /// The answer in the model's place.
    Respond(Message),
    Reject(Rejection),
}

/// A post-hook's decision; what it changed is already in the completion.
#[derive(Debug, PartialEq, Eq)]
pub enum PostOutcome {
    Keep,
    /// The completion was changed.
    Replaced,
    Reject(Rejection),
}

impl Verdict for PreOutcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Proceed | Self::Respond(_) => "ok",
            Self::Reject(_) => "rejected",
        }
    }
}

impl Verdict for PostOutcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Keep | Self::Replaced => "ok",
            Self::Reject(_) => "rejected",
        }
    }
}

/// Checks a pre-hook's outcome and applies it.
pub(super) fn settle_pre(
    outcome: Result<pre::Outcome, wit::HookError>,
    exchange: &mut Exchange,
    log: &Log,
) -> Result<PreOutcome, FaultKind> {
    match outcome.map_err(reported)? {
        pre::Outcome::Reject(rejection) => Ok(PreOutcome::Reject(rejection_back(rejection, log))),
        pre::Outcome::Respond(message) => Ok(PreOutcome::Respond(answer_back(message)?)),
        pre::Outcome::Proceed(changes) => {
            let metadata = metadata_back(changes.metadata, &exchange.metadata)?;
            let params = params_back(changes.params)?;
            let messages = changes.messages.map(|change| messages_back(change, &exchange.messages)).transpose()?;
            if changes.target.is_some() {
                return Err(FaultKind::Invalid("target: this version of cofferdam lets no plugin choose the provider".into()));
            }
            if changes.model.as_deref() == Some("") {
                return Err(FaultKind::Invalid("model is empty".into()));
            }
            apply_metadata(metadata, &mut exchange.metadata);
            apply_fields(params, &mut exchange.params);
            if let Some(messages) = messages {
                exchange.messages = messages;
            }
            if changes.model.is_some() {
                exchange.model = changes.model;
            }
            Ok(PreOutcome::Proceed)
        }
    }
}

fn params_back(changes: Vec<wit::FieldChange>) -> Result<Changes, FaultKind> {
    few(changes.len(), "params")?;
    if let Some(problem) = changes.iter().find_map(|change| param_problem(&change.name)) {
        return Err(FaultKind::Invalid(problem));
    }
    changes_back(changes, "params").map_err(FaultKind::Invalid)
}

/// Why a plugin may not set that field of a request's body; none if it may.
pub(super) fn param_problem(name: &str) -> Option<String> {
    if HOST_FIELDS.iter().any(|owned| alike(name, owned)) {
        return Some(format!("params.{name} cannot be set by a plugin"));
    }
    // What a client may not send either: a provider that reads it as the known field would overrule what the host sends there.
    misspelt(name).map(|known| format!("params.{name} must be spelled {known}"))
}

/// Checked changes that leave the metadata within its size.
pub(super) fn metadata_back(changes: Vec<wit::FieldChange>, now: &Metadata) -> Result<Changes, FaultKind> {
    few(changes.len(), "metadata")?;
    let changes = changes_back(changes, "metadata").map_err(FaultKind::Invalid)?;
    let kept: usize = now.iter().map(|(name, value)| name.len() + value.get().len()).sum();
    let added: usize = changes.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.get().len())).sum();
    if added > 0 && kept + added > METADATA_BYTES_MAX {
        return Err(FaultKind::Invalid(format!("metadata would be larger than {METADATA_BYTES_MAX} bytes")));
    }
    Ok(changes)
}

fn few(changes: usize, what: &str) -> Result<(), FaultKind> {
    if changes > CHANGES_MAX {
        return Err(FaultKind::Invalid(format!("it makes more than {CHANGES_MAX} changes to {what}")));
    }
    Ok(())
}

fn messages_back(change: pre::MessagesChange, now: &[Message]) -> Result<Vec<Message>, FaultKind> {
    let messages = match change {
        pre::MessagesChange::All(messages) => messages.into_iter().map(message_back).collect::<Result<Vec<_>, _>>(),
        pre::MessagesChange::Edits(edits) if edits.len().saturating_mul(now.len() + edits.len()) > EDIT_WORK_MAX => {
            return Err(FaultKind::Invalid("it makes too many edits; hand over all messages instead".into()));
        }
        pre::MessagesChange::Edits(edits) => edits.into_iter().try_fold(now.to_vec(), apply_edit),
    };
    match messages.map_err(FaultKind::Invalid)? {
        empty if empty.is_empty() => Err(FaultKind::Invalid("it left no message".into())),
        messages => Ok(messages),
    }
}

fn apply_edit(mut messages: Vec<Message>, edit: pre::Edit) -> Result<Vec<Message>, String> {
    let outside = |at: u32, len: usize| format!("an edit names message {at} of {len}");
    let len = messages.len();
    match edit {
        pre::Edit::Replace(pre::Placed { index: at, message }) => {
            *messages.get_mut(at as usize).ok_or_else(|| outside(at, len))? = message_back(message)?;
        }
        pre::Edit::Insert(pre::Placed { index, message }) if index as usize <= len => {
            messages.insert(index as usize, message_back(message)?);
        }
        pre::Edit::Remove(at) if (at as usize) < len => drop(messages.remove(at as usize)),
        pre::Edit::Insert(pre::Placed { index: at, .. }) | pre::Edit::Remove(at) => return Err(outside(at, len)),
    }
    Ok(messages)
}

/// Checks a post-hook's outcome and applies it.
pub(super) fn settle_post(
    outcome: Result<post::Outcome, wit::HookError>,
    exchange: &mut Exchange,
    completion: &mut Completion,
    log: &Log,
) -> Result<PostOutcome, FaultKind> {
    match outcome.map_err(reported)? {
        post::Outcome::Reject(rejection) => Ok(PostOutcome::Reject(rejection_back(rejection, log))),
        post::Outcome::Keep(metadata) => {
            apply_metadata(metadata_back(metadata, &exchange.metadata)?, &mut exchange.metadata);
            Ok(PostOutcome::Keep)
        }
        post::Outcome::Replace(replacement) => {
            let metadata = metadata_back(replacement.metadata, &exchange.metadata)?;
            let mut replaced = Vec::with_capacity(replacement.messages.len());
            for post::Replaced { choice: index, message } in replacement.messages {
                let at = completion.choices.iter().position(|choice| choice.index == index);
                let at = at.ok_or_else(|| FaultKind::Invalid(format!("it replaces choice {index}, which is not there")))?;
                replaced.push((at, answer_back(message)?));
            }
            for (at, message) in replaced {
                let choice = &mut completion.choices[at];
                choice.message = message;
                // They spell out the text that was just replaced.
                choice.extra.retain(|(name, _)| name != "logprobs");
            }
            apply_metadata(metadata, &mut exchange.metadata);
            Ok(PostOutcome::Replaced)
        }
    }
}

/// A message that stands for the model's answer.
fn answer_back(message: wit::Message) -> Result<Message, FaultKind> {
    if message.role != "assistant" {
        return Err(FaultKind::Invalid(format!("an answer's role must be `assistant`, not `{}`", message.role)));
    }
    let mut message = message_back(message).map_err(FaultKind::Invalid)?;
    // Clients know an answer's content as one string, and a hook may have put a part of its own behind the model's.
    if let Content::Parts(parts) = &message.content
        && let Some(text) = parts.iter().map(plain_text).collect::<Option<String>>()
    {
        message.content = Content::Text(text);
    }
    Ok(message)
}

fn plain_text(part: &Part) -> Option<&str> {
    match part {
        Part::Text { text, extra } if extra.is_empty() => Some(text),
        _ => None,
    }
}

pub(super) fn reported(error: wit::HookError) -> FaultKind {
    FaultKind::Reported(match error {
        wit::HookError::Unsupported(text) => format!("unsupported: {text}"),
        wit::HookError::Unavailable(text) => format!("unavailable: {text}"),
        wit::HookError::Other(text) => text,
    })
}

/// What a plugin sends in place of a status that is no refusal.
const STATUS: u16 = 403;

pub(super) fn rejection_back(rejection: wit::Rejection, log: &Log) -> Rejection {
    // A plugin cannot make a refusal look like an answer or like our own failure. Its author would look for the reason in vain.
    let fits = (400..500).contains(&rejection.status);
    if !fits {
        let text = format!("the rejection's status {} is not from 400 to 499; the client gets {STATUS}", rejection.status);
        log.write(Level::Warn, &text);
    }
    Rejection {
        status: if fits { rejection.status } else { STATUS },
        code: harmless(&rejection.code, CODE_BYTES),
        message: harmless(&rejection.message, MESSAGE_BYTES),
        retry_after: rejection.retry_after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str) -> Result<Changes, FaultKind> {
        params_back(vec![wit::FieldChange { name: name.into(), value: Some("1".into()) }])
    }

    #[test]
    fn a_status_that_is_no_refusal_becomes_403_and_takes_a_line_of_the_plugins_log() {
        let limits = crate::sandbox::Limits { log_lines: 0, ..Default::default() };
        for (status, becomes, lines) in [(400, 400, 0), (499, 499, 0), (399, 403, 1), (500, 403, 1), (200, 403, 1), (0, 403, 1)] {
            let log = Log::new("p".into(), "r".into(), &limits);
            let said = wit::Rejection { status, code: "c".into(), message: "m".into(), retry_after: None };
            // The budget has no line, so each one that is written counts as dropped.
            assert_eq!((rejection_back(said, &log).status, log.dropped()), (becomes, lines), "{status}");
        }
    }

    #[test]
    fn the_hosts_fields_are_not_set_in_any_spelling() {
        for name in ["model", "messages", "stream", "pipeline", "MODEL", "Mo_del", "mes\u{17f}ages", "STREAM", "p\u{130}peline"] {
            assert!(matches!(set(name), Err(FaultKind::Invalid(why)) if why.contains("cannot be set by a plugin")), "{name}");
        }
    }

    #[test]
    fn a_known_field_is_set_in_its_own_spelling_alone() {
        for name in ["maxTokens", "Temperature", "top-p", "Tools"] {
            assert!(matches!(set(name), Err(FaultKind::Invalid(why)) if why.contains("must be spelled")), "{name}");
        }
        for name in ["max_tokens", "temperature", "top_p", "tools", "a_vendors_own", "Models", ""] {
            assert!(set(name).is_ok(), "{name}");
        }
    }
}
