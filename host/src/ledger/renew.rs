//! From one configuration's ledger to the next one's. Both share the books, so no reply is lost and nobody gets a second budget; a request that
//! began under the old prices is charged by them, because it holds the old ledger.

use std::sync::Arc;

use super::open::Used;
use super::{Config, Error, Ledger, lock};

/// Allowances that are ready to take effect.
pub struct Renewal {
    config: Config,
    used: Used,
}

impl Ledger {
    /// The ledger of the next configuration, with its prices and limits; and its allowances, which hold for both once they take effect.
    ///
    /// # Errors
    /// `Store`; nothing has changed then.
    pub async fn renewed(self: &Arc<Self>, config: Config) -> Result<(Self, Renewal), Error> {
        // What is only in memory is of the past too.
        self.flush().await?;
        let used = Used::read(&*self.books.store, self.today()).await?;
        let next = Self { books: Arc::clone(&self.books), prices: config.prices.clone(), limits: config.limits.clone() };
        Ok((next, Renewal { config, used }))
    }

    /// The allowances are in force.
    pub fn take_effect(&self, renewal: &Renewal) {
        let Renewal { config: Config { allowances, end_users, .. }, used } = renewal;
        let (mut accounts, now) = (lock(&self.books.accounts), (self.books.clock)());
        accounts.renew(allowances, end_users.as_ref(), |scope, limit| used.of(scope, limit), now);
        accounts.remember(used.end_users(), |scope, limit| used.of(scope, limit), now);
    }
}
