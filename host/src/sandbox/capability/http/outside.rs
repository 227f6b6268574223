//! What lies beyond the host, as the guard of plugins' requests reaches it: names, connections, secrets. Tests bring their own, so that none of
//! them sends a packet even if a check is broken. Invariant: all guards share one memory of replies, and those of one plugin its places.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::outbound::{Common, Connect, Guard, LookUp, Names, Network, Own, Resolve, Rules};
use crate::sandbox::ServerLimits;

/// The ways out. Clones are the same ones.
#[derive(Clone)]
pub struct Outside {
    resolver: Arc<dyn Resolve>,
    connector: Arc<dyn Connect>,
    secrets: LookUp,
    common: Common,
    /// By the plugin's name, for as long as it has a guard.
    plugins: Arc<Mutex<BTreeMap<Box<str>, Weak<Own>>>>,
}

impl Outside {
    pub fn new(resolver: Arc<dyn Resolve>, connector: Arc<dyn Connect>, secrets: LookUp) -> Self {
        let ServerLimits { replies_bytes, idle_connections, .. } = ServerLimits::default();
        let common = Common::new(replies_bytes, idle_connections);
        Self { resolver, connector, secrets, common, plugins: Arc::default() }
    }

    /// The system's resolver and the network.
    pub fn network(secrets: LookUp) -> Self {
        Self::new(Arc::new(Names), Arc::new(Network::default()), secrets)
    }

    /// There is so much for all plugins from now on.
    pub(in crate::sandbox) fn resize(&self, limits: &ServerLimits) {
        self.common.resize(limits.replies_bytes, limits.idle_connections);
    }

    /// A guard of that plugin. What its calls under way hold counts for the new one too; a connection that one guard keeps is for that one alone.
    pub(in crate::sandbox) fn guard(&self, plugin: &str, rules: Rules) -> Guard {
        let own = self.own(plugin, rules.connections);
        let guard = Guard::new(rules, self.resolver.clone(), self.connector.clone(), self.secrets.clone());
        guard.sharing(self.common.clone(), own)
    }

    fn own(&self, plugin: &str, connections: usize) -> Arc<Own> {
        // A panic elsewhere leaves a map that is right as far as it goes.
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.retain(|_, own| own.strong_count() > 0);
        if let Some(own) = plugins.get(plugin).and_then(Weak::upgrade) {
            own.places.resize(connections);
            return own;
        }
        let own = Arc::new(Own::new(plugin, connections));
        plugins.insert(plugin.into(), Arc::downgrade(&own));
        own
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::chat::Client;

    #[test]
    fn a_plugin_that_is_linked_anew_keeps_its_places_and_their_number_is_that_of_its_new_grant() {
        let outside = Outside::network(Arc::new(|_| Err("is not set".into())));
        let guard = |plugin, connections| outside.guard(plugin, Rules { connections, ..Rules::default() });
        let has_place = |guard: &Guard| guard.place(&Client::Host).now_or_never();
        let first = guard("a", 1);
        let held = has_place(&first).expect("a place is free");
        let (again, other) = (guard("a", 1), guard("b", 1));
        assert!(has_place(&again).is_none(), "the request under way counts");
        assert!(has_place(&other).is_some(), "each plugin has its own");
        let more = guard("a", 4);
        assert!(has_place(&more).is_some());
        drop((held, first, again, more));
        assert!(has_place(&guard("a", 1)).is_some());
        assert_eq!(outside.plugins.lock().unwrap().len(), 2, "plugins that are gone are forgotten");
        drop(other);
        drop(guard("c", 1));
        assert_eq!(outside.plugins.lock().unwrap().len(), 1);
    }
}
