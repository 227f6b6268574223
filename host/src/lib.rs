//! Cofferdam: an OpenAI-compatible endpoint. Every request passes a fixed pipeline, whose hooks run in a sandbox.
//! The rooms in the order in which a request meets them; data moves one way, and `tests/it/tidy.rs` checks the edges between rooms:
//! 1. `cli` reads `config` and starts `app`, which opens the rooms; all of them log and measure through `telemetry`.
//! 2. `http` authorizes a request, asks `ledger` whether its key is within its limits, and reads the body into an exchange of `chat`.
//! 3. `pipeline` finds the definition that the request names, which `storage` keeps, and passes the exchange through its `stages`.
//! 4. The stages ask `rag` for knowledge, `sandbox` for the result of a hook and `llm` for the reply; `http` writes it, `ledger` counts it.

// What panics when nobody reads it, or waits for ever, must not end or stop a server: commands write through `cli::output`, the rest logs.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod app;
pub mod chat;
pub mod cli;
pub mod config;
pub mod fair;
pub mod files;
pub mod http;
pub mod ledger;
pub mod llm;
pub mod outbound;
pub mod pipeline;
pub mod rag;
pub mod sandbox;
pub mod stages;
pub mod storage;
pub mod subprocess;
pub mod telemetry;
