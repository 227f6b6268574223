//! The sum of a call's memories and tables, held under the plugin's limits.
//! wasmtime's own limits are per memory; a component may have many. Must not know which plugin it serves.

use wasmtime::ResourceLimiter;

use super::Exhausted;

/// Counts what one store uses.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_max: usize,
    memory: usize,
    table_elements_max: usize,
    table_elements: usize,
    /// The first limit that was hit: a guest that survives the refusal often aborts a little later.
    pub(super) denied: Option<Exhausted>,
}

impl Limiter {
    pub(super) fn new(memory_max: usize, table_elements_max: usize) -> Self {
        Self { memory_max, memory: 0, table_elements_max, table_elements: 0, denied: None }
    }

    /// Bytes of all memories; they never shrink, so this is the peak.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.memory.saturating_add(desired.saturating_sub(current));
        if sum > self.memory_max {
            return Err(self.deny(Exhausted::Memory(self.memory_max)));
        }
        self.memory = sum;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.table_elements.saturating_add(desired.saturating_sub(current));
        if sum > self.table_elements_max {
            return Err(self.deny(Exhausted::Table(self.table_elements_max)));
        }
        self.table_elements = sum;
        Ok(true)
    }
}

impl Limiter {
    /// An error is a trap: the call ends at once, with the limit as its cause.
    fn deny(&mut self, limit: Exhausted) -> wasmtime::Error {
        self.denied.get_or_insert(limit);
        wasmtime::Error::from(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_memories_is_limited_to_the_byte() {
        let mut limiter = Limiter::new(100, 10);
        assert!(limiter.memory_growing(0, 60, None).expect("within"));
        assert!(limiter.memory_growing(0, 40, None).expect("at the edge"));
        assert!(limiter.memory_growing(40, 41, None).is_err());
        assert_eq!((limiter.memory(), limiter.denied), (100, Some(Exhausted::Memory(100))));
    }

    #[test]
    fn the_sum_of_all_tables_is_limited_to_the_element() {
        let mut limiter = Limiter::new(100, 10);
        assert!(limiter.table_growing(0, 10, None).expect("at the edge"));
        assert!(limiter.table_growing(0, 1, None).is_err());
        assert_eq!(limiter.denied, Some(Exhausted::Table(10)));
    }
}
