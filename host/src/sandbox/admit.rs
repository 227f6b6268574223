//! From a file's bytes to a plugin that may serve: looked at, compiled, linked, asked who it is.
//! Every refusal says what to do. Must not publish anything: a plugin that fails here was never there.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use super::bindings::{described, post, pre};
use super::compile::Cache;
use super::hostcalls::config::ConfigText;
use super::inspect::inspect;
use super::plugin::{Call, Plugin, Shared, Verdict};
use super::state::State;
use super::{Exhausted, FaultKind, Limits, PluginConfig};

/// Interfaces of WASI that are linked, all of them empty: a guest finds no file, socket, variable or argument behind them.
const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// Bytes of a plugin's own words that are kept.
const WORDS_MAX: usize = 500;

/// A describe call may take this many times a hook's limit of time.
const DESCRIBE_TIMES: u32 = 10;

/// Why a file was not admitted, in words for its author.
#[derive(Debug)]
pub(super) enum Refusal {
    /// These bytes will never do.
    Unfit(String),
    /// Another try may go better: the machine was at fault.
    Passing(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Unfit(reason)
    }
}

/// Makes plugins of bytes.
pub(super) struct Admission {
    pub(super) shared: Arc<Shared>,
    pub(super) cache: Cache,
    pub(super) linker: Linker<State>,
    pub(super) configs: BTreeMap<String, PluginConfig>,
    calls_per_plugin: usize,
}

impl Admission {
    pub(super) fn new(
        shared: Arc<Shared>,
        cache: Cache,
        configs: BTreeMap<String, PluginConfig>,
        calls_per_plugin: u32,
    ) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&shared.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        pre::BarePre::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        Ok(Self { shared, cache, linker, configs, calls_per_plugin: calls_per_plugin as usize })
    }

    /// Admits the component or says why not. `stem` is the file's name without `.wasm`, the plugin's name if it gives none.
    pub(super) async fn admit(&self, stem: &str, bytes: &[u8], hash: &str) -> Result<Plugin, Refusal> {
        inspect(bytes)?;
        let component = self.cache.load(&self.shared.engine, bytes, hash).await?;
        self.check_imports(&component)?;
        let linked = self.linker.instantiate_pre(&component).map_err(|e| self.mismatch(&e))?;
        let pre_hook = pre::BarePrePre::new(linked.clone()).ok();
        let post_hook = post::BarePostPre::new(linked.clone()).ok();
        if pre_hook.is_none() && post_hook.is_none() {
            return Err(self.no_hook(&component).into());
        }
        let description = self.describe(stem, linked).await?;
        let name: Arc<str> = description.as_ref().map_or(stem, |d| &d.name).into();
        if self.configs.contains_key(&*name) && own_name(stem) != own_name(&name) {
            // A name brings the operator's configuration, perhaps secrets, and a place in pipelines: a component cannot just claim it.
            return Err(format!("it calls itself `{name}`, which the configuration knows; only {name}.wasm may have that name").into());
        }
        if !is_name(&name) {
            return Err(format!("it is called `{name}` after its file; rename the file to 1 to 64 letters, digits, `-`, `_` or `.`").into());
        }
        let own = self.configs.get(&*name).cloned().unwrap_or_default();
        let text = |pick: fn(&Description) -> &String| description.as_ref().map(|d| pick(d).clone());
        Ok(Plugin {
            version: text(|d| &d.version).unwrap_or_else(|| "unknown".into()).into(),
            summary: text(|d| &d.summary),
            config_schema: description.and_then(|d| d.config_schema),
            name,
            hash: hash.into(),
            config: Arc::new(ConfigText::new(&own.config)),
            limits: own.limits,
            permits: Arc::new(Semaphore::new(self.calls_per_plugin)),
            pre: pre_hook,
            post: post_hook,
            shared: self.shared.clone(),
        })
    }

    fn check_imports(&self, component: &Component) -> Result<(), String> {
        let ty = component.component_type();
        let names: Vec<String> = ty.imports(&self.shared.engine).map(|(name, _)| name.to_owned()).collect();
        let known = |name: &str| name.starts_with("cofferdam:hooks/") || WASI.iter().any(|prefix| name.starts_with(prefix));
        let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| !known(name)).collect();
        match unknown.as_slice() {
            [] => Ok(()),
            names => Err(format!(
                "it imports {}, which this host does not offer; plugins get cofferdam:hooks/log, cofferdam:hooks/config and an empty WASI 0.2",
                names.join(", ")
            )),
        }
    }

    fn mismatch(&self, error: &wasmtime::Error) -> String {
        let cause = error.root_cause().to_string();
        format!(
            "its imports do not fit this host: {error}: {} (it was built against another version of the contract; rebuild it against cofferdam:hooks@0.1.0)",
            first_line(&cause)
        )
    }

    fn no_hook(&self, component: &Component) -> String {
        let ty = component.component_type();
        let exports: Vec<&str> = ty.exports(&self.shared.engine).map(|(name, _)| name).take(8).collect();
        let ours =
            exports.iter().any(|name| name.starts_with("cofferdam:hooks/pre-hook@") || name.starts_with("cofferdam:hooks/post-hook@"));
        let found = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        if ours {
            return format!(
                "its hook has another shape than cofferdam:hooks@0.1.0 (it exports {found}); rebuild it against this version of the contract"
            );
        }
        format!(
            "it exports {found}, but a plugin exports cofferdam:hooks/pre-hook@0.1.0 or cofferdam:hooks/post-hook@0.1.0; see wit/ for the contract"
        )
    }

    /// Asks the component who it is, under the limits that a hook has by default.
    async fn describe(&self, stem: &str, linked: InstancePre<State>) -> Result<Option<Description>, Refusal> {
        let Ok(plugin) = described::DescribedPre::new(linked) else { return Ok(None) };
        // Its name is what is asked for; cargo writes `_` into the file's name where the package has `-`.
        let guess = own_name(stem);
        let mut limits = self.configs.get(&guess).map_or_else(Limits::default, |config| config.limits.clone());
        // No request waits for it, and the machine may be busy with those that do not.
        limits.time *= DESCRIBE_TIMES;
        let call = Call {
            plugin: &guess.as_str().into(),
            version: &"unknown".into(),
            hook: "describe",
            limits: &limits,
            config: &Arc::new(ConfigText::new(&serde_json::Map::new())),
            permits: &Arc::new(Semaphore::new(1)),
            request: "load".into(),
            shared: &self.shared,
        };
        let describe = async |store: &mut wasmtime::Store<State>| {
            let instance = plugin.instantiate_async(&mut *store).await?;
            instance.cofferdam_hooks_plugin().call_describe(store).await
        };
        let called = match call.permit().await {
            Ok(_place) => call.run(describe, |described| check_description(described).map_err(FaultKind::Invalid)).await,
            Err(fault) => Err(fault),
        };
        called.map(Some).map_err(|fault| match fault.kind {
            FaultKind::Busy | FaultKind::Host(_) | FaultKind::Exhausted(Exhausted::Time(_)) => Refusal::Passing(fault.to_string()),
            _ => Refusal::Unfit(fault.to_string()),
        })
    }
}

type Description = described::exports::cofferdam::hooks::plugin::Description;

impl Verdict for Description {
    fn word(&self) -> &'static str {
        "ok"
    }
}

/// The name that a file's name stands for.
pub(super) fn own_name(stem: &str) -> String {
    stem.replace('_', "-")
}

/// What a pipeline can name.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn check_description(mut description: Description) -> Result<Description, String> {
    let name = &description.name;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(format!("its describe() names it `{shown}`; a name is 1 to 64 lower-case letters, digits or `-`"));
    }
    if let Some(schema) = &description.config_schema
        && let Err(error) = serde_json::from_str::<serde_json::Value>(schema)
    {
        return Err(format!("the config-schema of its describe() is no valid JSON: {error}"));
    }
    for text in [&mut description.version, &mut description.summary] {
        let cut: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect();
        *text = cut;
    }
    Ok(description)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
