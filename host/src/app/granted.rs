//! What grants of plugins name and this server does not have: told when the configuration takes effect. It is no reason to refuse anything, for
//! documents, secrets and plugins may come later.

use std::collections::BTreeMap;

use crate::llm::{Llm, Target};
use crate::outbound::LookUp;
use crate::pipeline::Catalog;
use crate::rag::{Knowledge, Page};
use crate::sandbox::{Named, PluginConfig, Registry, named};

/// The rooms in which it is looked for.
pub(super) struct Rooms<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) llm: &'a Llm,
    pub(super) registry: &'a Registry,
    pub(super) knowledge: &'a Knowledge,
    pub(super) secrets: LookUp,
}

impl Rooms<'_> {
    /// A sentence for each name that leads nowhere.
    pub(super) async fn warnings(&self, plugins: &BTreeMap<String, PluginConfig>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (plugin, config) in plugins {
            let Named { targets, embeddings, namespaces, secrets } = named(&config.grants);
            let mut found = Vec::new();
            for target in targets {
                let target =
                    Target { provider: target.provider, model: target.model, secret_key_name: target.secret_key_name, on_status: None };
                found.extend(self.of_target(&target).map(|why| format!("grants.llm.targets: {why}")));
            }
            let unknown = embeddings.iter().filter(|id| self.catalog.embedding(id).is_none());
            found.extend(unknown.map(|id| format!("grants.llm.embeddings: the list of `[[embeddings]]` has no `{id}`")));
            for namespace in namespaces {
                found.extend(self.of_namespace(plugin, &namespace).await.map(|why| format!("grants.knowledge.namespaces: {why}")));
            }
            let missing = secrets.iter().filter_map(|name| Some((name, (self.secrets)(name).err()?)));
            found.extend(missing.map(|(name, why)| format!("grants.http.secrets: the secret `{name}` {why}")));
            warnings.extend(found.into_iter().map(|why| format!("plugins.{plugin}.{why}")));
        }
        warnings
    }

    fn of_target(&self, target: &Target) -> Option<String> {
        let provider = &target.provider;
        if !self.llm.knows(provider) {
            return Some(format!("there is no provider `{provider}`; this server has {}", self.llm.names().join(", ")));
        }
        if self.llm.plugin_of(target).is_some() && target.model != "*" {
            let fault = self.registry.snapshot().check_model(&target.model).err()?;
            return Some(format!("plugin `{}`: {}", fault.plugin, fault.kind));
        }
        self.llm.missing_secret(target).map(|(name, why)| format!("the secret `{name}` for provider `{provider}` {why}"))
    }

    /// A namespace is there if it holds a document. One without a pipeline before it is of those that ask the plugin.
    async fn of_namespace(&self, plugin: &str, namespace: &str) -> Option<String> {
        let (apis, name) = match namespace.split_once('/') {
            Some((pipeline, _)) if self.catalog.get(pipeline).is_none() => return Some(format!("there is no pipeline `{pipeline}`")),
            Some((pipeline, name)) => (vec![pipeline.to_owned()], name),
            None => {
                let all = self.catalog.list();
                let asks = all.iter().filter(|pipeline| self.catalog.plugins(&pipeline.definition).any(|name| name == plugin));
                (asks.map(|pipeline| pipeline.id.to_string()).collect(), namespace)
            }
        };
        for api in &apis {
            // What cannot be read now is nothing to warn of.
            if self.knowledge.documents(api, Some(name), Page { after: "", count: 1 }).await.is_ok_and(|found| found.is_empty()) {
                continue;
            }
            return None;
        }
        (!apis.is_empty()).then(|| format!("no document is in `{namespace}` yet, of {}", apis.join(", ")))
    }
}
