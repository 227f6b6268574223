//! Clients that people use, unmodified, against the real server: with what the demo has (its configuration, its plugins, its documents), and
//! in front of every provider that the simulator plays. What is asked and what must hold is written in the client's language,
//! under `tests/clients`; nothing here looks into an answer.

use std::fs::File;
use std::process::Command;

use tempfile::NamedTempFile;

use crate::client::Client;
use crate::packages::{NO_NODE, NO_PYTHON, node_with, python_with, run, skipped, source};
use crate::providers::{self, ROWS};
use crate::server::Server;

const CONFIG: &str = include_str!("../../host/src/cli/demo/cofferdam.toml");
const KNOWLEDGE: [(&str, &str); 3] = [
    ("house-rules.md", include_str!("../../host/src/cli/demo/house-rules.md")),
    ("opening-hours.txt", include_str!("../../host/src/cli/demo/opening-hours.txt")),
    ("returns.md", include_str!("../../host/src/cli/demo/returns.md")),
];

/// The official Python client, and the last release of the major version before.
const PYTHON: &str = "clients/python/requirements.txt";
const PYTHON_2: &str = "clients/python/requirements-2.txt";

#[tokio::test]
async fn the_official_python_client_finds_all_it_expects() {
    python_and_the_demo(PYTHON).await;
}

#[tokio::test]
async fn the_python_client_of_the_major_version_before_finds_all_it_expects() {
    python_and_the_demo(PYTHON_2).await;
}

#[tokio::test]
async fn the_official_node_client_finds_all_it_expects() {
    let what = "node client";
    let Some(mut check) = node("check.mjs") else { return skipped(what, NO_NODE) };
    let server = demo().await;
    let read = NamedTempFile::new().expect("a file");
    run(check.arg(server.address.to_string()).arg(read.path()));
    is_as_published(what, &read);
}

#[tokio::test]
async fn the_official_python_client_speaks_with_every_provider() {
    python_and_the_providers(PYTHON);
}

#[tokio::test]
async fn the_python_client_of_the_major_version_before_speaks_with_every_provider() {
    python_and_the_providers(PYTHON_2);
}

#[tokio::test]
async fn the_official_node_client_speaks_with_every_provider() {
    let what = "node client, providers";
    let (Some(mut check), Some((_simulator, server))) = (node("providers.mjs"), providers::start()) else { return skipped(what, NO_NODE) };
    let read = NamedTempFile::new().expect("a file");
    check.arg(server.address.to_string()).arg(read.path()).arg(source("simulator/fixtures.json")).args(subjects());
    run(&mut check);
    is_as_published(what, &read);
}

async fn python_and_the_demo(requirements: &str) {
    let Some(mut check) = python(requirements, "check.py") else { return skipped(&format!("python client, {requirements}"), NO_PYTHON) };
    let server = demo().await;
    run(check.arg(server.address.to_string()));
}

fn python_and_the_providers(requirements: &str) {
    let what = format!("python client, {requirements}, providers");
    let Some(mut check) = python(requirements, "providers.py") else { return skipped(&what, NO_PYTHON) };
    let Some((_simulator, server)) = providers::start() else { return skipped(&what, NO_NODE) };
    run(check.arg(server.address.to_string()).arg(source("simulator/fixtures.json")).args(subjects()));
}

/// No proxy of the user's comes between; of the two names the small one is read first.
const NO_PROXY: [(&str, &str); 2] = [("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")];

/// That script, run by the interpreter of an environment with those packages. Neither a variable nor a package of the user's changes what
/// is tested.
fn python(requirements: &str, script: &str) -> Option<Command> {
    let mut check = Command::new(python_with(requirements)?);
    check.args(["-I", "-B"]).arg(source("clients/python").join(script)).envs(NO_PROXY);
    Some(check)
}

/// That script, with the folder of its packages as its last argument.
fn node(script: &str) -> Option<Command> {
    let mut check = Command::new("node");
    check.arg(source("clients/node").join(script)).arg(node_with("clients/node")?).env_remove("NODE_OPTIONS").envs(NO_PROXY);
    Some(check)
}

/// Holds what a client of another language has read against what is published.
fn is_as_published(what: &str, read: &NamedTempFile) {
    let Some(mut judge) = python(PYTHON, "published.py") else { return skipped(&format!("{what}, against what is published"), NO_PYTHON) };
    run(judge.stdin(File::open(read.path()).expect("the client wrote it")));
}

/// Each provider's pipeline with what it has beside chat.
fn subjects() -> impl Iterator<Item = String> {
    ROWS.iter().map(|row| [&[row.name], row.features].concat().join("+"))
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
