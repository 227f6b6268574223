//! `teller.rs` as version 1.

mod teller;
