//! Cofferdam: an OpenAI-compatible endpoint whose every request walks a fixed pipeline with sandboxed hooks.
//! The rooms in the order a request meets them; data walks one way, and `tests/it/tidy.rs` holds the edges.

pub mod app;
pub mod chat;
pub mod cli;
pub mod config;
pub mod http;
pub mod llm;
pub mod pipeline;
pub mod rag;
pub mod sandbox;
pub mod stages;
pub mod store;
pub mod telemetry;
