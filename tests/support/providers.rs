//! The providers that tests go through, one row each: how it is configured, and what must arrive where it listens.
//! A new provider is a new row; every test of `simulated` and of `clients` then holds for it too.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::server::Server;
use crate::simulator::{KEY, Simulator};

/// A key that no provider knows.
pub const WRONG_KEY: &str = "sk-mistaken-0123456789";
/// The model that answers if a primary does not, of an OpenAI-compatible provider of the same name.
pub const BACKUP: &str = "backup";
/// The model of every row's vectors, under the id `NAME-embeddings`.
const EMBEDDINGS: &str = "text-embedding-3-small";

pub struct Row {
    /// The provider's name, which says its kind, and the id of the pipeline that asks it alone.
    pub name: &'static str,
    /// What stands under `[providers.NAME]`; `ADDRESS` is the simulator's.
    pub settings: &'static str,
    pub model: &'static str,
    /// Where a whole reply and a stream are asked for, with the query.
    pub path: &'static str,
    pub stream_path: &'static str,
    /// What its requests carry, at least; `KEY` is the key.
    pub headers: &'static [(&'static str, &'static str)],
    /// What the official clients try beside chat: names of `FEATURES` in `tests/clients/*/providers.*`.
    pub features: &'static [&'static str],
}

pub const ROWS: &[Row] = &[
    Row {
        name: "openai",
        settings: r#"base_url = "http://ADDRESS/v1""#,
        model: "gpt-4o",
        path: "/v1/chat/completions",
        stream_path: "/v1/chat/completions",
        headers: &[("authorization", "Bearer KEY")],
        features: &["responses", "embeddings=openai-embeddings"],
    },
    Row {
        name: "anthropic",
        settings: r#"base_url = "http://ADDRESS/v1""#,
        model: "claude-sonnet-4-5",
        path: "/v1/messages",
        stream_path: "/v1/messages",
        headers: &[("x-api-key", "KEY"), ("anthropic-version", "2023-06-01")],
        features: &["responses"],
    },
    Row {
        name: "gemini",
        settings: r#"base_url = "http://ADDRESS/v1beta""#,
        model: "gemini-2.5-flash",
        path: "/v1beta/models/gemini-2.5-flash:generateContent",
        stream_path: "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        headers: &[("x-goog-api-key", "KEY")],
        features: &["responses", "embeddings=gemini-embeddings"],
    },
    Row {
        name: "azure-openai",
        settings: "base_url = \"http://ADDRESS\"\napi_version = \"2024-10-21\"",
        model: "gpt-4o",
        path: "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        stream_path: "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        headers: &[("api-key", "KEY")],
        features: &["responses", "embeddings=azure-openai-embeddings"],
    },
    Row {
        name: "workers-ai",
        settings: r#"base_url = "http://ADDRESS/client/v4/accounts/A/ai/v1""#,
        model: "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
        path: "/client/v4/accounts/A/ai/v1/chat/completions",
        stream_path: "/client/v4/accounts/A/ai/v1/chat/completions",
        headers: &[("authorization", "Bearer KEY")],
        features: &["responses", "embeddings=workers-ai-embeddings"],
    },
];

impl Row {
    /// The pipeline that asks `BACKUP` if this provider fails.
    pub fn with_backup(&self) -> String {
        format!("{}-with-backup", self.name)
    }

    /// The pipeline that asks this provider with the wrong key.
    pub fn with_wrong_key(&self) -> String {
        format!("{}-with-wrong-key", self.name)
    }

    /// The headers that a request with this key carries.
    pub fn headers_with(&self, key: &str) -> impl Iterator<Item = (&'static str, String)> {
        self.headers.iter().map(move |(name, value)| (*name, value.replace("KEY", key)))
    }
}

/// A simulator and a server that has every row's provider and pipelines, all asking it; `None` if this machine has no Node.
pub fn start() -> Option<(Simulator, Server)> {
    let simulator = Simulator::start()?;
    let server = Server::with(&config(simulator.address)).env("KEY", KEY).env("WRONG_KEY", WRONG_KEY).start();
    Some((simulator, server))
}

fn config(simulator: SocketAddr) -> String {
    // One test asks the same provider after it failed: without circuits each request is a first one.
    let mut config = "[limits.providers]\ncircuit_failures = 0\n".to_owned();
    writeln!(config, "[providers.{BACKUP}]\nkind = \"openai\"\nbase_url = \"http://{simulator}/v1\"").expect("a string");
    for row in ROWS {
        let settings = row.settings.replace("ADDRESS", &simulator.to_string());
        let target = |key: &str| format!("{{ provider = \"{}\", model = \"{}\", secret_key_name = \"{key}\" }}", row.name, row.model);
        let backup = format!("fallbacks = [ {{ provider = \"{BACKUP}\", model = \"{BACKUP}\", secret_key_name = \"KEY\" }} ]");
        writeln!(config, "[providers.{}]\n{settings}", row.name).expect("a string");
        let vectors = format!("provider = \"{}\"\nmodel = \"{EMBEDDINGS}\"\nsecret_key_name = \"KEY\"", row.name);
        writeln!(config, "[[embeddings]]\nid = \"{}-embeddings\"\n{vectors}", row.name).expect("a string");
        for (id, chain) in [
            (row.name.to_owned(), format!("primary = {}", target("KEY"))),
            (row.with_backup(), format!("primary = {}, {backup}", target("KEY"))),
            (row.with_wrong_key(), format!("primary = {}", target("WRONG_KEY"))),
        ] {
            writeln!(config, "[[pipelines]]\nid = \"{id}\"\npipeline = [ {{ stage = \"llm\", config = {{ {chain} }} }} ]")
                .expect("a string");
        }
    }
    config
}
