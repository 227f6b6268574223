//! The plugin directory and what of it is live: scan, compare, admit, publish by swapping one `Arc`.
//! A bad file never replaces a good one, and no file waits for another one's compiling longer than for its first try.

mod change;
mod desk;
mod known;
mod last_good;
mod live;
mod open;
mod refresh;
mod scan;
mod watch;
mod work;

pub use change::DeployError;
pub use live::{PluginStatus, Plugins, Registry};
pub use open::{OpenError, RegistryConfig};
pub use scan::Settings;
pub use watch::{LoaderEnded, Watcher};
