//! What each plugin has used of its `http` for one exchange, kept with the exchange: the budget is the same for all of its hooks there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chat::{Client, Kept};
use crate::outbound::Calls;

/// By the plugin's name.
#[derive(Default)]
struct Budgets(Mutex<BTreeMap<Arc<str>, Arc<Calls>>>);

/// What the plugin has used for the exchange with which that is kept.
pub(in crate::sandbox) fn of(plugin: &Arc<str>, client: &Client, kept: &Kept) -> Arc<Calls> {
    let budgets = kept.one::<Budgets>();
    // A panic elsewhere leaves a map that is right as far as it goes.
    let mut by_plugin = budgets.0.lock().unwrap_or_else(PoisonError::into_inner);
    by_plugin.entry(plugin.clone()).or_insert_with(|| Arc::new(Calls::of(client.clone()))).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_has_one_budget_for_each_exchange() {
        let (one, two, [a, b]) = (Kept::default(), Kept::default(), ["a", "b"].map(Arc::<str>::from));
        let of = |plugin, kept| of(plugin, &Client::Host, kept);
        let first = of(&a, &one);
        assert!(Arc::ptr_eq(&first, &of(&a, &one)), "its hooks share it");
        assert!(!Arc::ptr_eq(&first, &of(&b, &one)), "each plugin has its own");
        assert!(!Arc::ptr_eq(&first, &of(&a, &two)), "and each exchange");
    }
}
