//! `stamp.rs` as version 1.

mod stamp;
