//! The capability `pause`: a guest waits, on the host's clock, for as long as its grant allows at once. It stands for all that will wait.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::sandbox::env::CallEnv;
use crate::sandbox::grant::{Grant, Granted};

/// What a component imports to have it.
pub(super) const INTERFACE: &str = "test:capability/pause@0.1.0";

/// What an operator grants: the longest pause.
pub(super) struct Pauses {
    ms_max: u64,
}

impl Grant for Pauses {
    const CAPABILITY: &'static str = "pause";
    const EXAMPLE: &'static str = "{ ms = 1000 }";

    fn read(value: &Value) -> Result<Self, String> {
        let ms_max = value["ms"].as_u64().ok_or_else(|| format!("expected a table such as {}", Self::EXAMPLE))?;
        Ok(Self { ms_max })
    }
}

/// Adds its function, for a plugin that was granted it.
pub(super) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    granted: Granted<Pauses>,
    env: fn(&T) -> &Arc<CallEnv>,
) -> wasmtime::Result<()> {
    let granted = Arc::new(granted);
    linker.instance(INTERFACE)?.func_wrap_async("sleep", move |store: StoreContextMut<'_, T>, (ms,): (u32,)| {
        let (granted, env) = (granted.clone(), env(store.data()).clone());
        Box::new(async move {
            if u64::from(ms) > granted.ms_max {
                wasmtime::bail!("a pause of {ms} ms is more than `grants.pause.ms` allows ({})", granted.ms_max);
            }
            env.clocks.waiting(sleep_until(Instant::now() + Duration::from_millis(ms.into()))).await;
            Ok(())
        })
    })
}
