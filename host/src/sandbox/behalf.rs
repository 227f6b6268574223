//! On whose behalf a plugin is called: what its capabilities need to know of the exchange, which the call itself may take along elsewhere, and
//! what each plugin has used for it.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chat::{Client, Deadline, Exchange, Fields, Kept, Message, RequestId};
use crate::outbound::Calls;

/// An exchange, as far as it is the same for all that is done for it.
pub(super) struct Behalf {
    id: RequestId,
    caller: Option<Arc<str>>,
    client: Client,
    end_user: Option<Arc<str>>,
    pub(super) pipeline: Arc<str>,
    deadline: Deadline,
    kept: Kept,
}

/// For which exchange a call is made, and what the plugin has asked of other servers for it.
pub(super) type Of = (Option<Behalf>, Option<Arc<Calls>>);

/// What each plugin has used of one kind.
struct ByPlugin<T>(Mutex<BTreeMap<Arc<str>, Arc<T>>>);

impl<T> Default for ByPlugin<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl Behalf {
    pub(super) fn of(exchange: &Exchange) -> Self {
        Self {
            id: exchange.id.clone(),
            caller: exchange.caller.clone(),
            client: exchange.client.clone(),
            end_user: exchange.end_user.clone(),
            pipeline: exchange.pipeline.clone(),
            deadline: exchange.deadline,
            kept: exchange.kept.clone(),
        }
    }

    /// Whether a plugin asks already, and this one is a model that it asks.
    pub(super) fn is_inner(&self) -> bool {
        self.kept.is_inner()
    }

    /// A question of that plugin's own, on the same caller's account and by the same deadline. No hook runs on it.
    pub(super) fn question(&self, plugin: &Arc<str>, messages: Vec<Message>, params: Fields) -> Exchange {
        Exchange {
            caller: self.caller.clone(),
            end_user: self.end_user.clone(),
            stream: true,
            messages,
            params,
            kept: self.kept.inner(plugin),
            ..Exchange::new(self.id.clone(), self.client.clone(), self.pipeline.clone(), self.deadline)
        }
    }

    /// What the plugin has used of `T` for the exchange.
    pub(super) fn used<T: Any + Default + Send + Sync>(&self, plugin: &Arc<str>) -> Arc<T> {
        used(plugin, &self.kept)
    }
}

/// What the plugin has used of `T` for the exchange with which that is kept: the same for all of its hooks there.
pub(super) fn used<T: Any + Default + Send + Sync>(plugin: &Arc<str>, kept: &Kept) -> Arc<T> {
    let used = kept.one::<ByPlugin<T>>();
    // A panic elsewhere leaves a map that is right as far as it goes.
    let mut by_plugin = used.0.lock().unwrap_or_else(PoisonError::into_inner);
    by_plugin.entry(plugin.clone()).or_default().clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_has_one_budget_for_each_exchange() {
        let (one, two, [a, b]) = (Kept::default(), Kept::default(), ["a", "b"].map(Arc::<str>::from));
        let first = used::<u32>(&a, &one);
        assert!(Arc::ptr_eq(&first, &used(&a, &one)), "its hooks share it");
        assert!(Arc::ptr_eq(&first, &used(&a, &one.clone())), "also where the exchange is asked of a model that is a plugin");
        assert!(!Arc::ptr_eq(&first, &used(&b, &one)), "each plugin has its own");
        assert!(!Arc::ptr_eq(&first, &used(&a, &two)), "and each exchange");
    }
}
