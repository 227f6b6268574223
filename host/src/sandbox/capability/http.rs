//! The capability `http`: requests of plugins to other servers. The guard that they pass is the room `outbound`; here is what an operator grants
//! of it, and how a guest asks. Nothing is allowed that a grant does not name, and a guest never holds a secret.

pub(in crate::sandbox) mod budgets;
pub(in crate::sandbox) mod fetch;
mod outside;
mod send;
mod terms;

pub use outside::Outside;
pub(in crate::sandbox) use send::{INTERFACE, link};

/// Its key in `grants`.
pub(in crate::sandbox) const NAME: &str = "http";
