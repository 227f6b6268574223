//! Cofferdam: an OpenAI-compatible endpoint whose every request walks a fixed pipeline with sandboxed hooks.
//! The rooms as a request meets them; data walks one way, and `tests/it/tidy.rs` holds the edges:
//! 1. `cli` reads `config` and starts `app`, which opens the rooms; all of them measure and log with `telemetry`.
//! 2. `http` lets a request in, unless `ledger` says that its caller has used too much, and makes an exchange of it, in the words of `chat`.
//! 3. `pipeline` finds the definition, which `storage` keeps, and walks the exchange through its `stages`.
//! 4. The stages ask `rag` for knowledge, `sandbox` for what hooks decide, `llm` for the reply; `http` writes it, `ledger` books its use.

pub mod app;
pub mod chat;
pub mod cli;
pub mod config;
pub mod http;
pub mod ledger;
pub mod llm;
pub mod pipeline;
pub mod rag;
pub mod sandbox;
pub mod stages;
pub mod storage;
pub mod telemetry;
