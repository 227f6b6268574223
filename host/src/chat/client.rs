//! Who a request is from, as far as fairness goes: whoever has the key, or without a key whoever has the address.
//! What one client takes of the server is set against what the others have.

use std::net::IpAddr;
use std::sync::Arc;

/// One of those between whom the server is shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The name of the key that was used.
    Key(Arc<str>),
    /// Where a request without a key came from; of IPv6 its network, because one host has all of it.
    Address(IpAddr),
    /// The server's own work.
    Host,
}
