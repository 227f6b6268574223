//! A day in an operator's life, one step after the other, while clients stream and none of them may see a failure. A step is a function of
//! `Day`; the story at the end of the file puts them in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::{Client, text_of};
use crate::components::components;
use crate::reload::{File, ask, changed, with_key};
use crate::server::{PATIENCE, Server, deploy};
use crate::upstream::{Script, Upstream};

const PIPELINE: &str = r#"
    [limits.plugins]
    debounce = "20ms"
    poll = "1s"
    [[pipelines]]
    id = "stamped"
    pipeline = [
        { stage = "pre_hook", config = { function_id = "stamp" } },
        { stage = "llm", config = { primary = { provider = "a", model = "m" } } },
        { stage = "post_hook", config = { function_id = "stamp" } },
    ]
"#;

/// Clients that are answered at once must have been answered so often before the next step.
const ANSWERS: usize = 20;

/// The server, its provider, and what the operator has written into the file.
struct Day {
    server: Server,
    provider: Upstream,
    keys: Vec<&'static str>,
    more: String,
    load: Option<Load>,
}

/// Clients that stream until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn of(server: &Server, key: &str) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |_| {
            let (client, stop, answered) = (with_key(server, key), stop.clone(), answered.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let stream = client.chat_stream("stamped", "hello", json!({})).await;
                    assert_eq!(stream.status, 200);
                    let text = text_of(&stream.all().await.expect("a whole stream"));
                    assert!(text.starts_with("good day") && text.ends_with(']'), "{text}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let clients = (0..8).map(client).collect();
        Self { stop, answered, clients }
    }

    /// Waits until some more requests were answered.
    async fn goes_on(&self) {
        let until = self.answered.load(Ordering::Relaxed) + ANSWERS;
        let more = async {
            while self.answered.load(Ordering::Relaxed) < until {
                assert!(!self.clients.iter().all(JoinHandle::is_finished), "every client saw a failure");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, more).await.expect("requests are answered");
    }

    /// Lets every client finish what it began.
    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no client saw a failure");
        }
    }
}

impl Day {
    async fn begins() -> Self {
        let provider = Upstream::start().await;
        provider.always(Script::says("good day"));
        let (keys, more) = (vec!["app"], PIPELINE.to_owned());
        let server = Server::with(&text(&keys, &provider, &more)).start();
        Self { server, provider, keys, more, load: None }
    }

    fn text(&self) -> String {
        text(&self.keys, &self.provider, &self.more)
    }

    /// As an operator or a script asks `/api`.
    fn operator(&self) -> Client {
        with_key(&self.server, "boss")
    }

    async fn clients_come(&mut self, key: &str) {
        self.load = Some(Load::of(&self.server, key));
        self.goes_on().await;
    }

    async fn clients_go(&mut self) {
        if let Some(load) = self.load.take() {
            load.stop().await;
        }
    }

    async fn goes_on(&self) {
        self.load.as_ref().expect("clients are there").goes_on().await;
    }

    /// Drops a component into the plugin directory and waits until it is live.
    async fn deploys(&self, component: &str) {
        let before = self.plugin().await["hash"].clone();
        deploy(&components().path(component), &self.server.plugin_dir(), "stamp");
        self.plugin_is(|plugin| plugin["state"] == "live" && plugin["hash"] != before).await;
    }

    /// Drops half a file; the good one goes on.
    async fn deploys_half_a_file(&self) {
        let (good, before) = (components().bytes("stamp_1"), self.plugin().await["hash"].clone());
        std::fs::write(self.server.plugin_dir().join("stamp.wasm"), &good[..good.len() / 2]).expect("written");
        let plugin = self.plugin_is(|plugin| plugin["state"] == "stale").await;
        assert_eq!(plugin["hash"], before);
    }

    async fn plugin(&self) -> Value {
        self.operator().get("/api/v1/plugins").await.ok().json()["data"][0].clone()
    }

    async fn plugin_is(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let plugin = self.plugin().await;
                if wanted(&plugin) {
                    return plugin;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("the plugin list changes in time")
    }

    /// Saves a file with a typing mistake and asks for a reload.
    async fn reloads_a_bad_file(&self) {
        self.server.reconfigure(&format!("{}\n[limits.http]\nrequest = 7\n", self.text()));
        let refused = ask(&self.server).await;
        assert_eq!(refused.refused(422), "invalid_configuration");
        assert!(refused.text().contains("limits.http.request: unknown key"), "{refused:?}");
    }

    /// Saves the file with what was changed in `self` and reloads it. Returns the keys that changed.
    async fn reloads(&self) -> Vec<String> {
        self.server.reconfigure(&self.text());
        let report = ask(&self.server).await.ok().json();
        assert_eq!((&report["needs_restart"], &report["warnings"]), (&json!([]), &json!([])), "{report}");
        changed(&report)
    }

    /// Gives the clients another key: first both open, then only the new one.
    async fn rotates_the_key(&mut self, old: &'static str, new: &'static str) {
        self.keys.push(new);
        assert_eq!(self.reloads().await, [format!("keys.client.{new} added")]);
        self.goes_on().await;
        self.clients_go().await;
        self.clients_come(new).await;
        self.keys.retain(|key| *key != old);
        assert_eq!(self.reloads().await, [format!("keys.client.{old} removed")]);
        let refused = with_key(&self.server, old).chat("stamped", "hello", json!({})).await;
        assert_eq!(refused.refused(401), "invalid_api_key");
    }

    /// Stops the server as a supervisor does, and starts it over the same folder.
    async fn restarts(&mut self) {
        self.server.terminate();
        assert!(self.server.wait().success(), "{}", self.server.log());
        self.server = Server::with(&self.text()).folder(self.server.folder.clone()).start();
    }

    /// Replies that the report counts.
    async fn replies(&self) -> u64 {
        let report = self.operator().get("/api/v1/usage?group=pipeline").await.ok().json();
        report["data"].as_array().expect("a list").iter().filter_map(|row| row["replies"].as_u64()).sum()
    }
}

fn text(keys: &[&str], provider: &Upstream, more: &str) -> String {
    File { clients: keys, url: &provider.url(), more }.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_in_an_operator_s_life() {
    let mut day = Day::begins().await;
    day.deploys("stamp_1").await;
    day.clients_come("app").await;

    day.deploys("stamp_2").await;
    day.goes_on().await;
    day.deploys_half_a_file().await;
    day.goes_on().await;
    day.deploys("stamp_1").await;

    day.reloads_a_bad_file().await;
    day.goes_on().await;
    day.more.push_str("[prices.m]\ninput = 1\noutput = 2\n[plugins.stamp]\nlimits = { time = \"5s\" }\n");
    assert_eq!(day.reloads().await, ["plugins.stamp added", "prices.m added"]);
    day.goes_on().await;
    day.rotates_the_key("app", "app-2").await;
    day.goes_on().await;

    day.clients_go().await;
    let counted = day.replies().await;
    day.restarts().await;
    assert_eq!((day.replies().await, day.provider.requests().len() as u64), (counted, counted), "no reply is lost or counted twice");
    assert_eq!(day.plugin().await["state"], "live");
    day.clients_come("app-2").await;
    day.clients_go().await;
    assert!(day.replies().await > counted);
}
