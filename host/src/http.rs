//! HTTP: listening, who may come in, routes, wire forms, server-sent events, errors as status codes.
//! A request walks `listen` → `gateway` → `route` → `access` → a handler of a surface → `respond`, and all of it inside the connection's own
//! future: a client that hangs up drops the work behind it.
//! Invariant: nothing outside this room names hyper's server side, and nowhere else does a failure become a status.

mod access;
mod bodies;
mod body;
mod cors;
mod echo;
mod encoded;
mod error;
mod fetch;
mod filters;
mod gateway;
mod head;
mod jobs;
mod json_body;
pub mod keys;
mod limits;
mod listen;
mod on_behalf;
mod open_webui;
mod openapi;
mod operation;
mod place;
mod quota;
mod reload;
mod request_body;
mod request_log;
mod respond;
mod route;
mod run_chat;
mod shared;
mod surface;
mod taken;
mod toggles;
mod waiting;

pub use cors::{ORIGINS_MAX, Origins};
pub use fetch::{FetchComponent, FetchError, Fetched};
pub use gateway::{Draining, Server, Switch, openapi_document};
pub use keys::{EndUserFrom, EndUsers, Key, Keys};
pub use limits::Limits;
pub use listen::{ADDRESSES_MAX, Bound, Drain, Error, Inherited, ListenAddress, TlsFiles};
pub use open_webui::{KEY_NAME, OpenWebUi, PREFIXES_MAX, RunFilters, check_prefix};
pub use reload::{Asked, ReloadError, Reloaded, Reloads};
pub use shared::{Config, State};
