//! Counts how often something was done, up to a limit that the grant names.

use std::sync::atomic::{AtomicU32, Ordering};

/// Uses so far.
#[derive(Debug, Default)]
pub(super) struct Uses(AtomicU32);

impl Uses {
    /// Counts one more; false if there were as many as may be.
    pub(super) fn count(&self, most: u32) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |made| (made < most).then(|| made + 1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_counted_as_may_be() {
        let uses = Uses::default();
        assert_eq!([(); 4].map(|()| uses.count(3)), [true, true, true, false]);
        assert!(uses.count(4), "the operator may allow more meanwhile");
    }
}
