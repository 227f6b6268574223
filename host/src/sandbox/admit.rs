//! From a file's bytes to a plugin that may serve: looked at, compiled, linked to what it may call, asked who it is.
//! Every refusal says what to do. Nothing is published here: a plugin that fails was never there.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use super::bindings::plugin::Description;
use super::bindings::types;
use super::call::{Callee, Verdict};
use super::capability::log::harmless;
use super::capability::{Capability, Given, LinkError, Ports};
use super::compile::Cache;
use super::exports::{Exports, imports_differ};
use super::inspect::inspect;
use super::models::Models;
use super::nested::Copies;
use super::outline::Outline;
use super::plugin::Plugin;
use super::refusal::{Refusal, not_compiled, short};
use super::scope::{Declared, Scope};
use super::settings::{Live, told};
use super::shared::Shared;
use super::store::State;
use super::{Exhausted, Fault, FaultKind, Hook, PluginConfig, ServerLimits, contract, imports, nested, wasi_http};
use crate::chat::{NAME_RULE, is_name};

/// Bytes of each of a plugin's own texts that are kept.
const TEXT_BYTES_MAX: usize = 500;
/// Bytes of the schema of its configuration, which stands in every list of plugins.
const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// A describe call may take this many times a hook's limit of time.
const DESCRIBE_TIMES: u32 = 10;

/// What of a component is known without compiling it.
#[derive(Clone, Default)]
pub(super) struct Looked {
    wanted: Vec<Capability>,
    copies: Copies,
}

/// Makes plugins of bytes.
pub(super) struct Admission {
    shared: Arc<Shared>,
    pub(super) cache: Arc<Cache>,
    pub(super) configs: BTreeMap<String, PluginConfig>,
    /// Of one plugin: hook calls at once, and stream hooks.
    per_plugin: (usize, usize),
    limits: ServerLimits,
    capabilities: &'static [Capability],
    pub(super) ports: Ports,
    /// What every plugin gets; its capabilities are added to a copy.
    linker: Linker<State>,
}

impl Admission {
    pub(super) fn new(
        shared: Arc<Shared>,
        cache: Cache,
        configs: BTreeMap<String, PluginConfig>,
        limits: ServerLimits,
        capabilities: &'static [Capability],
        ports: Ports,
    ) -> wasmtime::Result<Self> {
        ports.outside.resize(&limits);
        let mut linker = Linker::new(&shared.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasi_http::link_types(&mut linker)?;
        types::add_to_linker::<_, HasTypes>(&mut linker, |_| NoFunctions)?;
        let per_plugin = (limits.calls_per_plugin as usize, limits.streams_per_plugin as usize);
        Ok(Self { shared, cache: Arc::new(cache), configs, per_plugin, limits, capabilities, ports, linker })
    }

    /// Looks at the bytes without compiling them. `stem` is the file's name without `.wasm`.
    ///
    /// # Errors
    /// Why they can be no plugin of that file.
    pub(super) fn look(&self, stem: &str, bytes: &[u8]) -> Result<Looked, Refusal> {
        if !is_name(stem) {
            return Err(format!("it is called `{stem}` after its file; rename the file to {NAME_RULE}").into());
        }
        inspect(bytes)?;
        let copies = nested::check(bytes)?;
        let outline = Outline::read(bytes).map_err(|why| not_compiled(&why))?;
        let (image, limit) = (outline.image_bytes, self.limits.image_bytes);
        if image > limit {
            let key = "limits.plugins.image_bytes";
            return Err(
                format!("its initial memories and tables take {image} bytes with their gaps, more than {limit} (raise `{key}`)").into()
            );
        }
        contract::check_versions(&outline.exports, &outline.imports)?;
        let wanted = imports::check(&outline.imports, self.capabilities)?;
        self.linker(&wanted, &own_name(stem), self.own(stem))?;
        contract::check_exports(&outline.exports)?;
        Ok(Looked { wanted, copies })
    }

    /// Admits the component that was compiled of what was looked at, or says why not.
    pub(super) async fn admit(&self, stem: &str, component: &Component, looked: &Looked, hash: &str) -> Result<Plugin, Refusal> {
        // Its name is what it is asked for, so the file's name stands for it. It gets its settings once its name is certain.
        let (guess, own) = (own_name(stem), self.own(stem));
        let exports = self.link(component, &looked.wanted, &guess, own)?;
        let description = self.describe(&guess, own, looked.copies, exports).await?;
        if let Some(Description { name, .. }) = &description
            && *name != guess
        {
            // A name brings a place in pipelines and the operator's configuration, perhaps secrets: a component cannot just claim it.
            return Err(format!(
                "it calls itself `{name}`, but only {name}.wasm may have that name; if it is that plugin, rename the file"
            )
            .into());
        }
        let name = description.as_ref().map_or(stem, |d| &d.name);
        let own = self.configs.get(name).cloned().unwrap_or_default();
        let exports = Arc::new(self.link(component, &looked.wanted, name, &own)?);
        let version = description.as_ref().map_or("unknown", |d| &d.version);
        let settings = self.settings(name, &own, description.as_ref().and_then(|d| d.settings.as_deref()))?;
        let (reads, writes) = description.as_ref().map_or((None, None), |d| (d.reads.clone(), d.writes.clone()));
        let scope = scoped(Scope::new(name, Declared { reads, writes }, &own), &exports)?;
        let ((limits, pace), (_, answers_pace)) = (looked.copies.bounds(own.limits), looked.copies.bounds(own.limits));
        let callee = Callee::new(name.into(), version.into(), limits, settings, self.per_plugin, pace, self.shared.clone());
        let model = exports.model.map(|functions| {
            let answers = callee.of_model(self.limits.model_calls_per_plugin as usize, answers_pace);
            Models::new(answers, functions, self.limits.models_per_plugin)
        });
        let embed_batch = self.limits.embed_batch();
        let (summary, config_schema) = description.map_or((None, None), |d| (Some(d.summary), d.settings));
        let (hash, wanted, copies) = (hash.into(), looked.wanted.clone(), looked.copies);
        let plugin = Plugin { callee, model, embed_batch, summary, config_schema, hash, exports, wanted, copies, scope, own };
        match plugin.ask_models().await {
            Ok(()) => Ok(plugin),
            // What it needs for its list may come later.
            Err(Fault { kind: FaultKind::Reported(why), .. }) => {
                tracing::warn!(plugin = plugin.name(), why, "the plugin cannot say yet which models it has; it is asked again later");
                Ok(plugin)
            }
            Err(fault) => Err(refusal(&fault)),
        }
    }

    /// The same with other decisions of the operator's about plugins.
    pub(super) fn renewed(&self, configs: BTreeMap<String, PluginConfig>, limits: ServerLimits) -> Self {
        let (cache, linker, capabilities, ports) = (self.cache.clone(), self.linker.clone(), self.capabilities, self.ports.clone());
        cache.set_limits(limits.clone());
        ports.outside.resize(&limits);
        let shared = if limits == self.limits { self.shared.clone() } else { Arc::new(self.shared.renewed(&limits)) };
        let per_plugin = (limits.calls_per_plugin as usize, limits.streams_per_plugin as usize);
        Self { shared, cache, configs, per_plugin, limits, capabilities, ports, linker }
    }

    /// The plugin as the operator wants it now, if that is other than when it was linked. Nothing is compiled and the component is not asked
    /// again who it is; if it is a model, it is to be asked again which models it has. If what the file says of its settings does not fit, it
    /// goes on with those that it had, and the refusal is beside it.
    ///
    /// # Errors
    /// Why it may no longer serve, for example because it imports what is no longer granted.
    pub(super) fn relinked(&self, plugin: &Plugin) -> Result<Option<(Plugin, Option<Refusal>)>, Refusal> {
        let name = plugin.name();
        let own = self.configs.get(name).cloned().unwrap_or_default();
        let as_before = own == plugin.own && plugin.callee.is_among(&self.shared);
        if as_before {
            return Ok(None);
        }
        let exports = self.link(plugin.exports.component(), &plugin.wanted, name, &own)?.into();
        let scope = scoped(plugin.scope.renewed(name, &own), &plugin.exports)?;
        let Plugin { callee, model, summary, config_schema, hash, wanted, copies, .. } = plugin;
        let (summary, config_schema, hash) = (summary.clone(), config_schema.clone(), hash.clone());
        let before = || callee.settings.clone();
        let (settings, refusal) = match (own.config != plugin.own.config).then(|| self.settings(name, &own, config_schema.as_deref())) {
            None => (before(), None),
            Some(Ok(settings)) => (Arc::new(settings), None),
            Some(Err(refusal)) => (before(), Some(refusal)),
        };
        let (limits, wanted, copies) = (copies.bounds(own.limits).0, wanted.clone(), *copies);
        let model = model.as_ref().map(|models| {
            let calls = self.limits.model_calls_per_plugin as usize;
            models.renewed(models.callee.renewed(limits, settings.clone(), (calls, None), &self.shared), self.limits.models_per_plugin)
        });
        let embed_batch = self.limits.embed_batch();
        let callee = callee.renewed(limits, settings, (self.per_plugin.0, Some(self.per_plugin.1)), &self.shared);
        Ok(Some((Plugin { callee, model, embed_batch, summary, config_schema, hash, exports, wanted, copies, scope, own }, refusal)))
    }

    /// What the plugin of that name gets as its settings: the operator's file, what is kept beside it, and the defaults of its schema.
    pub(super) fn settings(&self, name: &str, own: &PluginConfig, schema: Option<&str>) -> Result<Live, Refusal> {
        let live = Live::of(schema, &own.config, self.ports.settings.of(name).as_deref());
        live.map_err(|problems| {
            let problems = told(&problems);
            format!("its settings do not fit: {problems}; change `config` in `[plugins.{name}]`, or what was set through the API").into()
        })
    }

    /// Seconds of a processor that the operator gives a component's compiling.
    pub(super) fn compile_time(&self) -> Duration {
        self.limits.compile_time
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// What the operator decided about the plugin of that file. A component that describes itself has `-` where cargo wrote `_`.
    pub(super) fn own(&self, stem: &str) -> &PluginConfig {
        static DEFAULT: LazyLock<PluginConfig> = LazyLock::new(PluginConfig::default);
        self.configs.get(&own_name(stem)).or_else(|| self.configs.get(stem)).unwrap_or(&DEFAULT)
    }

    /// What every plugin gets, and what this one wants and may have.
    fn linker(&self, wanted: &[Capability], name: &str, own: &PluginConfig) -> Result<Linker<State>, Refusal> {
        let mut linker = self.linker.clone();
        let given = Given::new(name, &own.grants, &self.ports);
        for capability in wanted {
            (capability.link)(&mut linker, &given).map_err(|error| match error {
                LinkError::Denied(denied) => {
                    Refusal::Invalid(format!("it imports {}: {denied} to `[plugins.{name}]`", capability.interface))
                }
                LinkError::Host(error) => Refusal::Transient(format!("the host failed to link {}: {error:#}", capability.interface)),
            })?;
        }
        Ok(linker)
    }

    /// Every import and every export that is linked was compared with the contract.
    fn link(&self, component: &Component, wanted: &[Capability], name: &str, own: &PluginConfig) -> Result<Exports, Refusal> {
        let linked = self.linker(wanted, name, own)?.instantiate_pre(component).map_err(|error| imports_differ(&error))?;
        Exports::check(linked)
    }

    /// Asks the component who it is, under the limits that a hook of the plugin would have.
    async fn describe(&self, guess: &str, own: &PluginConfig, copies: Copies, exports: Exports) -> Result<Option<Description>, Refusal> {
        let Some(plugin) = exports.plugin.clone() else { return Ok(None) };
        let (mut limits, pace) = copies.bounds(own.limits);
        // No request waits for it, and the machine may be busy with those that do not.
        limits.time *= DESCRIBE_TIMES;
        let callee = Callee::new(guess.into(), "unknown".into(), limits, Live::none(), (1, 0), pace, self.shared.clone());
        let call = callee.call_of_host(Hook::Describe, "load");
        let called = match call.guest().await {
            Ok(guest) => {
                let work = async move {
                    let describe = async |store: &mut Store<State>| {
                        let instance = exports.instantiate(store).await?;
                        plugin.load(&mut *store, &instance)?.call_describe(store).await
                    };
                    let ran = guest.run(describe).await;
                    ((), ran.check(|described, _| check_description(described).map_err(FaultKind::Invalid)))
                };
                call.settle(0, work).await.1
            }
            Err(fault) => Err(fault),
        };
        called.map(Some).map_err(|fault| refusal(&fault))
    }
}

/// Why a plugin whose call failed while it was admitted is refused; what may be the machine's fault is tried again.
fn refusal(fault: &Fault) -> Refusal {
    match fault.kind {
        // Its `time` is its own running and sleeping, whatever else the machine does; what it waits for is the host's.
        FaultKind::Busy | FaultKind::Host(_) | FaultKind::Exhausted(Exhausted::Wait(_)) => Refusal::Transient(short(&fault.to_string())),
        _ => fault.to_string().into(),
    }
}

/// What a plugin reads and writes, if its hooks can be handed that.
fn scoped(scope: Result<Scope, String>, exports: &Exports) -> Result<Arc<Scope>, Refusal> {
    let scope = scope?;
    if exports.handler.is_some() && *scope.in_force() != Declared::default() {
        let why = "a function in the style of the web is handed the whole conversation and may change all of it: leave `reads` and `writes` out \
                   of its entry, or make it a hook of the contract";
        return Err(why.to_owned().into());
    }
    Ok(Arc::new(scope))
}

/// The interface of the contract's shared types has no functions.
struct NoFunctions;

struct HasTypes;

impl wasmtime::component::HasData for HasTypes {
    type Data<'a> = NoFunctions;
}

impl types::Host for NoFunctions {}

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
        return Err(format!("its describe() names it `{}`; a name is 1 to 64 lower-case letters, digits or `-`", harmless(name, 64)));
    }
    let schema_bytes = description.settings.as_ref().map_or(0, String::len);
    if schema_bytes > SCHEMA_BYTES_MAX {
        return Err(format!("the settings schema of its describe() has {schema_bytes} bytes; a plugin's may have {SCHEMA_BYTES_MAX}"));
    }
    if let Some(schema) = &description.settings
        && let Err(error) = serde_json::from_str::<serde_json::Value>(schema)
    {
        return Err(format!("the settings schema of its describe() is no valid JSON: {error}"));
    }
    for text in [&mut description.version, &mut description.summary] {
        *text = harmless(text, TEXT_BYTES_MAX);
    }
    Ok(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(schema: Option<String>, text: &str) -> Description {
        Description { name: "p".into(), version: text.into(), summary: text.into(), settings: schema, reads: None, writes: None }
    }

    #[test]
    fn a_plugins_own_texts_are_cut_and_made_harmless() {
        let texts = check_description(described(None, &format!("{}\n\x1b[2J", "é".repeat(247)))).expect("valid");
        assert_eq!(texts.summary, format!("{}\u{fffd}\u{fffd}[2J", "é".repeat(247)), "499 bytes before they were cleaned");
        let texts = check_description(described(None, &"x".repeat(8 << 20))).expect("valid");
        assert_eq!(texts.version, "x".repeat(TEXT_BYTES_MAX) + "…");
    }

    #[test]
    fn the_schema_of_a_plugins_configuration_is_limited_at_its_edge() {
        let schema = |bytes: usize| Some(format!("\"{}\"", "x".repeat(bytes - 2)));
        assert!(check_description(described(schema(SCHEMA_BYTES_MAX), "1")).is_ok());
        assert!(check_description(described(schema(SCHEMA_BYTES_MAX + 1), "1")).is_err_and(|why| why.contains("settings schema")));
    }
}
