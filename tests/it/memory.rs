//! What many clients at once took is given back to the system once they are gone: memory that stays taken is memory that the next spike adds to.

use serde_json::json;

use crate::client::Client;
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Upstream, delta};

/// Streams of one crowd, each with so many bytes of conversation; as many as one client may have of the default `requests`, and fewer than
/// the files that a process may open by default.
const STREAMS: usize = 350;
const BYTES: usize = 16 << 10;
const CROWDS: usize = 3;

/// Bytes of memory that no file stands behind, so that code which was run for the first time is not counted.
pub(crate) fn resident(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crowds_of_streams_took_is_given_back_when_they_are_gone() {
    let upstream = Upstream::start().await;
    upstream.always(Script::stream().event(&delta("one")).hang());
    let server = Server::with(&format!(
        r#"
        [providers.a]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "p"
        pipeline = [{{ stage = "llm", config = {{ primary = {{ provider = "a", model = "m" }} }} }}]
        "#,
        upstream.url()
    ))
    .start();
    let client = Client::of(server.address);
    let question = "word ".repeat(BYTES / 5);
    // What is made once, by the first requests, is no part of what a crowd takes.
    client.chat_stream("p", &question, json!({})).await.next().await.expect("an event");
    upstream.hung_up().await;
    let before = resident(&server);
    let mut most = before;
    for _ in 0..CROWDS {
        let mut crowd = Vec::with_capacity(STREAMS);
        for _ in 0..STREAMS {
            let mut stream = client.chat_stream("p", &question, json!({})).await;
            assert!(stream.next().await.expect("no cut").is_some());
            crowd.push(stream);
        }
        most = most.max(resident(&server));
        drop(crowd);
        for _ in 0..STREAMS {
            upstream.hung_up().await;
        }
    }
    assert!(most > before + STREAMS * BYTES, "the crowds took something: {before} {most}");
    let given_back = async {
        // A third of it may stay: it is in use by what outlives a crowd, or lies beside that.
        while resident(&server) > before + (most - before) / 3 {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, given_back).await;
    assert!(waited.is_ok(), "{before} bytes before the crowds, {most} with them, {} a minute after", resident(&server));
}
