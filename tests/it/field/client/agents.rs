//! Agents that people use, unmodified, in a loop with a tool: cases 30 and 73 with the defaults of their reporters' agents, and case 71 and its
//! brother with the libraries that many write agents with, in front of every dialect that the simulator speaks.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{reply, said};
use crate::packages::{NO_NODE, NO_PYTHON, node_with, python_with, run, skipped, source};
use crate::providers::{self, ROWS};
use crate::server::Server;
use crate::upstream::{Request, Script, Upstream};

/// The model that Codex asks for if it is told none.
const CODEX_MODEL: &str = "gpt-6.2-sol";

/// A server whose model of that name asks a provider that calls a tool once, with `arguments`, and then repeats what the tool said.
async fn house(model: &str, tool: &'static str, arguments: Value) -> (Upstream, Server) {
    let upstream = Upstream::start().await;
    upstream.answer_with(move |request| answer(request, tool, &arguments));
    let config = format!(
        "[providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\n[[pipelines]]\nid = \"{model}\"\n\
         pipeline = [ {{ stage = \"llm\", config = {{ primary = {{ provider = \"up\", model = \"m\" }} }} }} ]\n",
        upstream.url()
    );
    (upstream, Server::with(&config).start())
}

fn answer(request: &Request, tool: &str, arguments: &Value) -> Script {
    let body = request.json();
    let messages = body["messages"].as_array().expect("a list");
    if let Some(result) = messages.iter().rfind(|message| message["role"] == "tool") {
        let text = result["content"].as_str().map_or_else(|| result["content"].to_string(), str::to_owned);
        return reply(request, &said(&text), "stop");
    }
    let offered = body["tools"].as_array().expect("a list").iter().any(|offered| offered["function"]["name"] == tool);
    assert!(offered, "{tool} is offered: {}", body["tools"]);
    let function = json!({"name": tool, "arguments": arguments.to_string()});
    let call = json!({"id": "call_1", "type": "function", "function": function});
    reply(request, &json!({"role": "assistant", "content": null, "tool_calls": [call]}), "tool_calls")
}

/// A command that reaches this machine only.
fn alone(mut command: Command) -> Command {
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(proxy, "http://127.0.0.1:9").env(proxy.to_ascii_lowercase(), "http://127.0.0.1:9");
    }
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    command
}

#[tokio::test]
async fn codex_with_its_defaults_runs_a_tool_and_goes_on() {
    let Some(packages) = node_with("clients/codex") else { return skipped("codex", NO_NODE) };
    let (upstream, server) = house(CODEX_MODEL, "exec", json!({"input": "text('made by ' + 'codex')"})).await;
    let home = TempDir::new().expect("a folder");
    let config = format!(
        "model_provider = \"here\"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n\
         [model_providers.here]\nname = \"here\"\nbase_url = \"http://{}/v1\"\nwire_api = \"responses\"\n",
        server.address
    );
    std::fs::write(home.path().join("config.toml"), config).expect("written");
    let mut codex = Command::new("node");
    codex.arg(packages.join("node_modules/@openai/codex/bin/codex.js"));
    codex.args(["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "Run the tool."]);
    codex.current_dir(home.path()).env("CODEX_HOME", home.path()).env("HOME", home.path()).stdin(std::process::Stdio::null());
    let mut codex = alone(codex);
    let said = tokio::task::spawn_blocking(move || run(&mut codex)).await.expect("it ends well");
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("made by codex"), "{said}");
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn the_agents_sdk_with_its_defaults_runs_a_tool_and_goes_on() {
    let Some(python) = python_with("clients/python/requirements-agents.txt") else { return skipped("agents sdk", NO_PYTHON) };
    let (upstream, server) = house("p", "get_weather", json!({"city": "Oslo"})).await;
    let mut agents = Command::new(python);
    agents.args(["-I", "-B"]).arg(source("clients/python/agents_loop.py")).arg(server.address.to_string());
    let mut agents = alone(agents);
    tokio::task::spawn_blocking(move || run(&mut agents)).await.expect("it ends well");
    assert_eq!(upstream.requests().len(), 4);
}

/// That command, with a server's address, what the simulator answers, and the model of each dialect behind them.
async fn in_front_of_every_dialect(mut command: Command, server: Server) {
    command.arg(server.address.to_string()).arg(source("simulator/fixtures.json")).args(ROWS.iter().map(|row| row.name));
    let mut command = alone(command);
    tokio::task::spawn_blocking(move || run(&mut command)).await.expect("it ends well");
}

/// Case 71.
#[tokio::test]
async fn langchain_runs_its_tools_with_every_provider_over_both_apis() {
    let Some(python) = python_with("clients/python/requirements-langchain.txt") else { return skipped("langchain", NO_PYTHON) };
    let Some((_simulator, server)) = providers::start() else { return skipped("langchain", NO_NODE) };
    let mut langchain = Command::new(python);
    langchain.args(["-I", "-B"]).arg(source("clients/python/langchain_loop.py"));
    in_front_of_every_dialect(langchain, server).await;
}

#[tokio::test]
async fn the_vercel_ai_sdk_runs_its_tools_with_every_provider_over_both_apis() {
    let what = "ai sdk";
    let (Some(packages), Some((_simulator, server))) = (node_with("clients/ai-sdk"), providers::start()) else {
        return skipped(what, NO_NODE);
    };
    let mut sdk = Command::new("node");
    sdk.arg(source("clients/ai-sdk/loop.mjs")).arg(packages).env_remove("NODE_OPTIONS");
    in_front_of_every_dialect(sdk, server).await;
}
