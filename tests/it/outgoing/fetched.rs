//! What only a hook that asks by `wasi:http/outgoing-handler` can try, as `fetch` and other languages' clients do.

use serde_json::json;

use super::both::{By, GET, public};
use super::world::{PUBLIC, World, ok};

#[tokio::test]
async fn requests_that_are_begun_together_are_those_of_the_grant() {
    let world = public();
    let asker = By::Web.asker(&world, json!({"hosts": ["api.example.com"], "calls": 3, "connections": 2})).await;
    let got = asker.got(&format!("MANY\n{GET}")).await;
    let parts: Vec<&str> = got.split("\n--\n").collect();
    assert_eq!((parts.len(), parts.iter().filter(|part| part.starts_with("200")).count()), (200, 3));
    assert_eq!(parts.iter().filter(|part| part.contains("grants.http.calls")).count(), 197, "{:?}", &parts[..5]);
    assert_eq!(world.connections().len(), 3);
}

#[tokio::test]
async fn a_body_that_never_ends_costs_the_time_of_the_grant() {
    let world = World::new(|_| None).name("api.example.com", &[&[PUBLIC]]);
    let asker = By::Web.asker(&world, json!({"hosts": ["api.example.com"], "time": "20ms"})).await;
    assert_eq!(asker.got(&format!("UNENDED\n{GET}")).await, "ErrorCode::HttpResponseTimeout");
    assert_eq!(world.connections(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_that_its_guest_gives_up_is_given_up() {
    let answer = |request: &str| if request.starts_with("GET /silent") { None } else { ok("hello") };
    let world = World::new(answer).name("api.example.com", &[&[PUBLIC]]);
    let asker = By::Web.asker(&world, json!({"hosts": ["api.example.com"], "connections": 1, "time": "60s"})).await;
    assert_eq!(asker.got(&format!("DROP\n{GET}silent")).await, "dropped");
    assert!(asker.got(GET).await.starts_with("200"), "none of them holds the one place any more");
}
