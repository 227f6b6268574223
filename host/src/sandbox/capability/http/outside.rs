//! What lies beyond the host, as the guard of plugins' requests reaches it: names, connections, secrets. Tests bring their own, so that none of
//! them sends a packet even if a check is broken.

use std::fmt;
use std::sync::Arc;

use crate::outbound::{Connect, Guard, LookUp, Names, Network, Resolve, Rules};

/// The ways out.
#[derive(Clone)]
pub struct Outside {
    resolver: Arc<dyn Resolve>,
    connector: Arc<dyn Connect>,
    secrets: LookUp,
}

impl Outside {
    pub fn new(resolver: Arc<dyn Resolve>, connector: Arc<dyn Connect>, secrets: LookUp) -> Self {
        Self { resolver, connector, secrets }
    }

    /// The system's resolver and the network.
    pub fn network(secrets: LookUp) -> Self {
        Self::new(Arc::new(Names::default()), Arc::new(Network::default()), secrets)
    }

    /// The guard of one plugin.
    pub(super) fn guard(&self, rules: Rules) -> Guard {
        Guard::new(rules, self.resolver.clone(), self.connector.clone(), self.secrets.clone())
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}
