//! Where an exchange may be answered, and how: one model at one provider, a chain of them, whole or as a stream.
//! A target names a secret, never its value.

use std::time::Duration;

/// One model at one provider, as a pipeline names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub provider: String,
    pub model: String,
    /// The name of the secret that holds the provider's key; the value comes from `Secrets`.
    pub secret_key_name: Option<String>,
    /// On a fallback: the statuses of the try before it that make it run; none for the default list.
    pub on_status: Option<Vec<u16>>,
}

/// Where one exchange may be answered.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// The equals first, then the fallbacks.
    pub targets: &'a [Target],
    /// The weights of the equals; empty or one if the primary has no equals.
    pub weights: &'a [u32],
    /// How long to wait for the first event of a stream, or for a whole reply, before the next target is asked beside the first.
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

/// How the reply is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Stream,
    Whole,
}
