//! What is kept of one reply for one hook, by which the host knows what the hook is shown and checks what it says to that.
//! Invariant: what goes on is what the hook may say, with all that passed by it, and nothing of a choice behind that choice's end.

use std::sync::Arc;

use crate::chat::{Delta, Piece, Said};
use crate::sandbox::bindings::stream_hook;
use crate::sandbox::bindings::types as wit;
use crate::sandbox::deltas::{self, Book};
use crate::sandbox::env::CallEnv;
use crate::sandbox::outcome::rejection_back;
use crate::sandbox::portion::{Portion, split};
use crate::sandbox::scope::Scope;
use crate::sandbox::unwritten::Unwritten;
use crate::sandbox::{FaultKind, Rejection};

/// What becomes of what was pushed.
#[derive(Debug)]
pub enum Step {
    Keep,
    /// These go on in its place.
    Emit(Vec<Delta>),
    /// The reply ends here.
    Cut(Rejection),
}

/// Of one hook and reply.
pub(super) struct Checks {
    book: Book,
    unwritten: Unwritten,
    scope: Arc<Scope>,
    portion: Portion,
    /// What the hook gives back goes on.
    transforms: bool,
}

impl Step {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Keep | Self::Emit(_) => "ok",
            Self::Cut(_) => "rejected",
        }
    }
}

impl Checks {
    pub(super) fn new(scope: Arc<Scope>, transforms: bool) -> Self {
        Self { book: Book::default(), unwritten: Unwritten::default(), portion: Portion(scope.reads.reply), scope, transforms }
    }

    /// Notes what comes.
    pub(super) fn take_in(&mut self, deltas: &mut Vec<Delta>) {
        if !self.scope.of_reply_all() {
            split(deltas);
        }
        self.book.take_in(deltas, self.portion);
    }

    /// Notes what comes and passes by the hook.
    pub(super) fn pass(&mut self, deltas: &mut Vec<Delta>) {
        if !deltas.iter().any(|delta| self.portion.passes(delta)) {
            return;
        }
        self.book.take_in(deltas, self.portion);
        if !self.portion.is_empty() {
            deltas.retain(|delta| !matches!(delta, Delta::Piece { piece: Piece::Beside(_), .. }));
        }
        self.book.passed(deltas);
    }

    /// What the hook is shown of these, and how much that is.
    pub(super) fn shown(&self, deltas: &[Delta]) -> (Vec<wit::Delta>, Said) {
        deltas::shown(deltas, self.portion, &self.book)
    }

    /// Checks what the hook said to `deltas`, and puts what it was not shown of them among what it gives back. `most`: the bytes of its memory.
    pub(super) fn settle(&mut self, step: stream_hook::Step, deltas: &[Delta], env: &CallEnv, most: usize) -> Result<Step, FaultKind> {
        let Self { book, unwritten, scope, portion, transforms } = self;
        // What an observer gives back is not used.
        let strict = *transforms && !scope.of_reply_all();
        let invalid = FaultKind::Invalid;
        match step {
            stream_hook::Step::Keep => {
                // What is kept must not go on before what is held back.
                if strict && !unwritten.is_empty() {
                    unwritten.came(deltas, scope, most).map_err(invalid)?;
                    for delta in deltas.iter().filter(|delta| portion.has(delta)) {
                        let Delta::Piece { choice, piece } = delta else { continue };
                        unwritten.returns(*choice, piece, scope).map_err(invalid)?;
                    }
                }
                book.keep(deltas).map(|()| Step::Keep).map_err(invalid)
            }
            stream_hook::Step::Emit(list) => {
                let beside = portion.beside(deltas);
                if strict {
                    unwritten.came(deltas, scope, most).map_err(invalid)?;
                }
                let check = |choice, piece: &Piece| if strict { unwritten.returns(choice, piece, scope) } else { Ok(()) };
                let list = book.give_back(list, check).map_err(invalid)?;
                Ok(Step::Emit(beside.among(list)))
            }
            stream_hook::Step::Cut(rejection) => {
                scope.check_reject()?;
                Ok(Step::Cut(rejection_back(rejection, &env.log)))
            }
        }
    }

    /// The hook's last words: what it held back, of a reply that is `whole` with the ends that it has not let out.
    pub(super) fn last(&mut self, step: stream_hook::Step, env: &CallEnv, whole: bool) -> Result<Step, FaultKind> {
        let mut list = match self.settle(step, &[], env, usize::MAX)? {
            Step::Keep => Vec::new(),
            Step::Emit(list) => list,
            Step::Cut(rejection) => return Ok(Step::Cut(rejection)),
        };
        if whole {
            if self.transforms {
                self.unwritten.nothing_left(&self.scope).map_err(FaultKind::Invalid)?;
            }
            list.extend(self.book.ends());
        }
        Ok(Step::Emit(list))
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }
}
