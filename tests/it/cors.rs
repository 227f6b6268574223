//! Browsers across origins, as the headers say it: who is answered, what the answers carry, and that it costs nobody anything.
//! `browser.rs` shows that a real browser agrees.

use bytes::Bytes;
use hyper::Method;
use serde_json::json;
use sha2::Digest;

use crate::client::{Answer, Client, text_of};
use crate::server::Server;
use crate::upstream::{Script, Signal, Upstream, delta};

const PAGE: &str = "https://chat.example";

const MODEL: &str = r#"
    [[pipelines]]
    id = "p"
    pipeline = [ { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } } ]
"#;

/// A server that lists the page, with a key `client-key` and an admin key `admin-key`.
fn listed(more: &str) -> Server {
    let hash = |key: &str| sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let keys = format!(
        "[keys]\nclient = [{{ name = \"c\", sha256 = \"{}\", limits = {{ requests_per_minute = 2 }} }}]\nadmin = [{{ name = \"a\", sha256 = \"{}\" }}]\n",
        hash("client-key"),
        hash("admin-key")
    );
    Server::with(&format!("[http]\ncors_origins = [\"{PAGE}\", \"http://localhost:3000\"]\n{keys}\n{more}\n{MODEL}")).start()
}

async fn preflight(client: &Client, path: &str) -> Answer {
    let client = client.clone().header("access-control-request-method", "POST");
    let client = client.header("access-control-request-headers", "authorization,content-type,x-cofferdam-stages,x-stainless-os");
    client.send(Method::OPTIONS, path, None, Bytes::new()).await
}

fn page(server: &Server) -> Client {
    Client::of(server.address).header("origin", PAGE)
}

#[track_caller]
fn is_readable(answer: &Answer) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{answer:?}");
    assert_eq!(answer.header("vary"), Some("origin"), "{answer:?}");
    let exposed = answer.header("access-control-expose-headers").expect("a list");
    for name in answer.headers.keys().map(|name| name.as_str()) {
        let ours = name.starts_with("x-") || name == "retry-after";
        assert!(!ours || name == "x-accel-buffering" || exposed.split(", ").any(|exposed| exposed == name), "{name} is kept from the page");
    }
}

#[track_caller]
fn is_kept_from_pages(answer: &Answer) {
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{answer:?}");
}

#[tokio::test]
async fn a_listed_page_is_answered_whatever_the_answer_is() {
    let server = listed("");
    let (nobody, caller) = (page(&server), page(&server).header("authorization", "Bearer client-key"));
    let wrong_key = nobody.clone().header("authorization", "Bearer wrong").get("/v1/models").await;
    for (answer, status) in [
        (caller.get("/v1/models").await, 200),
        (nobody.get("/v1/models").await, 401),
        (wrong_key, 401),
        (caller.get("/v1/models/none").await, 404),
        (caller.get("/v1/files").await, 404),
        (caller.get("/v1/chat/completions").await, 405),
        (caller.chat("p", "hi", json!({})).await, 200),
        (caller.chat("p", "hi", json!({"pipeline": {"rag": 1}})).await, 400),
        (caller.chat("p", "hi", json!({})).await, 429),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        is_readable(&answer);
    }
}

#[tokio::test]
async fn a_stream_is_readable_too() {
    let server = listed("");
    let stream = page(&server).header("authorization", "Bearer client-key").chat_stream("p", "hi", json!({})).await;
    assert_eq!(stream.headers["access-control-allow-origin"], PAGE);
    stream.all().await.expect("a whole stream");
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_is_counted_against_nobody() {
    let server = listed("");
    let caller = page(&server).header("authorization", "Bearer client-key");
    for _ in 0..5 {
        let answer = preflight(&page(&server), "/v1/chat/completions").await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        let allowed = answer.header("access-control-allow-headers").expect("a list");
        assert!(allowed.contains("authorization") && allowed.contains("x-stainless-os"), "{allowed}");
        assert!(answer.header("x-ratelimit-limit-requests").is_none());
        preflight(&caller, "/v1/embeddings").await;
    }
    let answer = caller.chat("p", "hi", json!({})).await.ok();
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("1"), "the first of two");
    let methods = preflight(&page(&server), "/v1/models/x").await;
    assert_eq!(methods.header("access-control-allow-methods"), Some("GET, HEAD"));
    assert!(server.log().contains("OPTIONS preflight answered 204"));
}

#[tokio::test]
async fn a_preflight_is_answered_while_every_permit_is_taken() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    upstream.next(Script::stream().wait(&signal).event(&delta("one")).event("[DONE]").end());
    let provider = format!(
        "[limits.http]\nrequests = 1\n[providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\n[[pipelines]]\nid = \"slow\"\n\
         pipeline = [ {{ stage = \"llm\", config = {{ primary = {{ provider = \"up\", model = \"m\" }} }} }} ]\n",
        upstream.url()
    );
    let server = listed(&provider);
    let caller = page(&server).header("authorization", "Bearer client-key");
    let busy = tokio::spawn({
        let caller = caller.clone();
        async move { caller.chat_stream("slow", "hi", json!({})).await.all().await }
    });
    upstream.received().await;
    assert_eq!(preflight(&page(&server), "/v1/chat/completions").await.status, 204);
    let full = caller.get("/v1/models").await;
    assert_eq!(full.refused(503), "overloaded");
    is_readable(&full);
    signal.fire();
    assert_eq!(text_of(&busy.await.expect("no panic").expect("a whole stream")), "one");
}

#[tokio::test]
async fn a_page_of_the_public_net_is_let_into_the_private_one_if_it_is_listed() {
    let server = listed("");
    let ask = |client: Client| async move {
        preflight(&client.header("access-control-request-private-network", "true"), "/v1/chat/completions").await
    };
    assert_eq!(ask(page(&server)).await.header("access-control-allow-private-network"), Some("true"));
    is_kept_from_pages(&ask(Client::of(server.address).header("origin", "https://evil.example")).await);
}

#[tokio::test]
async fn an_origin_that_is_not_listed_and_an_admin_route_get_nothing() {
    let server = listed("");
    for origin in ["https://evil.example", "http://chat.example", "https://chat.example:8443", "null"] {
        let other = Client::of(server.address).header("origin", origin);
        let answer = preflight(&other, "/v1/chat/completions").await;
        assert_eq!((answer.refused(405).as_str(), answer.header("allow")), ("method_not_allowed", Some("POST")));
        is_kept_from_pages(&answer);
        is_kept_from_pages(&other.header("authorization", "Bearer client-key").get("/v1/models").await.ok());
    }
    let admin = page(&server).header("authorization", "Bearer admin-key");
    for path in ["/api/v1/plugins", "/api/v1/gateway/apis/p/pipeline", "/healthz", "/metrics", "/openapi.json"] {
        is_kept_from_pages(&admin.get(path).await.ok());
        let answer = preflight(&admin, path).await;
        answer.refused(405);
        is_kept_from_pages(&answer);
    }
    let answer = preflight(&page(&server), "/v1/files").await;
    answer.refused(404);
}

#[tokio::test]
async fn it_is_off_until_it_is_configured() {
    let server = Server::with(MODEL).start();
    let client = Client::of(server.address).header("origin", "http://localhost:3000");
    let answer = preflight(&client, "/v1/chat/completions").await;
    answer.refused(405);
    assert_eq!(answer.header("vary"), None);
    is_kept_from_pages(&answer);
    is_kept_from_pages(&client.get("/v1/models").await.ok());
}

#[tokio::test]
async fn without_keys_a_listed_page_comes_in_and_no_other() {
    let server = Server::with(&format!("[http]\ncors_origins = [\"{PAGE}\"]\n{MODEL}")).start();
    let answer = page(&server).chat("p", "hi", json!({})).await.ok();
    is_readable(&answer);
    assert_eq!(preflight(&page(&server), "/v1/chat/completions").await.status, 204);
    let refused = Client::of(server.address).header("origin", "https://evil.example").chat("p", "hi", json!({})).await;
    assert_eq!(refused.refused(403), "foreign_origin");
    is_kept_from_pages(&refused);
    assert_eq!(page(&server).get("/api/v1/plugins").await.refused(403), "foreign_origin");
}
