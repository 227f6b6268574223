//! `/openapi.json`: served to everybody, and a document by the judgement of somebody else's validator.
//! That what it says is true of every answer is the business of `tests/support/document.rs`, which sits in the tests' client.

use std::process::{Command, Stdio};

use crate::client::Client;
use crate::packages::{NO_PYTHON, python_with, run, skipped, source};
use crate::server::Server;

#[tokio::test]
async fn the_document_is_open_to_all_and_names_every_route_of_the_readme() {
    let keys = format!("[keys]\nclient = [{{ name = \"a\", sha256 = \"{}\" }}]\n", "ab".repeat(32));
    let server = Server::with(&keys).start();
    let answer = Client::of(server.address).get("/openapi.json").await.ok();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, cofferdam::http::openapi_document());
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.1");
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/models/{id}", "/api/v1/usage", "/metrics", "/openapi.json"]
    {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

#[test]
fn an_outside_validator_finds_no_fault_in_the_document() {
    let Some(python) = python_with("clients/python/requirements-openapi.txt") else { return skipped("openapi validator", NO_PYTHON) };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), cofferdam::http::openapi_document()).expect("written");
    let mut check = Command::new(python);
    check.args(["-I", "-B"]).arg(source("clients/python/openapi.py")).arg(file.path()).stdin(Stdio::null());
    run(&mut check);
}
