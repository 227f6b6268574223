//! Which imports a component may have: the capabilities by their names, and the empty WASI. An import that is on neither list is refused
//! by its name, before anything of the component is compiled.

use super::capability::{self, Capability};
use super::{contract, wasi};

/// The contract's shared types, which components import beside a capability; there is nothing in it to call.
const SHAPES: &str = "cofferdam:hooks/shapes@0.2.0";

/// The capabilities among a component's imports.
///
/// # Errors
/// A sentence for the plugin's author: every import that this host does not have, and what to do.
pub(super) fn check(imports: &[&str], offered: &[Capability]) -> Result<Vec<Capability>, String> {
    let (mut wanted, mut unknown) = (Vec::<Capability>::new(), Vec::new());
    for import in imports {
        match offered.iter().find(|capability| contract::is_same(capability.interface, import)) {
            // Two patches of one interface are one capability.
            Some(capability) if wanted.iter().any(|known| known.interface == capability.interface) => {}
            Some(capability) => wanted.push(*capability),
            None if contract::is_same(SHAPES, import) || wasi::is_linked(import) => {}
            None => unknown.push(*import),
        }
    }
    if unknown.is_empty() { Ok(wanted) } else { Err(refusal(&unknown, offered)) }
}

/// A component made from JavaScript or Python imports all that its tools or its world name, whether anything calls it or not.
fn refusal(unknown: &[&str], offered: &[Capability]) -> String {
    let names = contract::shown(unknown).unwrap_or_default();
    let offered = capability::names(offered.iter());
    let has = format!("plugins get {} of cofferdam:hooks@{} and an empty WASI 0.2", offered.join(", "), contract::VERSION);
    if unknown.iter().all(|name| contract::is_import(name)) {
        return format!(
            "it imports {names}, and this version of cofferdam has no such capability; {has}; rebuild it without, in JavaScript and Python by \
             leaving it out of the plugin's world, where an import stays even if nothing calls it"
        );
    }
    format!(
        "it imports {names}, which this host does not offer; {has}; rebuild it without what needs them, in JavaScript with \
         `jco componentize --disable all`, in Python with `componentize-py componentize --stub-wasi`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http_of_wasi_is_the_capability_http_and_its_types_are_everybodys() {
        let found = |imports: &[&str]| check(imports, capability::ALL).map(|wanted| wanted.iter().map(|one| one.name).collect::<Vec<_>>());
        assert_eq!(found(&["wasi:http/types@0.2.0"]), Ok(vec![]));
        assert_eq!(found(&["wasi:http/types@0.2.10", "wasi:http/outgoing-handler@0.2.10"]), Ok(vec!["http"]));
        let other = found(&["wasi:http/outgoing-handler@0.3.0"]).expect_err("it is not linked");
        assert!(
            other.contains("jco componentize --disable all") && other.contains("kv, http, knowledge, llm of cofferdam:hooks"),
            "{other}"
        );
    }

    #[test]
    fn a_message_names_some_imports_and_a_piece_of_each() {
        let long = "x".repeat(90_000) + "\x1b[2J";
        let refused = |count: usize| check(&vec![&*long; count], capability::ALL).map(|_| ()).expect_err("unknown");
        assert!(refused(300).len() < 1_200 && refused(300).contains("… and more, which"), "{}", refused(300));
        assert!(!refused(8).contains("and more"), "all of them are named");
        assert_eq!(contract::shown(&["a\nb\x1b"]).as_deref(), Some("a\u{fffd}b\u{fffd}"));
        assert_eq!(contract::shown(&[]), None);
    }
}
