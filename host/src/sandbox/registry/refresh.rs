//! Asks plugins that are models for their lists again, for as long as there is a registry. A plugin that does not answer keeps the list it had.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::live::Registry;

/// Asks all of them, one after the other, each time that their lists have become that old.
pub(super) async fn refresh(registry: Weak<Registry>, models_ttl: Duration) {
    loop {
        tokio::time::sleep(models_ttl).await;
        let Some(plugins) = registry.upgrade().map(|registry| registry.snapshot()) else { return };
        let plugins: Vec<_> = plugins.by_name.values().filter(|plugin| plugin.model.is_some()).map(Arc::clone).collect();
        for plugin in plugins {
            if let Err(fault) = plugin.ask_models().await {
                tracing::warn!(plugin = plugin.name(), %fault, "the plugin did not say which models it has; its last list stays");
            }
        }
    }
}
