//! Documents by URL: fetched at the start and again, asked for by what was known of them, and left as they are when the server fails.

use serde_json::Value;

use crate::client::Client;
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Signal, Upstream};

const DOCUMENTS: &str = "/api/v1/gateway/apis/default/knowledge/documents";

/// A server with one source, which looks every second.
fn server(urls: &[String], more: &str) -> Server {
    Server::with(&format!("[[rag.sources]]\napi = \"default\"\nurls = {urls:?}\nrefresh = \"1s\"\nplain = true\n{more}\n")).start()
}

/// The documents once there are so many looks with that outcome.
async fn documents_after(client: &Client, outcome: &str, looks: u64) -> Vec<Value> {
    let line = format!("cofferdam_rag_sources_total{{outcome=\"{outcome}\"}} ");
    let look = async {
        loop {
            let metrics = client.get("/metrics").await.ok().text();
            let count = metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse::<u64>().ok());
            if count.is_some_and(|count| count >= looks) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it looks in time");
    client.get(DOCUMENTS).await.ok().json()["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_url_is_fetched_at_the_start_and_again_and_what_fails_changes_nothing() {
    let upstream = Upstream::start().await;
    let url = format!("{}/tides.md", upstream.url());
    let changed = Signal::default();
    let file = |etag: &str, text: &str| Script::reply(200, &[("content-type", "text/markdown"), ("etag", etag)], text);
    upstream.next(file("\"one\"", "# Tides\n\nHigh tide is at noon."));
    upstream.next(Script::reply(304, &[], ""));
    upstream.next(Script::reply(500, &[], "no"));
    upstream.next(file("\"two\"", "# Tides\n\nHigh tide is at two.").after(&changed));
    let server = server(std::slice::from_ref(&url), "private = true");
    let client = Client::of(server.address);
    let first = documents_after(&client, "added", 1).await;
    assert_eq!((first.len(), &first[0]["name"], &first[0]["metadata"]["url"]), (1, &Value::from(url.clone()), &Value::from(url.clone())));
    assert_eq!(documents_after(&client, "unchanged", 1).await, first);
    assert_eq!(documents_after(&client, "failed", 1).await, first, "it stays as it was");
    server.wait_for_log("the server answered 500");
    changed.fire();
    let second = documents_after(&client, "added", 2).await;
    assert_ne!(second[0]["sha256"], first[0]["sha256"]);
    let asked: Vec<_> = upstream.requests().iter().map(|request| request.header("if-none-match").map(str::to_owned)).collect();
    let one = Some("\"one\"".to_owned());
    assert_eq!(asked[..4], [None, one.clone(), one.clone(), one], "what failed is asked for as before");
    assert!(upstream.requests()[0].header("user-agent").is_some_and(|agent| agent.starts_with("cofferdam/")));
}

#[tokio::test]
async fn a_source_reaches_no_private_address_and_no_other_server_unless_it_says_so() {
    let [upstream, other] = [Upstream::start().await, Upstream::start().await];
    let private = server(&[format!("{}/a.md", upstream.url())], "");
    documents_after(&Client::of(private.address), "failed", 1).await;
    assert!(private.wait_for_log("is not fetched").contains("`rag.sources.private = true` would allow it"), "{}", private.log());
    assert_eq!(upstream.connections(), 0);
    drop(private);
    upstream.always(Script::reply(302, &[("location", &format!("{}/b.md", other.url()))], ""));
    let server = server(&[format!("{}/a.md", upstream.url())], "private = true");
    documents_after(&Client::of(server.address), "failed", 1).await;
    server.wait_for_log("redirects to what `rag.sources` does not allow");
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn what_a_source_fetches_is_limited_in_size_and_in_time() {
    let upstream = Upstream::start().await;
    upstream.when(|request| request.path.ends_with("/edge.txt"), Script::reply(200, &[], "x".repeat(1024)));
    upstream.when(|request| request.path.ends_with("/over.txt"), Script::reply(200, &[], "x".repeat(1025)));
    upstream.when(|request| request.path.ends_with("/slow.txt"), Script::default().hang());
    let urls = ["edge", "over", "slow"].map(|name| format!("{}/{name}.txt", upstream.url()));
    let server = server(&urls, "private = true\n[limits.rag]\nsource_bytes = \"1KiB\"\nsource_time = \"500ms\"");
    let documents = documents_after(&Client::of(server.address), "failed", 2).await;
    assert_eq!(documents.iter().map(|document| document["name"].clone()).collect::<Vec<_>>(), [urls[0].clone()]);
    for key in ["limits.rag.source_bytes", "limits.rag.source_time"] {
        server.wait_for_log(key);
    }
}
