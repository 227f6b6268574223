//! What a hook decided. It is checked as a whole before any of it takes effect, so that an exchange is changed entirely or not at all.

use std::ops::Range;

use super::bindings::log::Level;
use super::bindings::{post_hook as post, pre_hook as pre, types as wit};
use super::call::Verdict;
use super::capability::log::{Log, harmless};
use super::convert::{Changes, apply_fields, apply_metadata, changes_back, message_back};
use super::merge::merged;
use super::scope::{Channels, Scope};
use super::targets::Targets;
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
    scope: &Scope,
    targets: &Targets,
) -> Result<PreOutcome, FaultKind> {
    let outcome = outcome.map_err(reported)?;
    scope.check_pre(&outcome)?;
    match outcome {
        pre::Outcome::Reject(rejection) => Ok(PreOutcome::Reject(rejection_back(rejection, log))),
        pre::Outcome::Respond(message) => Ok(PreOutcome::Respond(answer_back(message)?)),
        pre::Outcome::Proceed(changes) => {
            let metadata = metadata_back(changes.metadata, &exchange.metadata)?;
            let params = params_back(changes.params)?;
            let messages = changes.messages.map(|change| messages_back(change, &exchange.messages, scope)).transpose()?;
            changes.target.as_deref().map_or(Ok(()), |target| targets.check(target))?;
            if changes.model.as_deref() == Some("") {
                return Err(FaultKind::Invalid("model is empty".into()));
            }
            apply_metadata(metadata, &mut exchange.metadata);
            apply_fields(params, &mut exchange.params);
            if let Some((window, messages)) = messages {
                exchange.messages.splice(window, messages);
            }
            if changes.target.is_some() {
                // The model that a hook before it chose is one of another provider's.
                (exchange.target, exchange.model) = (changes.target, None);
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
    metadata_within(&changes, now)?;
    Ok(changes)
}

/// Checks that the metadata stays within its size.
pub(super) fn metadata_within(changes: &Changes, now: &Metadata) -> Result<(), FaultKind> {
    let kept: usize = now.iter().map(|(name, value)| name.len() + value.get().len()).sum();
    let added: usize = changes.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.get().len())).sum();
    if added > 0 && kept + added > METADATA_BYTES_MAX {
        return Err(FaultKind::Invalid(format!("metadata would be larger than {METADATA_BYTES_MAX} bytes")));
    }
    Ok(())
}

pub(super) fn few(changes: usize, what: &str) -> Result<(), FaultKind> {
    if changes > CHANGES_MAX {
        return Err(FaultKind::Invalid(format!("it makes more than {CHANGES_MAX} changes to {what}")));
    }
    Ok(())
}

/// A message of the conversation, and what of it the hook was shown and may write. What the hook put there itself it knows whole.
struct Item {
    message: Message,
    shown: Channels,
    may: Channels,
}

/// Messages for those in a part of the conversation: the part that the hook was shown, within which its indices count.
fn messages_back(change: pre::MessagesChange, now: &[Message], scope: &Scope) -> Result<(Range<usize>, Vec<Message>), FaultKind> {
    let (window, last) = scope.reads.window(now);
    let newest = scope.writes.window(now).1;
    let item =
        |at: usize| Item { message: now[at].clone(), shown: scope.reads.of_message(at, last), may: scope.writes.of_message(at, newest) };
    let items = match change {
        pre::MessagesChange::All(messages) if scope.reads.of_messages_whole() && scope.writes.all_messages() => {
            messages.into_iter().map(message_back).collect::<Result<_, _>>().map_err(FaultKind::Invalid)?
        }
        pre::MessagesChange::All(messages) => all_back(messages, window.clone().map(item).collect(), scope)?,
        pre::MessagesChange::Edits(edits) if edits.len().saturating_mul(window.len() + edits.len()) > EDIT_WORK_MAX => {
            return Err(FaultKind::Invalid("it makes too many edits; hand over all messages instead".into()));
        }
        pre::MessagesChange::Edits(edits) => {
            let items = edits.into_iter().try_fold(window.clone().map(item).collect(), |items, edit| apply_edit(items, edit, scope))?;
            items.into_iter().map(|item: Item| item.message).collect()
        }
    };
    if now.len() - window.len() + items.len() == 0 {
        return Err(FaultKind::Invalid("it left no message".into()));
    }
    Ok((window, items))
}

/// All messages anew by a hook that was shown only a part of each, or may write only that: each stands for the one at its place.
fn all_back(messages: Vec<wit::Message>, now: Vec<Item>, scope: &Scope) -> Result<Vec<Message>, FaultKind> {
    if messages.len() != now.len() {
        scope.may(scope.writes.all_messages(), "changes how many messages there are", "messages")?;
        let why = "it hands over another number of messages than it was shown parts of; hand over edits instead";
        return Err(FaultKind::Invalid(why.into()));
    }
    now.iter().zip(messages).map(|(item, message)| item.merged(message, scope)).collect()
}

impl Item {
    fn merged(&self, returned: wit::Message, scope: &Scope) -> Result<Message, FaultKind> {
        merged(&self.message, returned, (self.shown, self.may), "messages", scope)
    }
}

fn apply_edit(mut items: Vec<Item>, edit: pre::Edit, scope: &Scope) -> Result<Vec<Item>, FaultKind> {
    let len = items.len();
    let outside = |at: u32| FaultKind::Invalid(format!("an edit names message {at} of {len}"));
    let may = |what: &str| scope.may(scope.writes.all_messages(), what, "messages");
    match edit {
        pre::Edit::Replace(pre::Placed { index: at, message }) => {
            let item = items.get_mut(at as usize).ok_or_else(|| outside(at))?;
            item.message = item.merged(message, scope)?;
        }
        pre::Edit::Insert(pre::Placed { index, message }) if index as usize <= len => {
            may("puts in a message")?;
            let message = message_back(message).map_err(FaultKind::Invalid)?;
            items.insert(index as usize, Item { message, shown: Channels::ALL, may: Channels::ALL });
        }
        pre::Edit::Remove(at) if (at as usize) < len => {
            may("takes a message away")?;
            drop(items.remove(at as usize));
        }
        pre::Edit::Insert(pre::Placed { index: at, .. }) | pre::Edit::Remove(at) => return Err(outside(at)),
    }
    Ok(items)
}

/// Checks a post-hook's outcome and applies it.
pub(super) fn settle_post(
    outcome: Result<post::Outcome, wit::HookError>,
    exchange: &mut Exchange,
    completion: &mut Completion,
    log: &Log,
    scope: &Scope,
) -> Result<PostOutcome, FaultKind> {
    let outcome = outcome.map_err(reported)?;
    scope.check_post(&outcome)?;
    match outcome {
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
                assistant(&message)?;
                let masks = (scope.reads.reply, scope.writes.reply);
                replaced.push((at, joined(merged(&completion.choices[at].message, message, masks, "reply", scope)?)));
            }
            for (at, message) in replaced {
                completion.choices[at].replace(message);
            }
            apply_metadata(metadata, &mut exchange.metadata);
            Ok(PostOutcome::Replaced)
        }
    }
}

/// A message that stands for the model's answer.
fn answer_back(message: wit::Message) -> Result<Message, FaultKind> {
    assistant(&message)?;
    message_back(message).map(joined).map_err(FaultKind::Invalid)
}

/// Clients know an answer's content as one string, and a hook may have put a part of its own behind the model's.
fn joined(mut message: Message) -> Message {
    if let Content::Parts(parts) = &message.content
        && let Some(text) = parts.iter().map(plain_text).collect::<Option<String>>()
    {
        message.content = Content::Text(text);
    }
    message
}

fn plain_text(part: &Part) -> Option<&str> {
    match part {
        Part::Text { text, extra } if extra.is_empty() => Some(text),
        _ => None,
    }
}

fn assistant(message: &wit::Message) -> Result<(), FaultKind> {
    match &*message.role {
        "assistant" => Ok(()),
        role => Err(FaultKind::Invalid(format!("an answer's role must be `assistant`, not `{role}`"))),
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
