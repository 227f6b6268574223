//! The capability `config`: what the operator wrote under `[plugins.NAME] config`, as JSON texts made once at load. It needs no grant.
//! A plugin sees its own values only, and no call copies them on the host's side.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use wasmtime::component::Linker;

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/config@0.2.0";

/// One plugin's values, ready to hand over.
struct Texts {
    all: Arc<str>,
    by_key: BTreeMap<String, Arc<str>>,
}

/// Adds its functions, which answer with these values.
pub(in crate::sandbox) fn link<T: 'static>(linker: &mut Linker<T>, values: &Map<String, Value>) -> wasmtime::Result<()> {
    let texts = Arc::new(Texts {
        all: Value::Object(values.clone()).to_string().into(),
        by_key: values.iter().map(|(key, value)| (key.clone(), value.to_string().into())).collect(),
    });
    let mut interface = linker.instance(INTERFACE)?;
    let all = texts.clone();
    interface.func_wrap("all", move |_, ()| Ok((all.all.clone(),)))?;
    interface.func_wrap("get", move |_, (key,): (String,)| Ok((texts.by_key.get(&key).cloned(),)))
}
