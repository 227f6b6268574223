//! The memory that the bodies of all requests take together: each reserves its bytes as it comes, and what is made of them before it is made.
//! Invariant: whoever takes more holds no more than is free then, so one caller alone gets half, the next half of what is left, and one that
//! comes new always finds room. But when nothing else is held a body of any size is taken, so that none waits for ever.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Refusal;

/// What a value costs beside its text: the name and the value of a field that is kept as its JSON take about as much.
const VALUE_BYTES: usize = 128;

/// Whose body it is: the key's name, or everybody on this machine.
type Caller = Option<Arc<str>>;

/// All bodies.
pub(super) struct Bodies {
    limit: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_caller: HashMap<Caller, usize>,
}

/// What one body holds, until it is dropped. It must live as long as the body and whatever was made of it.
pub(super) struct Reserved {
    bodies: Arc<Bodies>,
    caller: Caller,
    bytes: AtomicUsize,
}

impl Bodies {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, held: Mutex::default() }
    }

    /// A body that holds nothing yet.
    pub(super) fn open(self: &Arc<Self>, caller: Caller) -> Reserved {
        Reserved { bodies: Arc::clone(self), caller, bytes: AtomicUsize::new(0) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Numbers are right after every statement, so a panic elsewhere leaves them right.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// Holds that many bytes more.
    ///
    /// # Errors
    /// `BodiesFull` if its caller would hold more than is left free.
    pub(super) fn grow(&self, bytes: usize) -> Result<(), Refusal> {
        let mut held = self.bodies.held();
        let own = held.by_caller.get(&self.caller).copied().unwrap_or(0).saturating_add(bytes);
        let all = held.all.saturating_add(bytes);
        let alone = held.all == self.bytes.load(Ordering::Relaxed);
        if !alone && own > self.bodies.limit.saturating_sub(all) {
            return Err(Refusal::BodiesFull);
        }
        held.all = all;
        held.by_caller.insert(self.caller.clone(), own);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Holds what a parser may make of that many values.
    ///
    /// # Errors
    /// As `grow`.
    pub(super) fn grow_by_values(&self, values: usize) -> Result<(), Refusal> {
        self.grow(values.saturating_mul(VALUE_BYTES))
    }

    /// What it holds so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        if bytes == 0 {
            return;
        }
        let mut held = self.bodies.held();
        held.all -= bytes;
        if let Some(own) = held.by_caller.get_mut(&self.caller) {
            *own -= bytes;
            if *own == 0 {
                held.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bodies(limit: usize) -> Arc<Bodies> {
        Arc::new(Bodies::new(limit))
    }

    fn caller(name: &str) -> Caller {
        Some(name.into())
    }

    #[test]
    fn a_caller_gets_half_and_one_that_comes_new_finds_room() {
        let bodies = bodies(100);
        let first = bodies.open(caller("a"));
        first.grow(10).expect("taken");
        let second = bodies.open(caller("a"));
        second.grow(40).expect("half, at the edge");
        assert_eq!(bodies.open(caller("a")).grow(1), Err(Refusal::BodiesFull));
        assert_eq!(second.grow(1), Err(Refusal::BodiesFull));
        let other = bodies.open(caller("b"));
        other.grow(25).expect("half of what is left, at the edge");
        assert_eq!(other.grow(1), Err(Refusal::BodiesFull));
        bodies.open(None).grow(12).expect("there is always room for another");
        drop(second);
        other.grow(1).expect("what was given back is free");
        drop((first, other));
        assert!(bodies.held().all == 0 && bodies.held().by_caller.is_empty());
    }

    #[test]
    fn a_body_that_is_alone_is_taken_whatever_its_size() {
        let bodies = bodies(10);
        let large = bodies.open(None);
        large.grow(8).expect("alone");
        large.grow_by_values(8).expect("still alone");
        assert_eq!(large.bytes(), 8 + 8 * VALUE_BYTES);
        assert_eq!(bodies.open(caller("b")).grow(1), Err(Refusal::BodiesFull));
        drop(large);
        bodies.open(caller("b")).grow(1).expect("free again");
    }

    proptest! {
        /// Whatever callers do, no more than the limit is held but by one body alone, and a caller that holds nothing gets what is a fair part.
        #[test]
        fn the_limit_holds_and_a_newcomer_is_never_shut_out(steps in prop::collection::vec((0_usize..4, 0_usize..30, any::<bool>()), 0..200)) {
            let bodies = bodies(100);
            let mut open: Vec<Reserved> = Vec::new();
            for (who, bytes, closes) in steps {
                if closes && !open.is_empty() {
                    drop(open.swap_remove(who % open.len()));
                    continue;
                }
                let body = bodies.open(caller(&who.to_string()));
                if body.grow(bytes).is_ok() {
                    open.push(body);
                }
                let held: usize = open.iter().map(Reserved::bytes).sum();
                prop_assert_eq!(bodies.held().all, held);
                prop_assert!(held <= 100);
                let free = 100 - held;
                // Each of four callers leaves half of what it found.
                prop_assert!(free >= 100 / 16);
                let newcomer = bodies.open(None);
                prop_assert!(newcomer.grow(free / 2).is_ok());
            }
        }
    }
}
