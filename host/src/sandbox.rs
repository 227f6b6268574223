//! Running code that nobody vetted. Every call gets a fresh instance under limits of fuel, memory, time and bytes, and may call of the host
//! only what `capability` lists and the operator allows.
//!
//! A call is read in `plugin` (the hooks), `handled` (those in the style of the web), `call` (one call), `guests` (the threads it may run on), `clocks` (its times), `store` (what the
//! guest's store holds) and `outcome` (what it decided);
//! a file's way to a plugin in `registry`, `admit` and `compile`.

mod admit;
mod answer;
mod behalf;
mod bindings;
mod call;
mod capability;
mod clocks;
mod compile;
mod config;
mod contract;
mod convert;
mod deltas;
mod done;
mod embed;
mod engine;
mod env;
mod errands;
mod exports;
mod fault;
mod grant;
mod guests;
mod handled;
mod handler;
mod hook;
mod imports;
mod inspect;
mod limiter;
mod limits;
mod machine;
mod meaning;
mod merge;
mod models;
mod nested;
mod outcome;
mod outline;
mod pace;
mod plugin;
mod portion;
mod queue;
mod refusal;
mod registry;
mod scope;
pub mod settings;
mod shapes;
mod shared;
mod store;
mod stream;
mod targets;
mod ticker;
mod unwritten;
mod wasi;
mod wasi_http;
mod written;

pub use answer::{Answer, Said, Unanswered};
pub use capability::http::Outside;
pub use capability::{Named, Ports, check_grant, knowledge, kv, llm, named};
pub use compile::{Compiler, child as compile_child};
pub use config::{OnFailure, PluginConfig};
pub use done::{Done, DoneQueue, DoneRoom, Listener, Timing, message_bytes};
pub use engine::{MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX};
pub use fault::{Exhausted, Fault, FaultKind, Rejection};
pub use grant::Grants;
pub use hook::Hook;
pub use limits::{Limits, ServerLimits};
pub use models::ModelInfo;
pub use outcome::{PostOutcome, PreOutcome};
pub use plugin::Plugin;
pub use portion::Portion;
pub use registry::{DeployError, LoaderEnded, OpenError, PluginStatus, Plugins, Registry, RegistryConfig, Settings, Watcher};
pub use scope::{Side, check_words};
pub use stream::{Ending, Mode as StreamMode, Place as StreamPlace, Pushed, Step, StreamHook};
pub use targets::Targets;

#[cfg(test)]
mod tests;
