//! Connections that are kept between the calls of one plugin, through both interfaces: never for another plugin, and never after the operator has
//! changed anything about the plugin.

use cofferdam::sandbox::Settings;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::both::{BOTH, By, GET, granted};
use super::world::{PUBLIC, World, ok};
use super::{PATIENCE, Sandbox, config, exchange, patient, server_limits};

fn staying() -> World {
    World::staying(|_| ok("hello")).name("api.example.com", &[&[PUBLIC]]).name("other.example.com", &[&[PUBLIC]])
}

impl Sandbox {
    /// The operator's file has these grants from now on.
    async fn regrant(&mut self, grant: Value) {
        let plugins = [(self.name.clone(), config(Some(grant), patient()))].into();
        self.registry = self.watcher.renew(Settings { plugins, limits: server_limits() }).await.expect("the loader runs");
    }
}

#[tokio::test]
async fn requests_that_may_be_repeated_go_over_one_connection_and_others_over_their_own() {
    for by in BOTH {
        let world = staying();
        let asker = by.asker(&world, granted()).await;
        for _ in 0..3 {
            assert!(asker.got(GET).await.starts_with("200"));
        }
        assert_eq!((world.connections().len(), world.requests().len()), (1, 3), "{by:?}");
        for posted in 1..=2 {
            assert!(asker.got("POST https://api.example.com/\n\nx").await.starts_with("200"));
            world.closed().await;
            assert_eq!(world.connections().len(), 1 + posted, "{by:?}");
        }
        asker.got(GET).await;
        assert_eq!((world.connections().len(), world.none_closed()), (3, true), "{by:?}");
    }
}

#[tokio::test]
async fn no_two_plugins_share_a_connection() {
    let world = staying();
    let sandbox = Sandbox::open_all(&BOTH.map(By::guest), &world, Some(granted()), patient()).await;
    for count in [2, 2] {
        for (by, name) in BOTH.into_iter().zip(["http-asker", "web-asker"]) {
            assert!(by.got(sandbox.run_by(name, exchange(GET)).await).starts_with("200"));
        }
        assert_eq!(world.connections().len(), count);
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_after_each_reply_fails_no_request_and_gets_none_twice() {
    for by in BOTH {
        let world = World::new(|_| ok("hello")).name("api.example.com", &[&[PUBLIC]]);
        let asker = by.asker(&world, granted()).await;
        for request in [GET, "POST https://api.example.com/\n\nx", GET, GET] {
            assert!(asker.got(request).await.starts_with("200"), "{by:?}");
        }
        assert_eq!((world.connections().len(), world.requests().len()), (4, 4), "{by:?}");
    }
}

#[tokio::test]
async fn a_grant_that_changes_in_anything_closes_what_was_kept_under_the_one_before() {
    let inner = || json!({"hosts": ["10.0.0.7", "api.example.com"], "private": true});
    for by in BOTH {
        for (before, request, after, denied) in [
            (granted(), GET, json!({"hosts": ["other.example.com"]}), true),
            (inner(), "GET https://10.0.0.7/", json!({"hosts": ["10.0.0.7", "api.example.com"]}), true),
            (granted(), GET, json!({"hosts": ["api.example.com"], "calls": 17}), false),
        ] {
            let world = staying();
            let mut asker = by.asker(&world, before).await;
            assert!(asker.got(request).await.starts_with("200"));
            asker.sandbox.regrant(after).await;
            world.closed().await;
            assert_eq!(asker.got(request).await.starts_with("200"), !denied, "{by:?}");
            assert_eq!(world.connections().len(), if denied { 1 } else { 2 }, "{by:?}");
        }
    }
}

#[tokio::test]
async fn a_reload_that_changes_nothing_about_the_plugin_keeps_its_connections() {
    let world = staying();
    let mut asker = By::Contract.asker(&world, granted()).await;
    asker.got(GET).await;
    asker.sandbox.regrant(granted()).await;
    asker.got(GET).await;
    assert_eq!((world.connections().len(), world.none_closed()), (1, true));
}

#[tokio::test]
async fn settings_that_change_close_what_was_kept_under_those_before() {
    let world = staying();
    let asker = By::Contract.asker(&world, granted()).await;
    asker.got(GET).await;
    let registry = &asker.sandbox.registry;
    registry.put_settings("http-asker", json!({"n": 1}).as_object().expect("an object").clone()).await.expect("they fit");
    asker.got(GET).await;
    world.closed().await;
    asker.got(GET).await;
    assert_eq!((world.connections().len(), world.requests().len()), (2, 3));
}

#[tokio::test]
async fn nothing_is_kept_of_a_plugin_that_is_removed() {
    for by in BOTH {
        let world = staying();
        let asker = by.asker(&world, granted()).await;
        asker.got(GET).await;
        let Sandbox { registry, name, .. } = &asker.sandbox;
        registry.remove(name, Instant::now() + PATIENCE).await.expect("it is removed");
        world.closed().await;
    }
}

#[tokio::test]
async fn a_new_version_of_a_plugin_begins_without_the_connections_of_the_one_before() {
    let world = staying();
    let asker = By::Contract.asker(&world, granted()).await;
    asker.got(GET).await;
    let sandbox = &asker.sandbox;
    let file = sandbox.folder.path().join("plugins/http-asker.wasm");
    // A custom section makes other bytes of the same component.
    let bytes = [std::fs::read(file).expect("its bytes"), vec![0, 2, 1, b'x']].concat();
    sandbox.registry.put("http-asker", bytes.into(), Instant::now() + PATIENCE).await.expect("it is admitted");
    world.closed().await;
    asker.got(GET).await;
    assert_eq!(world.connections().len(), 2);
}
