//! What plugins keep between calls: the port `KvStore`, what an operator grants of it, and `Kv`, one plugin's way to it.
//! A plugin meets its own keys only, and under the scope `caller` those of one caller.

mod bind;
mod bucket;
mod store;
mod terms;

pub use bucket::{KEYS_MAX, Kv};
pub use store::{Bucket, ENTRY_BYTES, Entry, KvError, KvLimits, KvStore, NUMBER_MAX, Quota, UnixClock, Write};
pub use terms::KvTerms;

pub(in crate::sandbox) use bind::{INTERFACE, link};
