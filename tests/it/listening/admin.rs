//! The operator's own address: what is there and what is not, and that no crowd elsewhere keeps the operator out.

use super::{Raw, in_time};
use crate::client::Client;
use crate::server::Server;

const MODEL: &str = r#"
    [[pipelines]]
    id = "p"
    pipeline = [ { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } } ]
"#;

fn apart(limits: &str) -> (Server, Client) {
    let server = Server::with(&format!("[admin]\nlisten = \"127.0.0.1:0\"\n[limits.http]\n{limits}\n{MODEL}")).start();
    let admin = Client::of(server.says("admin listening on http://").parse().expect("an address"));
    (server, admin)
}

#[tokio::test]
async fn the_operator_s_routes_are_at_their_own_address_alone_and_health_is_at_both() {
    let (server, admin) = apart("");
    let main = Client::of(server.address);
    for path in ["/metrics", "/api/v1/plugins", "/api/v1/usage", "/api/v1/gateway/apis/p/pipeline"] {
        assert_eq!(main.get(path).await.refused(404), "not_found", "{path}");
    }
    assert_eq!(main.put("/api/v1/gateway/apis/p/pipeline", &serde_json::json!([])).await.refused(404), "not_found");
    assert_eq!(admin.get("/v1/models").await.refused(404), "not_found");
    assert_eq!(admin.chat("p", "hi", serde_json::json!({})).await.refused(404), "not_found");
    main.chat("p", "hi", serde_json::json!({})).await.ok();
    for path in ["/metrics", "/api/v1/plugins"] {
        admin.get(path).await.ok();
    }
    for client in [&main, &admin] {
        for path in ["/healthz", "/readyz", "/openapi.json"] {
            client.get(path).await.ok();
        }
    }
}

#[tokio::test]
async fn without_an_address_of_their_own_they_are_with_the_others() {
    let server = Server::with(MODEL).start();
    Client::of(server.address).get("/metrics").await.ok();
    Client::of(server.address).get("/api/v1/plugins").await.ok();
}

#[tokio::test]
async fn a_crowd_at_the_other_address_takes_none_of_the_operator_s_connections() {
    let (server, admin) = apart("connections = 1\nadmin_connections = 2\nheader_time = \"600s\"\nbody_time = \"600s\"");
    // Bodies that never come: these connections are busy, and none of them goes for another one. All the spare ones are taken, too.
    let mut busy = Vec::new();
    for _ in 0..17 {
        let mut raw = Raw::connect(&server).await;
        raw.send(super::head("expect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n")).await;
        assert_eq!(raw.bare_reply().await.status, 100);
        busy.push(raw);
    }
    for _ in 0..3 {
        in_time(admin.get("/api/v1/plugins")).await.ok();
    }
    let metrics = in_time(admin.get("/metrics")).await.ok().text();
    assert!(metrics.contains("cofferdam_http_connections 18\n"), "{metrics}");
    drop(busy);
}

#[tokio::test]
async fn at_the_edge_of_its_own_connections_an_idle_one_goes() {
    let (server, admin) = apart("admin_connections = 1\nheader_time = \"600s\"");
    let address = server.says("admin listening on http://").parse().expect("an address");
    let mut idle = Raw::connect_to(address).await;
    idle.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await;
    admin.get("/api/v1/plugins").await.ok();
    idle.closed().await;
}
