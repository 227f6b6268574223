//! `stamp.rs` as version 2.

mod stamp;
