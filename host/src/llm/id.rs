//! Ids that sort by the time at which they were made: of requests, and of replies whose provider gave none.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// The time in milliseconds, and behind it random bits of a generator of this thread's: an id is no secret, and the system is not asked for each.
pub fn sortable_id() -> Uuid {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_of_version_7_and_none_comes_twice() {
        let ids: std::collections::HashSet<Uuid> = (0..10_000).map(|_| sortable_id()).collect();
        assert!(ids.len() == 10_000 && ids.iter().all(|id| id.get_version_num() == 7));
    }
}
