//! What an operator allows one plugin beyond what every plugin has: the table `grants` of `[plugins.NAME]`, by the name of the capability.
//! Only this file can make a `Granted`, so whoever holds one holds the operator's consent.

pub(super) mod terms;

use std::fmt;
use std::ops::Deref;

use serde_json::{Map, Value};

/// The table as it was read. Each value is checked by `check_grant` when the file is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants(Map<String, Value>);

/// The terms of one capability's grant, as a type.
pub(super) trait Grant: Sized {
    /// The capability's name, which is the key in `grants`.
    const CAPABILITY: &'static str;
    /// A value as an operator would write it in TOML.
    const EXAMPLE: &'static str;

    /// Reads the operator's value.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence for the operator.
    fn read(value: &Value) -> Result<Self, String>;
}

/// How the grant of one capability is read, without its type.
#[derive(Clone, Copy)]
pub(super) struct GrantRule {
    /// Says what is wrong with a value.
    pub(super) check: fn(&Value) -> Result<(), String>,
}

/// The operator's consent to `T`.
pub(super) struct Granted<T>(T);

/// A capability that the operator did not grant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denied {
    capability: &'static str,
    example: &'static str,
}

impl Grants {
    pub fn insert(&mut self, capability: String, value: Value) {
        self.0.insert(capability, value);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The table again, e.g. to print it.
    pub fn values(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl Grants {
    /// The operator's consent, for the capability's `link`.
    pub(super) fn of<T: Grant>(&self) -> Result<Granted<T>, Denied> {
        // A value that cannot be read was refused with the operator's file.
        let read = self.0.get(T::CAPABILITY).and_then(|value| T::read(value).ok());
        read.map(Granted).ok_or(Denied { capability: T::CAPABILITY, example: T::EXAMPLE })
    }
}

impl GrantRule {
    pub(super) const fn of<T: Grant>() -> Self {
        Self { check: |value| T::read(value).map(drop) }
    }
}

impl<T> Deref for Granted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability, example } = self;
        write!(f, "`{capability}` must be granted; if the plugin may have it, add `grants.{capability} = {example}`")
    }
}
