//! The one integration binary: the real server, real clients, real components; fakes only for providers.
//! Each module tests one promise to users; the harness is in `tests/support`.

#![allow(unreachable_pub, reason = "the harness is modules of this one binary")]

#[path = "../support/altered.rs"]
mod altered;
#[path = "../support/client.rs"]
mod client;
#[path = "../support/components.rs"]
mod components;
#[path = "../support/document.rs"]
mod document;
#[path = "../support/exchange.rs"]
mod exchange;
#[path = "../support/files.rs"]
mod files;
#[path = "../support/packages.rs"]
mod packages;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/providers.rs"]
mod providers;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/simulator.rs"]
mod simulator;
#[path = "../support/texts.rs"]
mod texts;
#[path = "../support/upstream.rs"]
mod upstream;

/// One suite for each port of storage, against every backend.
#[path = "../contract"]
#[expect(clippy::unwrap_used, reason = "the functions of a suite are the bodies of tests")]
mod contract {
    #[macro_use]
    mod backends;
    mod documents;
    mod kv;
    mod pipelines;
    mod plugins;
    mod usage;
}

mod abuse;
mod backup;
mod bodies;
mod browser;
mod chaos;
mod citations;
mod clients;
mod conformance;
mod cors;
mod crash;
mod day;
mod deploy;
mod dialects;
mod done;
mod embeddings;
mod extraction;
mod fallback;
mod field;
mod grants;
mod hooks;
mod hostile;
mod jobs;
mod judged;
mod least;
mod ledger;
mod listening;
mod listings;
mod llm;
mod loading;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod memory;
mod missing;
mod model_targets;
mod models;
mod observability;
mod open_webui;
mod openapi;
mod outgoing;
mod outputs;
mod plugin_knowledge;
mod plugin_kv;
mod plugin_llm;
mod plugin_metrics;
mod plugin_routes;
mod plugin_settings;
mod plugin_vectors;
mod prompt_cache;
mod providers_table;
mod quickjs;
mod readers;
mod reindex;
mod reload;
mod reranking;
mod responses;
mod retrieval;
mod sandbox_limits;
mod secrets;
mod simulated;
mod sources;
mod stream_hooks;
mod surface;
mod tidy;
mod traces;
mod translate;
mod web_hooks;
