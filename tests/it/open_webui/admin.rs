//! Detection, the list of models, and the page for administrators with its valves.

use serde_json::{Value, json};

use super::{KEY, client, delete, entry, house, refused, with};
use crate::client::Client;
use crate::server::Server;

#[tokio::test]
async fn a_client_finds_the_surface_its_models_and_its_filters_on_both_base_urls() {
    let pipeline = r#"
        [[pipelines]]
        id = "guarded"
        pipeline = [
            { stage = "pre_hook", config = { function_id = "noop-pre" } },
            { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } },
        ]
    "#;
    let server = house("", pipeline).plugin("valved").plugin("manifold").plugin("noop_pre").start();
    for base in ["", "/v1"] {
        let models = client(&server).get(&format!("{base}/models")).await.ok().json();
        assert_eq!((&models["object"], &models["pipelines"]), (&json!("list"), &json!(true)));
        assert_eq!(entry(&models, "valved")["pipeline"], json!({"type": "filter", "valves": true, "pipelines": ["*"], "priority": 0}));
        assert_eq!(entry(&models, "manifold.echo")["pipeline"], json!({"type": "manifold", "valves": false}));
        assert_eq!(entry(&models, "manifold.echo")["name"], "Repeats what it is told");
        // What a pipeline of the gateway's has in its place already is for no other model.
        assert_eq!(entry(&models, "noop-pre")["pipeline"]["pipelines"], json!([]));
        // One of the gateway's own is a model like any other: nothing is asked of it beside completions.
        assert!(entry(&models, "guarded").get("pipeline").is_none());
        for filter in models["data"].as_array().expect("a list").iter().filter(|entry| entry["pipeline"]["type"] == "filter") {
            assert!(filter["pipeline"]["pipelines"].is_array() && filter["pipeline"]["priority"].is_i64(), "{filter}");
        }
        let listed = client(&server).get(&format!("{base}/pipelines")).await.ok().json();
        assert_eq!(
            listed,
            json!({"data": [
                {"id": "manifold", "name": "manifold", "type": "manifold", "valves": false},
                {"id": "noop-pre", "name": "noop-pre", "type": "filter", "valves": true},
                {"id": "valved", "name": "valved", "type": "filter", "valves": true},
            ]})
        );
    }
    let timed = client(&server).get("/models").await.ok();
    assert!(timed.header("x-process-time").is_some_and(|seconds| seconds.parse::<u64>().is_ok()), "{timed:?}");
    assert_eq!(client(&server).get("/v1/models/valved").await.ok().json()["pipeline"]["type"], "filter");
    // The root belongs to others here.
    assert_eq!(client(&server).get("/v1").await.ok().json(), json!({"status": true}));
    assert_eq!(client(&server).get("/").await.refused(404), "not_found");
}

#[tokio::test]
async fn an_address_and_a_prefix_of_its_own_have_the_surface_alone_and_whole() {
    let server = house("listen = \"127.0.0.1:0\"\nprefixes = [\"/owui\"]", "").plugin("valved").start();
    let own: std::net::SocketAddr = server.says("pipelines listening on http://").parse().expect("an address");
    let own = Client::of(own).header("authorization", &format!("Bearer {KEY}"));
    for (client, base) in [(&own, ""), (&client(&server), "/owui")] {
        for version in ["", "/v1"] {
            let base = format!("{base}{version}");
            let status = if base.is_empty() { "/".to_owned() } else { base.clone() };
            assert_eq!(client.get(&status).await.ok().json(), json!({"status": true}), "{status}");
            assert_eq!(client.get(&format!("{base}/models")).await.ok().json()["pipelines"], true);
            assert_eq!(client.get(&format!("{base}/valved/valves")).await.ok().json()["max_turns"], 10);
            let told = refused(&client.get(&format!("{base}/nowhere")).await, 404);
            assert!(told.contains("there is nothing at"), "{told}");
        }
    }
    for path in ["/healthz", "/metrics", "/api/v1/plugins"] {
        refused(&own.get(path).await, 404);
    }
}

#[tokio::test]
async fn each_key_opens_what_it_is_for() {
    let server = house("", "").plugin("valved").start();
    let nobody = Client::of(server.address);
    for path in ["/models", "/pipelines", "/valved/valves", "/valved/valves/spec"] {
        refused(&nobody.get(path).await, 401);
        refused(&with(&server, "wrong").get(path).await, 401);
    }
    let anna = with(&server, "anna");
    anna.get("/models").await.ok();
    anna.get("/pipelines").await.ok();
    anna.post("/valved/filter/inlet", &super::inlet("hi")).await.ok();
    for path in ["/valved/valves", "/valved/valves/spec"] {
        assert!(refused(&anna.get(path).await, 403).contains("surfaces.pipelines"), "{path}");
    }
    for path in ["/valved/valves/update", "/pipelines/add", "/pipelines/upload", "/pipelines/reload"] {
        refused(&anna.post(path, &json!({})).await, 403);
        refused(&nobody.post(path, &json!({})).await, 401);
    }
    refused(&delete(&anna, "/pipelines/delete", &json!({"id": "valved"})).await, 403);
    for key in [KEY, "boss"] {
        with(&server, key).get("/valved/valves").await.ok();
        let models = with(&server, key).get("/v1/models").await.ok().json();
        assert!(models["pipelines"] == true && entry(&models, "valved")["pipeline"]["type"] == "filter", "{models}");
    }
    // Other clients of `/v1` are not shown what they cannot ask; at the route that only Open WebUI knows they are.
    let models = anna.get("/v1/models").await.ok().json();
    assert!(models.get("pipelines").is_none() && !models.to_string().contains("valved"), "{models}");
    entry(&anna.get("/models").await.ok().json(), "valved");
    // It is no admin key elsewhere.
    assert_eq!(client(&server).get("/api/v1/plugins").await.refused(403), "admin_key_required");
    assert!(server.plugin_dir().join("valved.wasm").exists());
    let open = house("open_reads = true", "").plugin("valved").start();
    let nobody = Client::of(open.address);
    nobody.get("/valved/valves").await.ok();
    nobody.get("/v1/valved/valves/spec").await.ok();
    refused(&nobody.get("/models").await, 401);
    refused(&nobody.post("/valved/valves/update", &json!({})).await, 401);
    refused(&nobody.post("/valved/filter/inlet", &super::inlet("hi")).await, 401);
}

#[tokio::test]
async fn a_surface_that_is_off_is_not_there() {
    let server = house("enabled = false", "").plugin("valved").plugin("manifold").start();
    for path in ["/models", "/pipelines", "/valved/valves", "/v1/valved/valves"] {
        assert_eq!(client(&server).get(path).await.refused(404), "not_found", "{path}");
    }
    let models = client(&server).get("/v1/models").await.ok().json();
    assert!(models.get("pipelines").is_none() && !models.to_string().contains("valved"), "{models}");
    assert_eq!(client(&server).chat("manifold.echo", "hi", json!({})).await.refused(404), "model_not_found");
}

#[tokio::test]
async fn valves_are_shown_as_the_page_needs_them_and_changed_as_it_sends_them() {
    let mut server = house("", "").plugin("valved").start();
    for base in ["", "/v1"] {
        let spec = client(&server).get(&format!("{base}/valved/valves/spec")).await.ok().json();
        let properties = spec["properties"].as_object().expect("properties");
        for (name, property) in properties {
            assert!(property["title"].as_str().is_some_and(|title| !title.is_empty()), "{name}: {property}");
        }
        assert_eq!((&properties["max_turns"]["title"], &properties["mode"]["enum"]), (&json!("Turns"), &json!(["soft", "hard"])));
        assert_eq!((&properties["strict"]["type"], &properties["pipelines"]["type"]), (&json!("boolean"), &json!("array")));
        let valves = client(&server).get(&format!("{base}/valved/valves")).await.ok().json();
        assert_eq!(
            valves,
            json!({"pipelines": ["*"], "priority": 0, "prefix": "in: ", "max_turns": 10, "ratio": 0.5, "strict": false, "words": [],
                "mode": "soft", "note": null, "token": null})
        );
    }
    let update = "/v1/valved/valves/update";
    // Numbers and switches as text, one empty entry for an empty list, null for what is not set, a name that nobody knows.
    let sent = json!({"pipelines": "m, other", "priority": "3", "prefix": "x", "max_turns": "7", "ratio": "1.5", "strict": "true",
        "words": [""], "mode": "hard", "note": null, "token": "tok-7Qx2Lm9R", "unknown": 1});
    let expected = json!({"pipelines": ["m", "other"], "priority": 3, "prefix": "x", "max_turns": 7, "ratio": 1.5, "strict": true,
        "words": [], "mode": "hard", "note": null, "token": "********"});
    assert_eq!(client(&server).post(update, &sent).await.ok().json(), expected);
    // The page sends back all that it was shown; the mask leaves the secret as it is. The next call sees it.
    let shown = client(&server).get("/valved/valves").await.ok().json();
    assert_eq!(client(&server).post(update, &shown).await.ok().json(), expected);
    let seen = settings(&server).await;
    assert_eq!(
        (&seen["token"], &seen["max_turns"], seen.get("words")),
        (&json!("tok-7Qx2Lm9R"), &json!(7), None),
        "what is not set stays so"
    );
    assert!(seen.get("priority").is_none(), "what the host keeps is none of the plugin's");
    let models = client(&server).get("/models").await.ok().json();
    assert_eq!(entry(&models, "valved")["pipeline"]["pipelines"], json!(["m", "other"]));
    // It survives a kill.
    server.kill();
    let server = house("", "").folder(server.folder.clone()).start();
    assert_eq!(client(&server).get("/valved/valves").await.ok().json(), expected);
    // What is left out goes back to its default.
    let default = client(&server).post(update, &json!({"token": "********"})).await.ok().json();
    assert_eq!((&default["pipelines"], &default["priority"], &default["max_turns"]), (&json!(["*"]), &json!(0), &json!(10)));
    assert_eq!(settings(&server).await["token"], "tok-7Qx2Lm9R");
}

/// The settings that the plugin sees.
async fn settings(server: &Server) -> Value {
    let answer = client(server).post("/valved/filter/inlet", &super::inlet("settings")).await.ok().json();
    serde_json::from_str(answer["messages"][0]["content"].as_str().expect("a text")).expect("JSON")
}

#[tokio::test]
async fn valves_that_do_not_fit_are_refused_by_name_and_change_nothing() {
    let file = "[plugins.valved]\nconfig = { prefix = \"fixed: \", token = \"secret-of-the-file\" }\n";
    let server = house("", file).plugin("valved").plugin("manifold").start();
    let before = client(&server).get("/valved/valves").await.ok().json();
    assert_eq!((&before["prefix"], &before["token"]), (&json!("fixed: "), &json!("********")));
    for (name, value) in [
        ("max_turns", json!("many")),
        ("max_turns", json!(0)),
        ("mode", json!("odd")),
        ("priority", json!("first")),
        ("pipelines", json!({"a": 1})),
        ("prefix", json!("another: ")),
        ("words", json!(7)),
    ] {
        let told = refused(&client(&server).post("/valved/valves/update", &json!({name: value})).await, 400);
        assert!(told.contains(name) && !told.contains("many"), "{name}: {told}");
    }
    refused(&client(&server).post("/valved/valves/update", &json!([1])).await, 400);
    assert_eq!(client(&server).get("/valved/valves").await.ok().json(), before);
    // What the file fixes comes back as it was shown.
    assert_eq!(client(&server).post("/valved/valves/update", &before).await.ok().json(), before);
    for path in ["/nobody/valves", "/nobody/valves/spec", "/manifold.none/valves"] {
        assert!(refused(&client(&server).get(path).await, 404).contains("no pipeline"), "{path}");
    }
    for path in ["/manifold/valves", "/manifold.echo/valves/spec"] {
        assert!(refused(&client(&server).get(path).await, 404).contains("no valves"), "{path}");
    }
    // A connection with a prefix puts it before every id.
    assert_eq!(client(&server).get("/owui.valved/valves").await.ok().json(), before);
}
