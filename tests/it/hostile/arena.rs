//! A server with one hostile file and one calm plugin beside it. Whatever becomes of the hostile one, the server is asked for its health and the
//! calm plugin for its answer afterwards.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::{Builder, PATIENCE, Server};
use crate::texts::calm;

/// Small limits, so that each guest meets its own quickly; the clock is not to be met by chance on a busy machine.
pub(super) const SMALL: &str =
    r#"{ fuel = 20_000_000, memory = "16MiB", table_elements = 20_000, time = "60s", wait = "60s", output = "1MiB", log_lines = 5 }"#;

/// What the server writes when it starts to compile a file.
const COMPILING: &str = "work: compiling";

pub(super) struct Arena {
    pub(super) server: Server,
    pub(super) client: Client,
}

/// Pipelines of the two plugins. The directory is read soon after a change.
pub(super) fn house(limits: &str, more: &str) -> String {
    let soon = "[limits.plugins]\nstarve_time = \"60s\"\ndebounce = \"20ms\"\npoll = \"1s\"\n";
    let (limits, pipelines) = (limited("hostile", limits), [pipeline("victim", "hostile"), pipeline("calm", "calm")].concat());
    [soon, more, "\n", &limits, &pipelines].concat()
}

fn limited(plugin: &str, limits: &str) -> String {
    format!("[plugins.{plugin}]\nlimits = {limits}\n")
}

/// A pipeline with that plugin before the model.
pub(super) fn pipeline(id: &str, plugin: &str) -> String {
    format!(
        r#"
        [[pipelines]]
        id = "{id}"
        pipeline = [
            {{ stage = "pre_hook", config = {{ function_id = "{plugin}" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }},
        ]
        "#
    )
}

/// Writes a file into the directory in one go.
pub(super) fn put(directory: &Path, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(directory).expect("a folder");
    std::fs::write(directory.join(".half"), bytes).expect("written");
    std::fs::rename(directory.join(".half"), directory.join(name)).expect("renamed");
}

/// A server that has the calm plugin and that file.
pub(super) fn builder(limits: &str, more: &str, hostile: &[u8]) -> Builder {
    let builder = Server::with(&house(limits, more));
    put(&builder.plugin_dir(), "calm.wasm", &calm());
    put(&builder.plugin_dir(), "hostile.wasm", hostile);
    builder
}

impl Arena {
    pub(super) fn open(limits: &str, hostile: &[u8]) -> Self {
        Self::of(builder(limits, "", hostile))
    }

    pub(super) fn of(builder: Builder) -> Self {
        let server = builder.start();
        Self { client: Client::of(server.address), server }
    }

    /// The server answers, and so does the other plugin.
    pub(super) async fn all_is_well(&self) {
        self.client.get("/healthz").await.ok();
        assert_eq!(self.client.chat("calm", "hello", json!({})).await.ok().content(), "calm");
    }

    pub(super) async fn ask(&self, question: &str) -> Answer {
        self.client.chat("victim", question, json!({})).await
    }

    /// The file's entry in the list of plugins.
    pub(super) async fn entry(&self, file: &str) -> Option<Value> {
        let plugins = self.client.get("/api/v1/plugins").await.ok().json();
        plugins["data"].as_array().expect("a list").iter().find(|plugin| plugin["file"] == file).cloned()
    }

    /// Waits until the file's entry is as wanted.
    pub(super) async fn wait_for(&self, file: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                if let Some(entry) = self.entry(file).await.filter(|entry| wanted(entry)) {
                    return entry;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("the plugin list changes in time")
    }

    /// Why the file was refused, for good: a busy machine may have to try it again before that is known.
    pub(super) async fn refusal(&self, file: &str) -> String {
        let for_good = |entry: &Value| {
            entry["state"] == "refused" && entry["reason"].as_str().is_some_and(|reason| !reason.ends_with("it is tried again"))
        };
        reason(&self.wait_for(file, for_good).await)
    }

    /// Why the file was refused by the first try: of what takes the compiler long, a busy machine may not know that it is the file's own fault.
    pub(super) async fn first_refusal(&self, file: &str) -> String {
        reason(&self.wait_for(file, |entry| entry["state"] == "refused").await)
    }
}

fn reason(entry: &Value) -> String {
    let reason = entry["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.len() < 2_100, "{} bytes", reason.len());
    reason
}

/// Each call of that hook ends with the code, whole and streamed, and the rest goes on.
pub(super) async fn ends_with(hostile: &[u8], limits: &str, code: &str) {
    let arena = Arena::open(limits, hostile);
    let (answer, ()) = tokio::join!(arena.ask("hello"), arena.all_is_well());
    assert_eq!(answer.refused(502), code, "{answer:?}");
    assert_eq!(answer.json()["error"]["type"], "plugin_error");
    let streamed = arena.client.chat_stream("victim", "hello", json!({})).await.answer().await;
    assert_eq!(streamed.refused(502), code, "a stream that has not begun is refused in the same way");
    arena.all_is_well().await;
}

/// One server with all of these hooks, each of which ends each call with one of the codes.
pub(super) async fn each_ends_with(hostile: &[(String, Vec<u8>)], limits: &str, codes: &[&str]) {
    let names: Vec<String> = (0..hostile.len()).map(|i| format!("hostile-{i}")).collect();
    let more: String = names.iter().flat_map(|name| [limited(name, limits), pipeline(name, name)]).collect();
    let builder = Server::with(&house("{}", &more));
    put(&builder.plugin_dir(), "calm.wasm", &calm());
    for (name, (_, bytes)) in names.iter().zip(hostile) {
        put(&builder.plugin_dir(), &format!("{name}.wasm"), bytes);
    }
    let arena = Arena::of(builder);
    for (name, (what, _)) in names.iter().zip(hostile) {
        let code = arena.client.chat(name, "hello", json!({})).await.refused(502);
        assert!(codes.contains(&code.as_str()), "{what}: {code}");
        arena.all_is_well().await;
    }
}

/// The component is refused when it is loaded, for that reason, and the rest goes on. Whether it was compiled first is beside it.
pub(super) async fn is_refused(hostile: &[u8], part: &str, compiled: bool) {
    let arena = Arena::open("{}", hostile);
    let reason = arena.refusal("hostile.wasm").await;
    assert!(reason.contains(part), "{reason}");
    let log = arena.server.log();
    let began = log.lines().any(|line| line.contains(COMPILING) && line.contains("hostile.wasm"));
    assert_eq!(began, compiled, "whether it was compiled: {reason}");
    assert_eq!(arena.ask("hello").await.refused(503), "plugin_not_loaded");
    arena.all_is_well().await;
}

/// The component is compiled within a second of a processor, and then is no plugin, or that second ends it; the rest goes on.
pub(super) async fn is_compiled_or_refused(hostile: &[u8]) {
    let arena = Arena::of(builder("{}", "compile_time = \"1s\"\n", hostile));
    arena.all_is_well().await;
    let reason = arena.first_refusal("hostile.wasm").await;
    assert!(["limits.plugins.compile_time", "it has no function `on-request`"].iter().any(|part| reason.contains(part)), "{reason}");
    assert_eq!(arena.ask("hello").await.refused(503), "plugin_not_loaded");
    arena.all_is_well().await;
}
