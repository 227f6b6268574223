//! What the operator decides about one plugin: its limits, its grants, what a fault of it does to a request.
//! A plugin without an entry in the file has the defaults.

use super::{Grants, Limits};

/// What a plugin's fault does to the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The request ends with an error that names the plugin and the limit.
    #[default]
    Reject,
    /// The request goes on as if the plugin were not there; logs, metrics and a reply header say so.
    Skip,
}

/// One entry under `[plugins]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginConfig {
    pub on_failure: OnFailure,
    pub limits: Limits,
    /// What the plugin may have beyond what every plugin has.
    pub grants: Grants,
    /// What its hooks are handed at the most, in the words of the contract's `describe`; none for all that it declares.
    pub reads: Option<Vec<String>>,
    /// What its hooks may change at the most; none for all that it declares.
    pub writes: Option<Vec<String>>,
    /// What the plugin's `config` import gives: a JSON object.
    pub config: serde_json::Map<String, serde_json::Value>,
}
