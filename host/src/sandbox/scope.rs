//! What a plugin's hooks are handed of an exchange and what they may change of it: what the plugin declares in `describe`, narrowed by the
//! operator's `reads` and `writes`, in the same words. Nothing declared means everything. Every place that hands something over or takes an
//! outcome asks here, so that no hook sees or changes more.

use std::collections::BTreeSet;
use std::ops::Range;

use super::bindings::{post_hook as post, pre_hook as pre, types as wit};
use super::{FaultKind, PluginConfig};
use crate::chat::Message;

/// Words of one declaration, and bytes of each.
pub(super) const WORDS_MAX: usize = 64;
pub(super) const WORD_BYTES_MAX: usize = 100;

const MESSAGES: &str = "messages";
const LAST_USER_MESSAGE: &str = "last-user-message";
const REPLY: &str = "reply";
const PARAMS: &str = "params";
const METADATA: &str = "metadata";

/// Which of the two declarations a word stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Reads,
    Writes,
}

/// Kinds of content in a message or a reply, each with a word of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Channels(u8);

/// Keys of `params` or of `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Names {
    #[default]
    None,
    Some(BTreeSet<String>),
    All,
}

/// What is read, or what is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) messages: Channels,
    /// Of the newest message of the role `user`, beside what `messages` has of all.
    last_user: Channels,
    pub(super) reply: Channels,
    pub(super) params: Names,
    pub(super) metadata: Names,
    pub(super) usage: bool,
    model: bool,
    target: bool,
    respond: bool,
    reject: bool,
}

/// What a plugin says of itself; none where it says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Declared {
    pub(super) reads: Option<Vec<String>>,
    pub(super) writes: Option<Vec<String>>,
}

/// What holds for a plugin's hooks.
#[derive(Debug)]
pub(super) struct Scope {
    declared: Declared,
    pub(super) reads: Data,
    pub(super) writes: Data,
    /// The words in force, for whoever asks what a plugin may see.
    in_force: Declared,
}

impl Channels {
    pub(super) const NONE: Self = Self(0);
    pub(super) const TEXT: Self = Self(1);
    pub(super) const REFUSAL: Self = Self(1 << 1);
    pub(super) const REASONING: Self = Self(1 << 2);
    pub(super) const TOOL_CALLS: Self = Self(1 << 3);
    pub(super) const OTHER: Self = Self(1 << 4);
    pub(super) const ALL: Self = Self((1 << 5) - 1);
    pub(super) const EACH: [(&'static str, Self); 5] = [
        ("text", Self::TEXT),
        ("refusal", Self::REFUSAL),
        ("reasoning", Self::REASONING),
        ("tool-calls", Self::TOOL_CALLS),
        ("other", Self::OTHER),
    ];

    /// The word of one of them.
    pub(super) fn word(self) -> &'static str {
        Self::EACH.iter().find(|(_, channel)| *channel == self).map_or(REPLY, |(word, _)| word)
    }

    /// Whether all of the others are among these.
    pub(super) fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    pub(super) fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl Names {
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Some(names) => names.contains(name),
            Self::All => true,
        }
    }

    fn add(&mut self, name: &str) {
        match self {
            Self::None => *self = Self::Some([name.to_owned()].into()),
            Self::Some(names) => drop(names.insert(name.to_owned())),
            Self::All => {}
        }
    }

    fn covers(&self, others: &Self) -> bool {
        match others {
            Self::None => true,
            Self::Some(names) => names.iter().all(|name| self.has(name)),
            Self::All => *self == Self::All,
        }
    }
}

impl Data {
    pub(super) fn everything() -> Self {
        let (messages, last_user, reply) = (Channels::ALL, Channels::ALL, Channels::ALL);
        let (params, metadata) = (Names::All, Names::All);
        Self { messages, last_user, reply, params, metadata, usage: true, model: true, target: true, respond: true, reject: true }
    }

    fn of(side: Side, words: &[String]) -> Result<Self, String> {
        if words.len() > WORDS_MAX {
            return Err(format!("it has {} words; there may be {WORDS_MAX}", words.len()));
        }
        let mut data = Self::default();
        words.iter().try_for_each(|word| data.add(side, word))?;
        Ok(data)
    }

    fn add(&mut self, side: Side, word: &str) -> Result<(), String> {
        let unknown = || format!("`{}` is none of {}", &word[..word.floor_char_boundary(WORD_BYTES_MAX)], known(side));
        if word.len() > WORD_BYTES_MAX {
            return Err(unknown());
        }
        let (what, part) = word.split_once('.').map_or((word, None), |(what, part)| (what, Some(part)));
        let channel = || match part {
            None => Ok(Channels::ALL),
            Some(part) => Channels::EACH.into_iter().find(|(name, _)| *name == part).map(|(_, channel)| channel).ok_or_else(unknown),
        };
        let keyed = |names: &mut Names| match part {
            None => {
                *names = Names::All;
                Ok(())
            }
            Some("") => Err(unknown()),
            Some(name) => {
                names.add(name);
                Ok(())
            }
        };
        match (what, part, side) {
            (MESSAGES, ..) => self.messages = self.messages.with(channel()?),
            (LAST_USER_MESSAGE, ..) => self.last_user = self.last_user.with(channel()?),
            (REPLY, ..) => self.reply = self.reply.with(channel()?),
            (PARAMS, ..) => keyed(&mut self.params)?,
            (METADATA, ..) => keyed(&mut self.metadata)?,
            ("usage", None, Side::Reads) => self.usage = true,
            ("model", None, Side::Writes) => self.model = true,
            ("target", None, Side::Writes) => self.target = true,
            ("respond", None, Side::Writes) => self.respond = true,
            ("reject", None, Side::Writes) => self.reject = true,
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn covers(&self, others: &Self) -> bool {
        let flags = |data: &Self| [data.usage, data.model, data.target, data.respond, data.reject];
        self.messages.has(others.messages)
            && self.messages.with(self.last_user).has(others.last_user)
            && self.reply.has(others.reply)
            && self.params.covers(&others.params)
            && self.metadata.covers(&others.metadata)
            && flags(self).into_iter().zip(flags(others)).all(|(ours, theirs)| ours || !theirs)
    }

    /// Whether every kind of content of every message of the request is among it.
    pub(super) fn all_messages(&self) -> bool {
        self.messages == Channels::ALL
    }

    /// Whether each message that a hook is handed has every kind of content.
    pub(super) fn of_messages_whole(&self) -> bool {
        self.all_messages() || (self.messages == Channels::NONE && [Channels::NONE, Channels::ALL].contains(&self.last_user))
    }

    /// Which messages of the request a hook is handed: all, the newest of the user, or none. Then the index of that newest one, which may have
    /// more channels than the others. What a hook says of a message by its index counts from the start of these; where there is none, new
    /// messages go to the front, or to the end if it reads the newest one of the user and the user has said nothing.
    pub(super) fn window(&self, messages: &[Message]) -> (Range<usize>, Option<usize>) {
        let last = (self.last_user != Channels::NONE).then(|| messages.iter().rposition(|message| message.role == "user")).flatten();
        let window = match last {
            _ if self.messages != Channels::NONE => 0..messages.len(),
            Some(at) => at..at + 1,
            None if self.last_user != Channels::NONE => messages.len()..messages.len(),
            None => 0..0,
        };
        (window, last)
    }

    /// What of the message at that index, of which `last` is that of the newest one of the user.
    pub(super) fn of_message(&self, index: usize, last: Option<usize>) -> Channels {
        if last == Some(index) { self.messages.with(self.last_user) } else { self.messages }
    }
}

impl Side {
    fn key(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Reads => "read",
            Self::Writes => "write",
        }
    }
}

/// Checks the operator's words.
///
/// # Errors
/// What is wrong with them, as a sentence for the operator.
pub fn check_words(side: Side, words: &[String]) -> Result<(), String> {
    Data::of(side, words).map(drop)
}

fn known(side: Side) -> String {
    let more = match side {
        Side::Reads => "`usage`",
        Side::Writes => "`model`, `target`, `respond`, `reject`",
    };
    let channels: Vec<String> = Channels::EACH.iter().map(|(name, _)| format!("`.{name}`")).collect();
    let channels = channels.join(", ");
    format!(
        "`messages`, `last-user-message`, `reply` (each alone or with one of {channels}), `params`, `params.NAME`, `metadata`, `metadata.KEY`, {more}"
    )
}

impl Scope {
    /// Of the plugin of that name.
    ///
    /// # Errors
    /// Which word is unknown, or was not declared, and what to do about it.
    pub(super) fn new(name: &str, declared: Declared, own: &PluginConfig) -> Result<Self, String> {
        let (reads, read_words) = in_force(name, Side::Reads, declared.reads.as_deref(), own.reads.as_deref())?;
        let (writes, written_words) = in_force(name, Side::Writes, declared.writes.as_deref(), own.writes.as_deref())?;
        Ok(Self { declared, reads, writes, in_force: Declared { reads: read_words, writes: written_words } })
    }

    /// The same plugin under other decisions of the operator's.
    ///
    /// # Errors
    /// As `new`.
    pub(super) fn renewed(&self, name: &str, own: &PluginConfig) -> Result<Self, String> {
        Self::new(name, self.declared.clone(), own)
    }

    pub(super) fn in_force(&self) -> &Declared {
        &self.in_force
    }

    /// Refuses a pre-hook's outcome that does something the hook may not do. What it may do to a message is seen when the message is taken.
    pub(super) fn check_pre(&self, outcome: &pre::Outcome) -> Result<(), FaultKind> {
        let may = &self.writes;
        match outcome {
            pre::Outcome::Respond(_) => self.may(may.respond, "answers in place of the model", "respond"),
            pre::Outcome::Reject(_) => self.may(may.reject, "rejects", "reject"),
            pre::Outcome::Proceed(changes) => {
                self.may(changes.target.is_none() || may.target, "chooses the target", "target")?;
                self.may(changes.model.is_none() || may.model, "chooses the model", "model")?;
                self.check_names(&may.params, &changes.params, PARAMS)?;
                self.check_metadata(&changes.metadata)?;
                let none = may.messages == Channels::NONE && may.last_user == Channels::NONE;
                self.may(changes.messages.is_none() || !none, "changes messages", MESSAGES)
            }
        }
    }

    /// Refuses a post-hook's outcome that does something the hook may not do.
    pub(super) fn check_post(&self, outcome: &post::Outcome) -> Result<(), FaultKind> {
        match outcome {
            post::Outcome::Reject(_) => self.check_reject(),
            post::Outcome::Keep(metadata) => self.check_metadata(metadata),
            post::Outcome::Replace(replacement) => {
                let none = self.writes.reply == Channels::NONE;
                self.may(replacement.messages.is_empty() || !none, "replaces messages of the reply", REPLY)?;
                self.check_metadata(&replacement.metadata)
            }
        }
    }

    /// Whether a stream hook may do with all of a reply what it likes.
    pub(super) fn of_reply_all(&self) -> bool {
        (self.reads.reply, self.writes.reply) == (Channels::ALL, Channels::ALL)
    }

    /// For a hook that ends the exchange.
    pub(super) fn check_reject(&self) -> Result<(), FaultKind> {
        self.may(self.writes.reject, "rejects", "reject")
    }

    /// For what a hook leaves to the hooks after it.
    pub(super) fn check_metadata(&self, changes: &[wit::FieldChange]) -> Result<(), FaultKind> {
        self.check_names(&self.writes.metadata, changes, METADATA)
    }

    fn check_names(&self, may: &Names, changes: &[wit::FieldChange], what: &str) -> Result<(), FaultKind> {
        match changes.iter().find(|change| !may.has(&change.name)) {
            None => Ok(()),
            Some(change) => {
                let name = &change.name[..change.name.floor_char_boundary(WORD_BYTES_MAX)];
                self.may(false, &format!("changes `{what}.{name}`"), &format!("{what}.{name}"))
            }
        }
    }

    /// Refuses what is not allowed, and says which word is missing where.
    pub(super) fn may(&self, allowed: bool, what: &str, word: &str) -> Result<(), FaultKind> {
        if allowed { Ok(()) } else { Err(FaultKind::Invalid(self.beyond(what, word))) }
    }

    /// What is not allowed, and which word is missing where.
    pub(super) fn beyond(&self, what: &str, word: &str) -> String {
        let declares = in_force("", Side::Writes, self.declared.writes.as_deref(), None);
        let mut missing = Data::default();
        let covered = missing.add(Side::Writes, word).is_ok() && declares.is_ok_and(|(data, _)| data.covers(&missing));
        let remedy = if covered {
            format!("the operator's `plugins.NAME.writes` leaves out: `{word}` would have to stand there")
        } else {
            format!("it does not declare: `{word}` would have to stand in `writes` of its describe()")
        };
        format!("it {what}, which {remedy}")
    }
}

/// What holds of one declaration, and its words; none for everything.
fn in_force(
    name: &str,
    side: Side,
    declared: Option<&[String]>,
    narrowed: Option<&[String]>,
) -> Result<(Data, Option<Vec<String>>), String> {
    let (key, verb) = (side.key(), side.verb());
    let data = match declared {
        None => Data::everything(),
        Some(words) => Data::of(side, words).map_err(|why| format!("the `{key}` of its describe() are not understood: {why}"))?,
    };
    let Some(words) = narrowed else { return Ok((data, declared.map(<[String]>::to_vec))) };
    for word in words {
        let mut one = Data::default();
        one.add(side, word).map_err(|why| format!("`{key}` of `[plugins.{name}]` are not understood: {why}"))?;
        if !data.covers(&one) {
            let declares = declared.unwrap_or_default().join("`, `");
            return Err(format!(
                "`{key}` of `[plugins.{name}]` have `{word}`, which the plugin does not declare to {verb}; leave it out there (it declares `{declares}`)"
            ));
        }
    }
    Ok((Data::of(side, words)?, Some(words.to_vec())))
}

#[cfg(test)]
mod tests;
