//! Which imports a component may have: the capabilities by their exact names, and the empty WASI.
//! An import that is on neither list is refused by its name, before anything of the component is compiled.

use super::capability::Capability;
use super::capability::log::harmless;
use super::wasi;

/// The contract's shared types, which components import beside a capability; there is nothing in it to call.
const TYPES: &str = "cofferdam:hooks/types@0.1.0";
/// Names in one message, and bytes of each: a component chooses how many it has and how long they are.
const NAMES_MAX: usize = 8;
const NAME_BYTES_MAX: usize = 100;

/// The capabilities among a component's imports.
///
/// # Errors
/// A sentence for the plugin's author: every import that this host does not have, and what to do.
pub(super) fn check(imports: &[&str], offered: &[Capability]) -> Result<Vec<Capability>, String> {
    let (mut wanted, mut unknown) = (Vec::new(), Vec::new());
    for import in imports {
        match offered.iter().find(|capability| capability.interface == *import) {
            Some(capability) => wanted.push(*capability),
            None if *import == TYPES || wasi::is_linked(import) => {}
            None => unknown.push(*import),
        }
    }
    if unknown.is_empty() { Ok(wanted) } else { Err(refusal(&unknown, offered)) }
}

/// Some of the names that a component chose, fit for a message; none if there are none.
pub(super) fn shown(names: &[&str]) -> Option<String> {
    let some: Vec<String> = names.iter().take(NAMES_MAX).map(|name| harmless(name, NAME_BYTES_MAX)).collect();
    let more = if names.len() > NAMES_MAX { " and more" } else { "" };
    (!some.is_empty()).then(|| some.join(", ") + more)
}

fn refusal(unknown: &[&str], offered: &[Capability]) -> String {
    let names = shown(unknown).unwrap_or_default();
    let offered: Vec<&str> = offered.iter().map(|capability| capability.interface).collect();
    let remedy = if unknown.iter().any(|name| name.starts_with("cofferdam:hooks/")) {
        "rebuild it against cofferdam:hooks@0.1.0"
    } else {
        "rebuild it without what needs them"
    };
    format!("it imports {names}, which this host does not offer; plugins get {} and an empty WASI 0.2; {remedy}", offered.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::capability;

    #[test]
    fn a_message_names_some_imports_and_a_piece_of_each() {
        let long = "x".repeat(90_000) + "\x1b[2J";
        let refused = |count: usize| check(&vec![&*long; count], capability::ALL).map(|_| ()).expect_err("unknown");
        assert!(refused(300).len() < 1_200 && refused(300).contains("… and more, which"), "{}", refused(300));
        assert!(!refused(NAMES_MAX).contains("and more"), "all of them are named");
        assert_eq!(shown(&["a\nb\x1b"]).as_deref(), Some("a\u{fffd}b\u{fffd}"));
        assert_eq!(shown(&[]), None);
    }
}
