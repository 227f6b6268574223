//! What of a reply each hook was shown and what went past it, beside what the client was sent. Clones are one record, so that whoever writes
//! the request's log line has it whatever became of the exchange. Invariant: what has come to a hook's place and was not handed to the hook,
//! which then answered, counts as unseen, whatever the reason.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Delta;
use super::channel::{Channel, Said};

/// Of one exchange.
#[derive(Clone, Debug, Default)]
pub struct Coverage(Arc<Mutex<Covered>>);

#[derive(Clone, Debug, Default)]
struct Covered {
    sent: Said,
    hooks: Vec<Hook>,
}

#[derive(Clone, Debug)]
struct Hook {
    plugin: Arc<str>,
    shown: Said,
    unseen: Said,
}

/// One hook of one exchange, at its place between the provider and the client.
#[derive(Debug)]
pub struct Place {
    of: Coverage,
    at: usize,
    came: Meter,
    shown: Said,
}

/// Counts a stream.
#[derive(Debug, Default)]
pub struct Meter {
    said: Said,
    /// The reply's names, which every chunk repeats.
    names: (String, String),
}

impl Coverage {
    /// A place for a hook, of which nothing has come yet.
    pub fn place(&self, plugin: Arc<str>) -> Place {
        let mut covered = self.lock();
        covered.hooks.push(Hook { plugin, shown: Said::default(), unseen: Said::default() });
        Place { of: self.clone(), at: covered.hooks.len() - 1, came: Meter::default(), shown: Said::default() }
    }

    /// More of what the client was sent.
    pub fn sent(&self, said: Said) {
        self.lock().sent += said;
    }

    /// What the client was sent and what each hook did not see of it, as one line; none if no hook looked at the reply.
    pub fn told(&self) -> Option<(String, String)> {
        let covered = self.lock();
        if covered.hooks.is_empty() {
            return None;
        }
        let mut unseen = String::new();
        for Hook { plugin, unseen: of, .. } in &covered.hooks {
            let separator = if unseen.is_empty() { "" } else { "; " };
            let _ =
                if of.is_empty() { write!(unseen, "{separator}{plugin}: nothing") } else { write!(unseen, "{separator}{plugin}: {of}") };
        }
        Some((covered.sent.to_string(), unseen))
    }

    fn lock(&self) -> MutexGuard<'_, Covered> {
        // A panic elsewhere leaves counts that are right as far as they go.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Something has come that goes on, or may.
    pub fn came(&mut self, delta: &Delta) {
        self.came.delta(delta);
    }

    /// The same of a whole reply.
    pub fn came_whole(&mut self, said: Said) {
        self.came.said += said;
    }

    /// Bytes of a frame as it came that say nothing to a reader of its data, such as a comment.
    pub fn came_beside(&mut self, bytes: usize) {
        self.came.said.add(Channel::Other, bytes);
    }

    /// The hook was handed this, and answered.
    pub fn shown(&mut self, said: Said) {
        self.shown += said;
    }

    /// What counts up to now: shown and unseen.
    pub fn tell(&self) -> (Said, Said) {
        let unseen = self.came.said.beyond(&self.shown);
        let hook = &mut self.of.lock().hooks[self.at];
        (hook.shown, hook.unseen) = (self.shown, unseen);
        (self.shown, unseen)
    }
}

impl Meter {
    pub fn delta(&mut self, delta: &Delta) {
        if let Delta::Head { id, model, .. } = delta {
            let mut name = |new: &Option<String>, known: fn(&mut Self) -> &mut String| {
                if let Some(new) = new
                    && *new != *known(self)
                {
                    self.said.add(Channel::Other, new.len());
                    new.clone_into(known(self));
                }
            };
            name(id, |meter| &mut meter.names.0);
            name(model, |meter| &mut meter.names.1);
        }
        self.said.delta(delta);
    }

    /// What was counted since the last time.
    pub fn take(&mut self) -> Said {
        std::mem::take(&mut self.said)
    }
}
