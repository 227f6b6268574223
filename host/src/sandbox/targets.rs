//! Who may answer an exchange, as a pre-hook may choose: the targets of its pipeline, primary, equals and fallbacks, by the name of the
//! provider. No other provider is to be chosen, because a pipeline is what the operator allows its clients.

use std::sync::Arc;

use super::FaultKind;
use crate::chat::Exchange;

/// Providers with their models, in the pipeline's order; the primary comes first.
#[derive(Clone, Debug)]
pub struct Targets(Arc<[(Box<str>, Box<str>)]>);

impl Targets {
    /// Of providers with their models.
    pub fn of<'t>(targets: impl Iterator<Item = (&'t str, &'t str)>) -> Self {
        Self(targets.map(|(provider, model)| (provider.into(), model.into())).collect())
    }

    /// The model that would be asked as things are.
    pub(super) fn model<'t>(&'t self, exchange: &'t Exchange) -> &'t str {
        let chosen = exchange.target.as_deref().and_then(|target| self.0.iter().find(|(provider, _)| **provider == *target));
        let own = || chosen.or(self.0.first()).map_or("", |(_, model)| model);
        exchange.model.as_deref().unwrap_or_else(own)
    }

    /// Checks that there is such a provider.
    pub(super) fn check(&self, provider: &str) -> Result<(), FaultKind> {
        if self.0.iter().any(|(name, _)| **name == *provider) {
            return Ok(());
        }
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &*self.0 {
            if !names.contains(&&**name) {
                names.push(name);
            }
        }
        let names = names.join("`, `");
        Err(FaultKind::Invalid(format!("target: the pipeline has the providers `{names}` and not `{provider}`")))
    }
}

/// A single model, of a provider without a name.
impl From<&str> for Targets {
    fn from(model: &str) -> Self {
        Self::of([("", model)].into_iter())
    }
}
