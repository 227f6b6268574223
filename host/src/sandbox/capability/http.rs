//! Requests of plugins to other servers. The guard that they pass is the room `outbound`; here is what an operator grants of it.
//! Nothing is allowed that a grant does not name.

mod terms;

pub use terms::{EXAMPLE, read};
