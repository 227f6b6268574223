//! Which imports a component may have: the capabilities by their exact names, and the empty WASI.
//! An import that is on neither list is refused by its name, before anything of the component runs.

use wasmtime::Engine;
use wasmtime::component::Component;

use super::capability::Capability;
use super::wasi;

/// The contract's shared types, which components import beside a capability; there is nothing in it to call.
const TYPES: &str = "cofferdam:hooks/types@0.1.0";
/// Names in one message: a component chooses how many it has.
const NAMES_MAX: usize = 8;

/// The capabilities that the component imports.
///
/// # Errors
/// A sentence for the plugin's author: every import that this host does not have, and what to do.
pub(super) fn check(component: &Component, engine: &Engine, offered: &[Capability]) -> Result<Vec<Capability>, String> {
    let ty = component.component_type();
    let (mut wanted, mut unknown) = (Vec::new(), Vec::new());
    for (import, _) in ty.imports(engine) {
        match offered.iter().find(|capability| capability.interface == import) {
            Some(capability) => wanted.push(*capability),
            None if import == TYPES || wasi::is_linked(import) => {}
            None => unknown.push(import),
        }
    }
    if unknown.is_empty() { Ok(wanted) } else { Err(refusal(&unknown, offered)) }
}

fn refusal(unknown: &[&str], offered: &[Capability]) -> String {
    let more = if unknown.len() > NAMES_MAX { " and more" } else { "" };
    let names = unknown[..unknown.len().min(NAMES_MAX)].join(", ");
    let offered: Vec<&str> = offered.iter().map(|capability| capability.interface).collect();
    let remedy = if unknown.iter().any(|name| name.starts_with("cofferdam:hooks/")) {
        "rebuild it against cofferdam:hooks@0.1.0"
    } else {
        "rebuild it without what needs them"
    };
    format!("it imports {names}{more}, which this host does not offer; plugins get {} and an empty WASI 0.2; {remedy}", offered.join(", "))
}
