//! The capability `config`: the plugin's settings as they were when the call began, as JSON texts that were made when they changed last. It
//! needs no grant. A plugin sees its own settings only, and no call copies them on the host's side.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::sandbox::settings::Texts;

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/config@0.2.0";

/// Adds its functions, which answer with the call's settings.
pub(in crate::sandbox) fn link<T: 'static>(linker: &mut Linker<T>, settings: fn(&T) -> &Arc<Texts>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap("all", move |store: StoreContextMut<'_, T>, ()| Ok((settings(store.data()).all(),)))?;
    interface.func_wrap("get", move |store: StoreContextMut<'_, T>, (key,): (String,)| Ok((settings(store.data()).get(&key),)))
}
