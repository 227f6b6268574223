//! From a file's bytes to a plugin that may serve: looked at, compiled, linked to what it may call, asked who it is.
//! Every refusal says what to do. Nothing is published here: a plugin that fails was never there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Map;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Linker};

use super::bindings::{described, types};
use super::call::{Callee, Shared, Verdict};
use super::capability::{Capability, Given, LinkError};
use super::compile::Cache;
use super::inspect::inspect;
use super::plugin::{Export, Plugin};
use super::refusal::Refusal;
use super::store::State;
use super::{Exhausted, FaultKind, Hook, PluginConfig, imports, nested};
use crate::chat::{NAME_RULE, is_name};

/// Characters of each of a plugin's own texts that are kept.
const TEXT_CHARS_MAX: usize = 500;
/// A describe call may take this many times a hook's limit of time.
const DESCRIBE_TIMES: u32 = 10;

/// Makes plugins of bytes.
pub(super) struct Admission {
    shared: Arc<Shared>,
    pub(super) cache: Cache,
    pub(super) configs: BTreeMap<String, PluginConfig>,
    calls_per_plugin: usize,
    capabilities: &'static [Capability],
    /// What every plugin gets; its capabilities are added to a copy.
    linker: Linker<State>,
}

impl Admission {
    pub(super) fn new(
        shared: Arc<Shared>,
        cache: Cache,
        configs: BTreeMap<String, PluginConfig>,
        calls_per_plugin: usize,
        capabilities: &'static [Capability],
    ) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&shared.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        types::add_to_linker::<_, HasTypes>(&mut linker, |_| NoFunctions)?;
        Ok(Self { shared, cache, configs, calls_per_plugin, capabilities, linker })
    }

    /// Admits the component or says why not. `stem` is the file's name without `.wasm`, the plugin's name if it gives none.
    pub(super) async fn admit(&self, stem: &str, bytes: &[u8], hash: &str) -> Result<Plugin, Refusal> {
        inspect(bytes)?;
        nested::check(bytes)?;
        let component = self.cache.load(&self.shared.engine, bytes, hash).await?;
        let wanted = imports::check(&component, &self.shared.engine, self.capabilities)?;
        // Its name is what it is asked for, so the file's name stands for it; cargo writes `_` there for a `-` of the package's. It gets its
        // configuration once its name is certain.
        let guess = own_name(stem);
        let own = self.configs.get(&guess).or_else(|| self.configs.get(stem)).cloned().unwrap_or_default();
        let linked = self.link(&component, &wanted, &guess, &PluginConfig { config: Map::new(), ..own.clone() })?;
        if let (None, None) = hooks(&linked) {
            return Err(self.no_hook(&component).into());
        }
        let description = self.describe(&guess, &own, linked).await?;
        let name = description.as_ref().map_or(stem, |d| &d.name);
        if self.configs.contains_key(name) && own_name(stem) != own_name(name) {
            // A name brings the operator's configuration, perhaps secrets, and a place in pipelines: a component cannot just claim it.
            return Err(format!("it calls itself `{name}`, which the configuration knows; only {name}.wasm may have that name").into());
        }
        if !is_name(name) {
            return Err(format!("it is called `{name}` after its file; rename the file to {NAME_RULE}").into());
        }
        let own = self.configs.get(name).cloned().unwrap_or_default();
        let (pre, post) = hooks(&self.link(&component, &wanted, name, &own)?);
        let version = description.as_ref().map_or("unknown", |d| &d.version);
        let callee = Callee::new(name.into(), version.into(), own.limits, self.calls_per_plugin, self.shared.clone());
        let (summary, config_schema) = description.map_or((None, None), |d| (Some(d.summary), d.config_schema));
        Ok(Plugin { callee, summary, config_schema, hash: hash.into(), pre, post })
    }

    /// Gives the component what it wants and may have.
    fn link(&self, component: &Component, wanted: &[Capability], name: &str, own: &PluginConfig) -> Result<InstancePre<State>, Refusal> {
        let mut linker = self.linker.clone();
        let given = Given { config: &own.config, grants: &own.grants };
        for capability in wanted {
            (capability.link)(&mut linker, &given).map_err(|error| match error {
                LinkError::Denied(denied) => {
                    Refusal::Invalid(format!("it imports {}: {denied} to `[plugins.{name}]`", capability.interface))
                }
                LinkError::Host(error) => Refusal::Transient(format!("the host failed to link {}: {error:#}", capability.interface)),
            })?;
        }
        linker.instantiate_pre(component).map_err(|error| mismatch(&error).into())
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

    /// Asks the component who it is, under the limits that a hook of the plugin would have.
    async fn describe(&self, guess: &str, own: &PluginConfig, linked: InstancePre<State>) -> Result<Option<Description>, Refusal> {
        let Ok(plugin) = described::DescribedPre::new(linked) else { return Ok(None) };
        let mut limits = own.limits;
        // No request waits for it, and the machine may be busy with those that do not.
        limits.time *= DESCRIBE_TIMES;
        let callee = Callee::new(guess.into(), "unknown".into(), limits, 1, self.shared.clone());
        let call = callee.call(Hook::Describe, &"load".into());
        let called = match call.guest().await {
            Ok(guest) => {
                let work = async move {
                    let describe = async |store: &mut Store<State>| {
                        let instance = plugin.instantiate_async(&mut *store).await?;
                        instance.cofferdam_hooks_plugin().call_describe(store).await
                    };
                    let ran = guest.run(describe).await;
                    ((), ran.check(|described| check_description(described).map_err(FaultKind::Invalid)))
                };
                call.settle(0, work).await.1
            }
            Err(fault) => Err(fault),
        };
        called.map(Some).map_err(|fault| match fault.kind {
            FaultKind::Busy | FaultKind::Host(_) | FaultKind::Exhausted(Exhausted::Time(_) | Exhausted::Wait(_)) => {
                Refusal::Transient(fault.to_string())
            }
            _ => Refusal::Invalid(fault.to_string()),
        })
    }
}

/// Its pre-hook and its post-hook.
fn hooks(linked: &InstancePre<State>) -> (Option<Arc<Export>>, Option<Arc<Export>>) {
    let find = |interface: &str, function: &str| Export::find(linked, interface, function);
    (find("cofferdam:hooks/pre-hook@0.1.0", "on-request"), find("cofferdam:hooks/post-hook@0.1.0", "on-reply"))
}

fn mismatch(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    format!(
        "its imports do not fit this host: {error}: {} (it was built against another version of the contract; rebuild it against cofferdam:hooks@0.1.0)",
        first_line(&cause)
    )
}

/// The interface of the contract's shared types has no functions.
struct NoFunctions;

struct HasTypes;

impl wasmtime::component::HasData for HasTypes {
    type Data<'a> = NoFunctions;
}

impl types::Host for NoFunctions {}

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
        let cut: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_CHARS_MAX).collect();
        *text = cut;
    }
    Ok(description)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
