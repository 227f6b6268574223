//! The functions of `cofferdam:hooks/kv`, linked for one plugin that was granted them. Whose keys a call meets is decided here, by the call's
//! own client and the plugin's own name: nothing that a guest hands over can name another bucket.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::bucket::Kv;
use super::store::{self, Bucket, KvError, KvStore};
use super::terms::KvTerms;
use crate::sandbox::Hook;
use crate::sandbox::bindings::kv::{Entry, Scope, WriteOptions};
use crate::sandbox::bindings::types::{Data, Failure};
use crate::sandbox::capability::outcome;
use crate::sandbox::env::CallEnv;
use crate::sandbox::grant::Granted;

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/kv@0.2.0";

/// What every function returns: a list of one result, or the end of the call.
type Answer<T> = wasmtime::Result<(Result<T, Failure>,)>;

/// Adds its functions, for a plugin that was granted them. `env` finds the call in the store's data.
pub(in crate::sandbox) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    granted: Granted<KvTerms>,
    store: Arc<dyn KvStore>,
    plugin: Arc<str>,
    env: fn(&T) -> &Arc<CallEnv>,
) -> wasmtime::Result<()> {
    let kv = Arc::new(Kv::new(store, plugin, *granted));
    let asked = move |store: StoreContextMut<'_, T>| Asked { kv: kv.clone(), env: env(store.data()).clone() };
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap_async("get", {
        let asked = asked.clone();
        move |store, (scope, key): (Scope, String)| {
            let it = asked(store);
            Box::new(async move {
                let (found,) = it.answer(it.kv.get(&it.bucket(scope), &key)).await?;
                Ok((found.map(|entry| entry.map(handed_over)),))
            })
        }
    })?;
    interface.func_wrap_async("set", {
        let asked = asked.clone();
        move |store, (scope, key, value, options): (Scope, String, Data, WriteOptions)| {
            let it = asked(store);
            let WriteOptions { ttl, relaxed } = options;
            Box::new(async move { it.answer(it.kv.set(&it.bucket(scope), &key, bytes(value), ttl, relaxed)).await })
        }
    })?;
    interface.func_wrap_async("delete", {
        let asked = asked.clone();
        move |store, (scope, key): (Scope, String)| {
            let it = asked(store);
            Box::new(async move { it.answer(it.kv.delete(&it.bucket(scope), &key)).await })
        }
    })?;
    interface.func_wrap_async("keys", {
        let asked = asked.clone();
        move |store, (scope, prefix, after, limit): (Scope, String, Option<String>, u32)| {
            let it = asked(store);
            Box::new(async move { it.answer(it.kv.keys(&it.bucket(scope), &prefix, after.as_deref(), limit)).await })
        }
    })?;
    interface.func_wrap_async("increment", {
        let asked = asked.clone();
        move |store, (scope, key, by, options): (Scope, String, f64, WriteOptions)| {
            let it = asked(store);
            let WriteOptions { ttl, relaxed } = options;
            Box::new(async move { it.answer(it.kv.increment(&it.bucket(scope), &key, by, ttl, relaxed)).await })
        }
    })?;
    interface.func_wrap_async(
        "swap",
        move |store, (scope, key, expected, value, options): (Scope, String, Option<String>, Data, WriteOptions)| {
            let it = asked(store);
            let WriteOptions { ttl, relaxed } = options;
            Box::new(async move { it.answer(it.kv.swap(&it.bucket(scope), &key, expected.as_deref(), bytes(value), ttl, relaxed)).await })
        },
    )
}

/// One host call on its way.
struct Asked {
    kv: Arc<Kv>,
    env: Arc<CallEnv>,
}

impl Asked {
    fn bucket(&self, scope: Scope) -> Bucket {
        match scope {
            Scope::Plugin => self.kv.own(),
            Scope::Caller => self.kv.of(&self.env.client),
        }
    }

    /// Asks the store, on the call's clock of waiting.
    async fn answer<T>(&self, work: impl Future<Output = Result<T, KvError>>) -> Answer<T> {
        let answer = match self.env.hook {
            // A plugin that is being loaded may be refused yet, and has no caller.
            Hook::Describe => Err(Failure::Denied("`describe` may not use `kv`; use it in a hook".to_owned())),
            _ => self.env.clocks.waiting(work).await.map_err(|error| self.failure(error)),
        };
        self.env.figures.host_call("kv", outcome::word(&answer));
        Ok((answer,))
    }

    fn failure(&self, error: KvError) -> Failure {
        let text = error.to_string();
        match error {
            KvError::KeyTooLong { .. } | KvError::ValueTooLarge { .. } | KvError::Invalid(_) => Failure::Invalid(text),
            KvError::QuotaBytes { .. } | KvError::QuotaKeys { .. } | KvError::Full { .. } => Failure::Exhausted(text),
            // Its causes name files of the server's, which are nothing for a plugin.
            KvError::Store(_) => {
                if let Some(calls) = self.env.told.due("kv", 1) {
                    let (plugin, request) = (&*self.env.plugin, &*self.env.request);
                    tracing::error!(plugin, request, calls, error = text, "what plugins keep cannot be read or written");
                }
                Failure::Unavailable("the store cannot be read or written now; the server's log says why".to_owned())
            }
        }
    }
}

fn bytes(value: Data) -> Vec<u8> {
    match value {
        Data::Text(text) => text.into_bytes(),
        Data::Bytes(bytes) => bytes,
    }
}

/// An entry in the contract's shape: text exactly where the bytes are valid UTF-8.
fn handed_over(entry: store::Entry) -> Entry {
    let store::Entry { value, version } = entry;
    let value = String::from_utf8(value).map_or_else(|error| Data::Bytes(error.into_bytes()), Data::Text);
    Entry { value, version }
}
