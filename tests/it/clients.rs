//! Clients that people use, unmodified, against the real server with what the demo has: its configuration, its plugins, its documents.
//! What is asked and what must hold is said in the client's language, under `tests/clients`. Must not look into an answer itself.

use std::process::Command;

use crate::client::Client;
use crate::packages::{NO_PYTHON, python_with, run, skipped, source};
use crate::server::Server;

const CONFIG: &str = include_str!("../../host/src/cli/demo/cofferdam.toml");
const KNOWLEDGE: [(&str, &str); 3] = [
    ("house-rules.md", include_str!("../../host/src/cli/demo/house-rules.md")),
    ("opening-hours.txt", include_str!("../../host/src/cli/demo/opening-hours.txt")),
    ("returns.md", include_str!("../../host/src/cli/demo/returns.md")),
];

#[tokio::test]
async fn the_official_python_client_finds_all_it_expects() {
    python_client("clients/python/requirements.txt").await;
}

#[tokio::test]
async fn the_python_client_of_the_major_version_before_finds_all_it_expects() {
    python_client("clients/python/requirements-2.txt").await;
}

/// Runs `check.py` with those packages against a server of its own.
async fn python_client(requirements: &str) {
    let Some(python) = python_with(requirements) else { return skipped(&format!("python client, {requirements}"), NO_PYTHON) };
    let server = demo().await;
    let mut check = Command::new(python);
    // Neither a variable nor a package nor a proxy of the user's changes what is tested; of the two names the small one is read first.
    check.args(["-I", "-B"]).arg(source("clients/python/check.py")).arg(server.address.to_string());
    check.envs([("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")]);
    run(&mut check);
}

/// A server with all that `cofferdam demo` sets up, set up over HTTP.
async fn demo() -> Server {
    let server = Server::with(CONFIG).plugin("redact-pii").plugin("detect-language").start();
    let client = Client::of(server.address);
    for (name, text) in KNOWLEDGE {
        client.upload("demo", name, text.as_bytes()).await.ok();
    }
    server
}
