//! What a plugin may call, one file an interface: the trait of the contract, its check, nothing more.

pub(super) mod config;
pub(super) mod log;

impl super::bindings::types::Host for super::state::State {}
