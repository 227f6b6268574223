//! Plugins that ask other servers. Against hostile ones the sandbox stands alone, over names and servers of the test's own that write down every
//! connection, so that no packet leaves even if a check is broken; that all of it is plugged together is shown through the real server.

mod both;
mod fetched;
mod hostile;
mod kept;
mod served;
mod world;
mod written;

use std::sync::Arc;
use std::time::Duration;

use cofferdam::chat::{Choice, Completion, Exchange, Message};
use cofferdam::sandbox::{
    Compiler, FaultKind, Grants, Hook, Limits, PluginConfig, Ports, PreOutcome, Registry, RegistryConfig, ServerLimits, Watcher,
};
use cofferdam::telemetry::Metrics;
use serde_json::Value;

use crate::components::components;
use crate::exchange::exchange;
use crate::ports::{ports, stores};
use crate::server::PATIENCE;
use world::World;

/// A sandbox with one guest or several, whose requests go to that world.
struct Sandbox {
    registry: Arc<Registry>,
    name: String,
    watcher: Watcher,
    folder: tempfile::TempDir,
}

/// What a pre-hook made of an exchange.
type Ran = (Exchange, Result<PreOutcome, FaultKind>);

impl Sandbox {
    async fn open(guest: &str, world: &World, grant: Option<Value>, limits: Limits) -> Self {
        Self::open_all(&[guest], world, grant, limits).await
    }

    /// Several of them, each with that grant; what is asked goes to the first.
    async fn open_all(guests: &[&str], world: &World, grant: Option<Value>, limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let names: Vec<String> = guests.iter().map(|guest| guest.replace('_', "-")).collect();
        let config = config(grant, limits);
        let setup = RegistryConfig {
            plugin_dir: folder.path().join("plugins"),
            cache_dir: folder.path().join("compiled"),
            last_good_dir: folder.path().join("last-good"),
            plugins: names.iter().map(|name| (name.clone(), config.clone())).collect(),
            limits: server_limits(),
            compiler: Compiler::InProcess,
        };
        std::fs::create_dir(&setup.plugin_dir).expect("a folder");
        for (guest, name) in guests.iter().zip(&names) {
            std::fs::copy(components().path(guest), setup.plugin_dir.join(format!("{name}.wasm"))).expect("copied");
        }
        let ports = Ports { outside: world.outside(), ..ports(&stores(folder.path())).await };
        let (registry, watcher) = Registry::open(setup, ports, Metrics::new()).expect("a registry");
        registry.loaded().await;
        Self { registry, name: names[0].clone(), watcher, folder }
    }

    /// What the guest says that it got for that request.
    async fn got(&self, request: &str) -> String {
        match self.run(exchange(request)).await.1 {
            Ok(PreOutcome::Respond(message)) => message.joined_text(),
            Ok(_) => panic!("no answer"),
            Err(kind) => panic!("{kind}"),
        }
    }

    async fn run(&self, exchange: Exchange) -> Ran {
        self.run_by(&self.name, exchange).await
    }

    async fn run_by(&self, name: &str, exchange: Exchange) -> Ran {
        let plugins = self.registry.snapshot();
        let plugin = plugins.get(name, Hook::Pre).unwrap_or_else(|_| panic!("{:?}", self.registry.status()));
        let (exchange, outcome) = plugin.pre_hook(exchange, "model").await;
        (exchange, outcome.map_err(|fault| fault.kind))
    }
}

fn config(grant: Option<Value>, limits: Limits) -> PluginConfig {
    let mut grants = Grants::default();
    grant.into_iter().for_each(|grant| grants.insert("http".into(), grant));
    PluginConfig { grants, limits, ..PluginConfig::default() }
}

/// A busy machine may take its time.
fn server_limits() -> ServerLimits {
    ServerLimits { queue_time: PATIENCE, starve_time: PATIENCE, ..ServerLimits::default() }
}

/// The guest that sends what it is told to, under that grant.
async fn asker(world: &World, grant: Value) -> Sandbox {
    Sandbox::open("http_asker", world, Some(grant), patient()).await
}

/// A busy machine may take its time.
fn patient() -> Limits {
    Limits { time: Duration::from_secs(60), wait: Duration::from_secs(60), ..Limits::default() }
}

/// A reply of the model's with that text.
fn completion(text: &str) -> Completion {
    let choice = Choice { index: 0, message: Message::text("assistant", text), finish_reason: None, extra: Vec::new() };
    Completion { id: "c".into(), created: 0, model: "m".into(), choices: vec![choice], usage: None, extra: Vec::new() }
}
