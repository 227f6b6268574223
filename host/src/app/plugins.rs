//! What plugins get of other rooms, plugged into the sandbox's ports.
//! Invariant: it holds no logic of its own.

use std::sync::Arc;

use crate::llm;
use crate::outbound::{LookUp, SecretValue};

/// Plugs the places where secrets are looked for into the guard of plugins' requests.
pub(super) fn look_up(secrets: llm::Secrets) -> LookUp {
    Arc::new(move |name| secrets(name).map(|secret| SecretValue::new(secret.expose())).map_err(|why| why.to_string()))
}
