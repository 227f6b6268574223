//! Where an exchange may be answered: one model at one provider, and a chain of them. Must not know providers, nor in which order they are tried.

use std::time::Duration;

/// One model at one provider, as a pipeline names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub provider: String,
    pub model: String,
    /// The name of the secret that holds the provider's key; the value comes from `Secrets`.
    pub secret_key_name: Option<String>,
    /// On a fallback: the statuses of the try before it that make it run. None means the default list.
    pub on_status: Option<Vec<u16>>,
}

/// Where one exchange may be answered.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// The equals first, then the fallbacks.
    pub targets: &'a [Target],
    /// Of the equals, as many as there are; none or one where the primary has no equals.
    pub weights: &'a [u32],
    /// How long the first event of a stream, or a whole reply, may be late before the next target is asked beside the first.
    pub hedge_after: Option<Duration>,
}

/// A primary and its fallbacks.
impl<'a> From<&'a [Target]> for Chain<'a> {
    fn from(targets: &'a [Target]) -> Self {
        Self { targets, weights: &[], hedge_after: None }
    }
}

impl<'a, const N: usize> From<&'a [Target; N]> for Chain<'a> {
    fn from(targets: &'a [Target; N]) -> Self {
        targets.as_slice().into()
    }
}
