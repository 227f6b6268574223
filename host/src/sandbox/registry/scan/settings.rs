//! What the operator decides about plugins changes while they run: in the file, or through the API.
//! Invariant: what is live goes on, linked anew; what was refused or is on its way is looked at again.

use std::sync::Arc;

use super::{Scanner, Settings, skippable};
use crate::sandbox::admit::own_name;
use crate::sandbox::registry::known::stem;
use crate::sandbox::registry::live::Registry;

impl Scanner {
    /// Waits for settings that change.
    pub(in crate::sandbox::registry) fn settings_change(&self) -> impl Future<Output = ()> + use<> {
        let book = self.admission.ports.settings.clone();
        async move { book.hint().await }
    }

    /// Files that were refused are looked at again if their plugin's settings have changed.
    pub(in crate::sandbox::registry) fn settings_changed(&mut self) {
        let changed = self.admission.ports.settings.take_changed();
        for (file, known) in &mut self.files {
            let (stem, name) = (stem(file), own_name(stem(file)));
            if changed.contains(stem) || changed.contains(&name) {
                known.reconsider();
            }
        }
        self.scan();
    }

    /// What the operator decides about plugins changes: what is live is linked anew, what was refused or is on its way is looked at again, and
    /// all of it is published in a new registry. The one before stays as it is for the requests that began with it.
    pub(in crate::sandbox::registry) fn renew(&mut self, Settings { plugins, limits }: Settings) -> Arc<Registry> {
        let renewed = Arc::new(self.admission.renewed(plugins, limits.clone()));
        let before = std::mem::replace(&mut self.admission, renewed);
        let other_limits = std::mem::replace(&mut self.limits, limits) != self.limits;
        self.skippable = skippable(&self.admission.configs);
        self.last_good.set_limit(self.limits.last_good_bytes);
        self.registry = Arc::new(self.registry.renewed(self.limits.file_bytes));
        for file in self.files.keys().cloned().collect::<Vec<_>>() {
            self.relink(&file);
            let changed = other_limits || self.admission.own(stem(&file)) != before.own(stem(&file));
            let known = self.known(&file);
            if changed && (known.loading || known.refusal.is_some()) {
                known.look_again();
                self.work.cancel(&file, false);
                self.work.cancel(&file, true);
            }
        }
        // Also if the directory cannot be read now.
        self.publish();
        self.scan();
        if self.loaded {
            self.warn_of_unused_entries();
        }
        self.registry.clone()
    }

    /// Links the file's live plugin as the operator wants it now.
    pub(super) fn relink(&mut self, file: &str) {
        let Some(plugin) = self.known(file).live.clone() else { return };
        match self.admission.relinked(&plugin) {
            Ok(None) => {}
            Ok(Some((plugin, refusal))) => {
                tracing::info!(file, plugin = plugin.name(), "plugin was linked anew");
                self.known(file).live = Some(Arc::new(plugin));
                if let Some(refusal) = refusal {
                    self.refuse(file, refusal);
                }
            }
            Err(refusal) => {
                self.known(file).live = None;
                self.refuse(file, refusal);
            }
        }
    }
}
