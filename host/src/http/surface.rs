//! The families of routes, each a table of rows in a file of its own. To add a route, add a row and its handler.
//! The order is that in which a request looks for its row: the busiest first.

mod admin;
mod list;
mod openai;
mod service;

use super::route::Surface;

pub(super) static SURFACES: &[&Surface] = &[&openai::SURFACE, &admin::SURFACE, &service::SURFACE];
