//! A plugin's settings against the JSON Schema that it declares (draft 2020-12): checked, with the schema's defaults filled in, and with its
//! `writeOnly` values masked for whoever reads them. The schema is the plugin's and so hostile: `bounds` refuses what would be dear to
//! check, nothing is ever fetched, and no value of a setting stands in a message.

mod book;
mod bounds;
mod change;
mod defaults;
mod live;
mod mask;
mod place;
mod problem;
mod schema;
mod store;

pub(super) use change::{beside, delete, put, put_beside, view};
pub(super) use live::{Live, Texts};
pub(super) use problem::told;

pub use book::{Book, KeptSettings};
pub use change::{ChangeError, SettingsView};
pub use mask::MASK;
pub use problem::{Problem, SETTINGS_BYTES_MAX};
pub use schema::{Filled, Schema, check};
pub use store::{Expected, Kept, PluginStore, Put, StoreError};

#[cfg(test)]
mod tests;
