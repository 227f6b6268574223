//! What loading plugins cannot do to the server and its other plugins: names, hostile components and files, and the start itself.

mod bombs;
mod contract;
mod files;
mod last_good;
mod machine;
mod names;
mod starting;

use serde_json::Value;

use crate::client::Client;
use crate::server::PATIENCE;

/// The directory is read soon after a change.
const SOON: &str = "[limits.plugins]\ndebounce = \"20ms\"\npoll = \"100ms\"\n";

/// A pipeline `id` with that plugin as its pre-hook.
fn pipeline(id: &str, plugin: &str) -> String {
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

/// The line of a file in the list of plugins.
async fn entry(client: &Client, file: &str) -> Option<Value> {
    let plugins = client.get("/api/v1/plugins").await.ok().json();
    plugins["data"].as_array().expect("a list").iter().find(|plugin| plugin["file"] == file).cloned()
}

/// Asks the plugin list until the file's line is as wanted.
async fn wait_for(client: &Client, file: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            if let Some(entry) = entry(client, file).await.filter(|entry| wanted(entry)) {
                return entry;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the plugin list changes in time")
}

/// Waits until the file was refused, and gives the reason.
async fn refused(client: &Client, file: &str) -> String {
    let entry = wait_for(client, file, |entry| entry["state"] == "refused").await;
    entry["reason"].as_str().expect("a reason").to_owned()
}
