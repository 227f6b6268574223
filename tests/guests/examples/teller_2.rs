//! `teller.rs` as version 2.

mod teller;
