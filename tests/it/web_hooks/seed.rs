//! The example of the contract for hooks in the style of the web, in TypeScript: `tests/web-hook/hook.ts` is its source as it was published, built by
//! the commands of docs/plugins.md. It asks a translator by `fetch`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::client::Client;
use crate::packages::{NO_NODE, component, node_with, run, skipped, source};
use crate::server::{Server, deploy};
use crate::upstream::{Script, Upstream};

const TOKEN: &str = "canary-Mb4WqXz7Tn2-Lp8Gd3Rk";
/// The packages of WASI that the world needs, in the version that the engine is built with.
const PACKAGES: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];
const THEIRS: &str = "0.2.12";
const OURS: &str = "0.2.10";

fn config(upstream: &str, port: &str) -> String {
    format!(
        r#"
        [limits.plugins]
        starve_time = "60s"
        queue_time = "60s"
        [providers.up]
        kind = "openai"
        base_url = "{upstream}"
        [plugins.translate]
        config = {{ url = "http://127.0.0.1:{port}/translate" }}
        limits = {{ time = "60s", wait = "60s" }}
        grants = {{ http = {{ hosts = ["127.0.0.1"], ports = [{port}], plain = true, private = true, secrets = {{ TRANSLATOR_KEY = ["127.0.0.1"] }}, plain_secrets = true }} }}
        [[pipelines]]
        id = "p"
        pipeline = [
            {{ stage = "pre_hook", config = {{ function_id = "translate" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }},
        ]
        "#
    )
}

/// The component; none if this machine cannot make it.
fn built() -> Option<PathBuf> {
    let tools = node_with("web-hook")?;
    let sources = ["hook.ts", "shim.js", "translate.js", "bundle.mjs", "world.wit", "package-lock.json"];
    let sources = sources.map(|name| (name, fs::read(source("web-hook").join(name)).expect("a source")));
    let contract = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).expect("the contract");
    let mut contract: Vec<PathBuf> = contract.map(|file| file.expect("a file").path()).collect();
    contract.sort();
    let texts: Vec<Vec<u8>> = contract.iter().map(|file| fs::read(file).expect("the contract")).collect();
    let ingredients: Vec<&[u8]> = sources.iter().map(|(_, text)| &text[..]).chain(texts.iter().map(|text| &text[..])).collect();
    Some(component("web-hook", &ingredients, |file| {
        let folder = tempfile::tempdir_in(&tools).expect("a folder beside the packages");
        for (name, text) in &sources {
            fs::write(folder.path().join(name), text).expect("a source");
        }
        let wit = folder.path().join("wit");
        fs::create_dir_all(wit.join("deps/hooks")).expect("a folder");
        fs::rename(folder.path().join("world.wit"), wit.join("world.wit")).expect("the world");
        for (path, text) in contract.iter().zip(&texts) {
            fs::write(wit.join("deps/hooks").join(path.file_name().expect("a name")), text).expect("the contract");
        }
        for package in PACKAGES {
            let wasi = format!("node_modules/@bytecodealliance/jco/lib/wit/builtin/{THEIRS}/wasi-{package}/package.wit");
            let text = fs::read_to_string(tools.join(wasi)).expect("the package");
            fs::write(wit.join(format!("deps/{package}.wit")), text.replace(THEIRS, OURS)).expect("the package");
        }
        let node = |arguments: &[&str]| run(Command::new("node").args(arguments).current_dir(folder.path()));
        node(&["bundle.mjs", "hook.ts", "shim.js", "function.js"]);
        let jco = tools.join("node_modules/@bytecodealliance/jco/dist/jco.js");
        let (jco, made) = (jco.to_string_lossy(), folder.path().join("function.wasm"));
        node(&[&jco, "componentize", "function.js", "--wit", "wit", "--world-name", "function", "--out", "function.wasm"]);
        fs::copy(made, file).expect("the component");
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs_as_it_was_published_and_its_fetch_goes_through_the_guard() {
    let Some(component) = built() else { return skipped("the example of a hook in the style of the web", NO_NODE) };
    let (translator, upstream) = (Upstream::start().await, Upstream::start().await);
    let url = translator.url();
    let port = url.trim_end_matches("/v1").rsplit_once(':').expect("a port").1;
    let builder = Server::with(&config(&upstream.url(), port)).env("TRANSLATOR_KEY", TOKEN);
    deploy(&component, &builder.plugin_dir(), "translate");
    let mut server = builder.start();
    let client = Client::of(server.address);

    translator.next(Script::json(200, &json!({"lang": "de", "translated": "How are you?", "key": TOKEN})));
    upstream.next(Script::says("Fine."));
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Wie geht es dir?"}]);
    let answer = client.post("/v1/chat/completions", &json!({"model": "p", "messages": messages})).await.ok();
    assert_eq!(answer.content(), "Fine.");
    let asked = &translator.requests()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/translate"));
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(asked.json(), json!({"text": "Wie geht es dir?"}));
    let sent = upstream.requests()[0].json();
    assert_eq!(sent["messages"], json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How are you?"}]));

    translator.next(Script::json(503, &json!({})));
    assert_eq!(client.chat("p", "Und dir?", json!({})).await.refused(502), "plugin_reported_error");

    // A host that is not granted is asked nothing, also if one that is granted says so, and the operator reads why.
    translator.next(Script::reply(307, &[("location", &*format!("http://localhost:{port}/"))], ""));
    assert_eq!(client.chat("p", "Wer bist du?", json!({})).await.refused(502), "plugin_reported_error");
    server.wait_for_log("a request was not sent: the server redirects to what `grants.http` does not allow");
    assert_eq!((translator.requests().len(), upstream.requests().len()), (3, 1));
    server.terminate();
    assert!(!server.output().contains(TOKEN), "the key is in what the server wrote");
}
