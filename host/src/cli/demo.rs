//! `cofferdam demo`: a running server in one command. Builds the sample plugins, fills a knowledge base and prints a request to try.
//! It configures the server through the same `Config` and the same public functions as `serve`, so what it shows holds for every operator.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;

use super::exit::failed;
use super::output::announce;
use super::serve::{hangups, reload_at, run, stop_signal};
use crate::app::{App, locked};
use crate::chat::Client;
use crate::config::Config;
use crate::http::{Bound, Inherited, ListenAddress};
use crate::rag::{Document, Kind, Namespace};
use crate::telemetry::{Log, LogFormat, LogLimits};

const PLUGINS: [(&str, &str); 2] = [("redact-pii", "redact_pii.wasm"), ("detect-language", "detect_language.wasm")];
const TARGET: &str = "wasm32-wasip2";
const KNOWLEDGE: [(&str, Kind, &str); 3] = [
    ("house-rules.md", Kind::Markdown, include_str!("demo/house-rules.md")),
    ("opening-hours.txt", Kind::Text, include_str!("demo/opening-hours.txt")),
    ("returns.md", Kind::Markdown, include_str!("demo/returns.md")),
];
const CONFIG: &str = include_str!("demo/cofferdam.toml");
const CONFIG_FILE: &str = "cofferdam.toml";
/// Whoever tries the demo wants to see its replies.
const LOG_FILTER: &str = "warn";

#[derive(Args)]
pub(super) struct Demo {
    /// Address to listen on; if the port is taken, a free one is used.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Directory for the demo's plugins and data; deleted and made again each time.
    #[arg(long, default_value = "target/demo")]
    directory: PathBuf,
}

impl Demo {
    pub(super) fn run(self) -> ExitCode {
        match Log::start(LogFormat::Text, Some(LOG_FILTER), LogLimits::default(), None) {
            Ok(log) => run(&log, self.serve(&log)),
            Err(error) => failed(&error),
        }
    }

    async fn serve(self, log: &Log) -> anyhow::Result<()> {
        let root = workspace()?;
        let directory = root.join(&self.directory);
        prepare(&directory)?;
        build_plugins(&root, &directory.join("plugins"), log)?;
        let mut config = Config::parse(CONFIG, &directory).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let mut listen = self.listen;
        // The port is probed first, because opening the app twice would meet the files and locks of the first time.
        if std::net::TcpListener::bind(listen).is_err() {
            listen.set_port(0);
        }
        (config.listen, config.log_filter) = (vec![ListenAddress::Tcp(listen)], Some(LOG_FILTER.into()));
        log.say("loading the plugins and the sample knowledge base …");
        let (hangups, listen) = (hangups(), config.listen.clone());
        let app = App::open(config, Inherited::default()).await?;
        let namespace = Namespace { api: "demo".into(), name: "default".into() };
        for (name, kind, text) in KNOWLEDGE {
            let document = Document::new(name, kind, text);
            app.knowledge().add(&namespace, document, &Client::Host).await.with_context(|| format!("{name} cannot be added"))?;
        }
        app.plugins_loaded().await;
        let Some(Bound::Tcp { address: addr, .. }) = app.bound().pop() else { bail!("the demo listens nowhere") };
        let onward = directory.join(CONFIG_FILE);
        announce(format!(
            "listening on http://{addr}\n{}\nTo go on from here: cofferdam serve --config {}\n",
            sample_request(addr),
            onward.display()
        ));
        reload_at(hangups, app.reloads());
        let source = move || {
            Config::load(Some(&onward)).map(|config| Config { listen: listen.clone(), log_filter: Some(LOG_FILTER.into()), ..config })
        };
        app.serve(Arc::new(source), stop_signal()).await
    }
}

fn sample_request(address: SocketAddr) -> String {
    format!(
        r#"
Ask it (the answer streams, quotes its source, and the address in it is redacted by a sandboxed plugin):

curl -N http://{address}/v1/chat/completions -H 'content-type: application/json' -d '{{"model":"demo","stream":true,"messages":[{{"role":"user","content":"How do I return a pump, and whom do I write to?"}}]}}'

The same from Python (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="http://{address}/v1", api_key="none")
print(client.chat.completions.create(model="demo", messages=[{{"role": "user", "content": "How do I return a pump, and whom do I write to?"}}]).choices[0].message.content)

What is loaded: curl http://{address}/api/v1/plugins      Stop it with Ctrl-C.
"#
    )
}

/// The root of the source checkout: the nearest directory with the plugins, from the package's own or the current one upwards.
fn workspace() -> anyhow::Result<PathBuf> {
    let from_cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let start = from_cargo.map_or_else(std::env::current_dir, Ok)?;
    let root = start.ancestors().find(|path| path.join("plugins/redact-pii/Cargo.toml").exists());
    root.map(Path::to_owned)
        .context("the demo builds the sample plugins and so needs the source checkout; run it there with `cargo run --release -- demo`")
}

/// Empties the demo's directory. A directory that no earlier demo made is left alone and is an error.
fn prepare(directory: &Path) -> anyhow::Result<()> {
    let mark = directory.join(".cofferdam-demo");
    if directory.exists() {
        ensure!(mark.exists(), "{} is there and was not made by the demo; name another --directory", directory.display());
        if directory.join("data").exists() {
            locked(&directory.join("data")).context("another demo runs there; name another --directory")?;
        }
        std::fs::remove_dir_all(directory).with_context(|| format!("{} cannot be cleared", directory.display()))?;
    }
    std::fs::create_dir_all(directory.join("plugins"))?;
    std::fs::write(mark, "")?;
    // Beside the data, so that a server of the user's own goes on with both.
    std::fs::write(directory.join(CONFIG_FILE), CONFIG)?;
    Ok(())
}

fn build_plugins(root: &Path, into: &Path, log: &Log) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    add_target(log)?;
    log.say(&format!("building the sample plugins for {TARGET} …"));
    let mut build = Command::new(cargo);
    build.current_dir(root).args(["build", "--locked", "--profile", "plugin", "--target", TARGET]);
    build.args(PLUGINS.iter().flat_map(|(package, _)| ["-p", package]));
    ensure!(build.status().context("cargo cannot be started")?.success(), "the sample plugins could not be built; cargo says why above");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    for (_, file) in PLUGINS {
        let built = target.join(TARGET).join("plugin").join(file);
        std::fs::copy(&built, into.join(file)).with_context(|| format!("{} is missing", built.display()))?;
    }
    Ok(())
}

/// Installs the compile target with rustup if the compiler does not have it.
fn add_target(log: &Log) -> anyhow::Result<()> {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let installed = libraries.is_ok_and(|out| Path::new(String::from_utf8_lossy(&out.stdout).trim()).exists());
    if installed {
        return Ok(());
    }
    log.say(&format!("adding the target {TARGET} …"));
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    let added = added.with_context(|| format!("the target {TARGET} is missing and rustup cannot be started"))?;
    ensure!(added.success(), "rustup could not add the target {TARGET}");
    Ok(())
}
