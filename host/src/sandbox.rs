//! Running code that nobody vetted: engine, limits, faults, the plugin directory.
//! Every call gets a fresh instance under fuel, memory, wall-clock and byte limits. Must not know HTTP, providers or retrieval.

mod admit;
mod bindings;
mod compile;
mod config;
mod convert;
mod engine;
mod fault;
mod hostcalls;
mod inspect;
mod limiter;
mod outcome;
mod output;
mod plugin;
mod registry;
mod state;
mod watch;

pub use compile::{Compiler, child as compile_child};
pub use config::{Limits, OnFailure, PluginConfig, ServerLimits};
pub use engine::{MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX};
pub use fault::{Exhausted, Fault, FaultKind, Rejection};
pub use outcome::{PostOutcome, PreOutcome};
pub use plugin::Plugin;
pub use registry::{OpenError, Plugins, Registry, RegistryConfig, Watcher};

/// One line of `GET /api/v1/plugins`.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginStatus {
    /// The plugin's own name; the file's stem where it could not be read.
    pub name: String,
    pub version: Option<String>,
    pub summary: Option<String>,
    /// File name inside the plugin directory.
    pub file: String,
    /// SHA-256 of the live component in hex; none where nothing is live.
    pub hash: Option<String>,
    /// `pre_hook`, `post_hook`.
    pub hooks: Vec<&'static str>,
    /// `live`: the file as it is runs. `stale`: an older version runs, the file was refused. `refused`: nothing runs. `compiling`: on its way.
    pub state: &'static str,
    /// Why the file was refused, and what to do.
    pub reason: Option<String>,
    /// The JSON Schema of its configuration.
    pub config_schema: Option<String>,
}
