//! The families of routes, each a table of rows in a file of its own. To add a route, add a row and its handler.
//! The order is that in which a request looks for its row: the busiest first.

mod admin;
mod list;
mod openai;
pub(super) mod pipelines;
mod service;

use super::route::Surface;

/// All of them.
pub(super) static SURFACES: &[&Surface] = &[&openai::SURFACE, &admin::SURFACE, &service::SURFACE, &pipelines::SURFACE];
/// Those that are there however Open WebUI's is set.
pub(super) static WITHOUT_OPEN_WEBUI: &[&Surface] = &[&openai::SURFACE, &admin::SURFACE, &service::SURFACE];
/// What is below an address or a prefix of Open WebUI's own.
pub(super) static OPEN_WEBUI: &[&Surface] = &[&pipelines::SURFACE];
