//! What one plugin has asked for on behalf of one exchange with a client: requests, and bytes of bodies. Hooks of the same exchange share it, so
//! that no hook begins anew what another one has used up.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::error::Error;
use super::rules::Rules;
use crate::chat::Client;

/// The requests that were made for one exchange, and the bytes that they carried.
#[derive(Debug)]
pub struct Calls {
    /// Whose exchange it is.
    pub(super) client: Client,
    made: AtomicU32,
    carried: AtomicU64,
}

impl Calls {
    pub fn of(client: Client) -> Self {
        Self { client, made: AtomicU32::new(0), carried: AtomicU64::new(0) }
    }

    /// Counts one more request.
    pub(super) fn count(&self, rules: &Rules) -> Result<(), Error> {
        let most = rules.calls;
        let counted = self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |made| (made < most).then(|| made + 1));
        let message = || format!("{most} requests were made for this exchange, and `grants.http.calls` allows no more");
        counted.map(drop).map_err(|_| Error::Exhausted(message()))
    }

    /// Counts more bytes of a body.
    pub(super) fn carry(&self, rules: &Rules, bytes: usize) -> Result<(), Error> {
        let most = rules.exchange_bytes;
        let more = |carried: u64| carried.checked_add(bytes as u64).filter(|carried| *carried <= most);
        let counted = self.carried.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        let message = || {
            format!("the bodies of this exchange's requests have more than {most} bytes, and `grants.http.exchange_bytes` allows no more")
        };
        counted.map(drop).map_err(|_| Error::Exhausted(message()))
    }
}
