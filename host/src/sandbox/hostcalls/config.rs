//! `cofferdam:hooks/config`: the operator's values for one plugin, as JSON texts made once at load.

use std::collections::BTreeMap;

use crate::sandbox::bindings::config;
use crate::sandbox::state::State;

/// A plugin's configuration, ready to hand over.
#[derive(Debug)]
pub(in crate::sandbox) struct ConfigText {
    all: String,
    by_key: BTreeMap<String, String>,
}

impl ConfigText {
    pub(in crate::sandbox) fn new(config: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self {
            all: serde_json::Value::Object(config.clone()).to_string(),
            by_key: config.iter().map(|(key, value)| (key.clone(), value.to_string())).collect(),
        }
    }
}

impl config::Host for State {
    fn all(&mut self) -> wasmtime::Result<String> {
        Ok(self.config.all.clone())
    }

    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.config.by_key.get(&key).cloned())
    }
}
