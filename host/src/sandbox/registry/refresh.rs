//! Asks plugins that are models for their lists again. A plugin that does not answer keeps the list it had.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use crate::sandbox::plugin::Plugin;

/// When all of them were asked last.
pub(super) struct Lists(Instant);

impl Lists {
    /// Each plugin is asked when it is loaded.
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Waits until the lists are older than `models_ttl`.
    pub(super) async fn old(&self, models_ttl: Duration) {
        sleep_until(self.0 + models_ttl).await;
    }

    /// Asks all of them again. The loader does not wait for their answers; each has the time of a hook, which is less than `models_ttl`.
    pub(super) fn ask_all(&mut self, plugins: Vec<Arc<Plugin>>) {
        self.0 = Instant::now();
        self.ask(plugins);
    }

    /// Asks some of them, without waiting.
    pub(super) fn ask(&self, plugins: Vec<Arc<Plugin>>) {
        if !plugins.is_empty() {
            tokio::spawn(ask(plugins));
        }
    }
}

/// Asks each, at the same time.
pub(super) async fn ask(plugins: Vec<Arc<Plugin>>) {
    let each = plugins.iter().map(async |plugin| {
        if let Err(fault) = plugin.ask_models().await {
            tracing::warn!(plugin = plugin.name(), %fault, "the plugin did not say which models it has; its last list stays");
        }
    });
    join_all(each).await;
}
