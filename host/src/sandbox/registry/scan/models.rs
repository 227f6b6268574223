//! Which of the live plugins are models, and whose list is to be asked for.

use std::sync::Arc;
use std::time::Duration;

use super::Scanner;
use crate::sandbox::models::Models;
use crate::sandbox::plugin::Plugin;

impl Scanner {
    /// How long a list of models is good.
    pub(in crate::sandbox::registry) fn models_ttl(&self) -> Duration {
        self.limits.models_ttl
    }

    /// The live plugins that are models.
    pub(in crate::sandbox::registry) fn models(&self) -> Vec<Arc<Plugin>> {
        self.files.values().filter_map(|known| known.live.clone()).filter(|plugin| plugin.model.is_some()).collect()
    }

    /// Those that have not said under their settings which models they have.
    pub(in crate::sandbox::registry) fn models_without_list(&self) -> Vec<Arc<Plugin>> {
        let outdated = |plugin: &Arc<Plugin>| plugin.model.as_ref().is_some_and(Models::is_outdated);
        self.models().into_iter().filter(outdated).collect()
    }
}
