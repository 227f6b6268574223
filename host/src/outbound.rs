//! What plugins ask of other servers. `Guard::send` is the only way there: scheme, host and port must be granted, the name is resolved once,
//! each address is checked, the connection goes to the address that was checked, and every redirect begins anew.
//! Secrets are put in by reference, towards their own hosts only, and taken out of what comes back. A connection is kept for the guard's own plugin.

mod address;
mod calls;
mod connect;
mod error;
mod exchange;
mod guard;
mod headers;
mod hidden;
mod kept;
mod redirect;
mod replies;
mod resolve;
mod rules;
mod secrets;
mod shares;
mod spelling;
mod tls;

pub use calls::Calls;
pub use connect::{Connect, Network, Peer, Stream};
pub use error::Error;
pub use guard::{Guard, Request, Response};
pub use kept::UnderSettings;
pub use replies::Held;
pub use resolve::{Names, Resolve};
pub use rules::{HostPattern, Rules};
pub use secrets::{LookUp, SecretValue, is_name as is_secret_name};
pub use shares::{Common, Own};

#[cfg(test)]
mod tests;
