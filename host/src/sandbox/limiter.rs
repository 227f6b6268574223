//! The sum of a call's memories and tables, held under the plugin's limits and under what all calls may use together.
//! wasmtime's own limits are for one memory, but a component may have many. What a store used is given back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use super::Exhausted;

/// Counts what one store uses.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_max: usize,
    memory: usize,
    table_elements_max: usize,
    table_elements: usize,
    budget: Arc<Budget>,
    /// The first limit that was hit.
    pub(super) denied: Option<Denied>,
}

/// Linear memory of all calls together.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    max: AtomicUsize,
}

/// Which growth was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error(transparent)]
    Own(Exhausted),
    #[error("all calls together use the memory that they may use")]
    Shared,
}

impl Budget {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max: AtomicUsize::new(max) })
    }

    /// So much may be used from now on; what is in use stays in use.
    pub(super) fn resize(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.max.load(Ordering::Relaxed);
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Limiter {
    pub(super) fn new(memory_max: usize, table_elements_max: usize, budget: Arc<Budget>) -> Self {
        Self { memory_max, memory: 0, table_elements_max, table_elements: 0, budget, denied: None }
    }

    /// Bytes of all memories; they never shrink, so this is the peak.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// An error is a trap: the call ends at once, with the limit as its cause.
    fn deny(&mut self, limit: Denied) -> wasmtime::Error {
        self.denied.get_or_insert(limit);
        wasmtime::Error::from(limit)
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.budget.give_back(self.memory);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The guest set itself this limit, and is told so. What fails after this is the machine's failure.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        if self.memory.saturating_add(more) > self.memory_max {
            return Err(self.deny(Denied::Own(Exhausted::Memory(self.memory_max))));
        }
        if !self.budget.take(more) {
            return Err(self.deny(Denied::Shared));
        }
        self.memory += more;
        Ok(true)
    }

    /// The system had no memory for what was allowed. Were the guest told, it would fail for it and be blamed.
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(self.deny(Denied::Shared))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let sum = self.table_elements.saturating_add(desired.saturating_sub(current));
        if sum > self.table_elements_max {
            return Err(self.deny(Denied::Own(Exhausted::Table(self.table_elements_max))));
        }
        self.table_elements = sum;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(self.deny(Denied::Shared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_memories_is_limited_to_the_byte() {
        let mut limiter = Limiter::new(100, 10, Budget::new(usize::MAX));
        assert!(limiter.memory_growing(0, 60, None).expect("within"));
        assert!(limiter.memory_growing(0, 40, None).expect("at the edge"));
        assert!(limiter.memory_growing(40, 41, None).is_err());
        assert_eq!((limiter.memory(), limiter.denied), (100, Some(Denied::Own(Exhausted::Memory(100)))));
    }

    #[test]
    fn the_sum_of_all_tables_is_limited_to_the_element() {
        let mut limiter = Limiter::new(100, 10, Budget::new(usize::MAX));
        assert!(limiter.table_growing(0, 10, None).expect("at the edge"));
        assert!(limiter.table_growing(0, 1, None).is_err());
        assert_eq!(limiter.denied, Some(Denied::Own(Exhausted::Table(10))));
    }

    #[test]
    fn a_maximum_of_the_guests_own_is_no_fault_and_a_machine_without_memory_is_nobodys() {
        let mut limiter = Limiter::new(100, 10, Budget::new(usize::MAX));
        assert!(!limiter.memory_growing(0, 60, Some(59)).expect("no trap"));
        assert!(!limiter.table_growing(0, 6, Some(5)).expect("no trap"));
        assert_eq!((limiter.memory(), limiter.denied), (0, None));
        assert!(limiter.memory_grow_failed(wasmtime::Error::msg("no memory")).is_err());
        assert_eq!(limiter.denied, Some(Denied::Shared));
    }

    #[test]
    fn calls_share_one_budget_and_give_back_what_they_used() {
        let budget = Budget::new(100);
        let mut first = Limiter::new(100, 0, budget.clone());
        let mut second = Limiter::new(100, 0, budget.clone());
        assert!(first.memory_growing(0, 60, None).expect("within"));
        assert!(second.memory_growing(0, 40, None).expect("at the edge"));
        assert!(second.memory_growing(40, 41, None).is_err());
        assert_eq!(second.denied, Some(Denied::Shared));
        drop(first);
        assert!(second.memory_growing(40, 100, None).expect("the first gave back"));
        drop(second);
        assert!(budget.take(100) && !budget.take(1));
    }
}
