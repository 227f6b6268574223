//! The integration tests: one binary, a module for each promise.

mod llm;
#[path = "../support/upstream.rs"]
mod upstream;
