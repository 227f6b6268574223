//! The names of the contract in `wit/`: what a component exports and imports of it, in which version, and what to tell an author whose
//! component was built against another one. The version stands here and in `wit/`, and nowhere else in the host.

use super::Hook;
use super::capability::log::harmless;

/// The version that this host serves. Later patches of it are the same to the linker.
pub(super) const VERSION: &str = "0.2.0";
const COMPATIBLE: &str = "0.2.";
const PACKAGE: &str = "cofferdam:hooks/";
/// Where an author finds the contract.
const REMEDY: &str = "rebuild it against cofferdam:hooks@0.2.0, with the `wit/` or the Rust SDK of this version";
/// Names in one message, and bytes of each: a component chooses how many it has and how long they are.
const NAMES_MAX: usize = 8;
const NAME_BYTES_MAX: usize = 100;

/// The interfaces that a component may import, and the one that holds the shared types.
const IMPORTS: [&str; 9] = ["shapes", "log", "config", "metrics", "kv", "llm", "knowledge", "http", "reply"];

/// An interface that a component may export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Its name in the contract.
    pub(super) interface: &'static str,
    /// Its exact name, as the linker looks it up.
    pub(super) export: &'static str,
    /// The hook by which the host calls it.
    pub(super) hook: Hook,
}

pub(super) const PLUGIN: Kind = Kind { interface: "plugin", export: "cofferdam:hooks/plugin@0.2.0", hook: Hook::Describe };
pub(super) const PRE_HOOK: Kind = Kind { interface: "pre-hook", export: "cofferdam:hooks/pre-hook@0.2.0", hook: Hook::Pre };
pub(super) const POST_HOOK: Kind = Kind { interface: "post-hook", export: "cofferdam:hooks/post-hook@0.2.0", hook: Hook::Post };
pub(super) const STREAM_HOOK: Kind = Kind { interface: "stream-hook", export: "cofferdam:hooks/stream-hook@0.2.0", hook: Hook::Stream };
pub(super) const DONE_HOOK: Kind = Kind { interface: "done-hook", export: "cofferdam:hooks/done-hook@0.2.0", hook: Hook::Done };
pub(super) const MODEL: Kind = Kind { interface: "model", export: "cofferdam:hooks/model@0.2.0", hook: Hook::Answer };
pub(super) const EMBEDDER: Kind = Kind { interface: "embedder", export: "cofferdam:hooks/embedder@0.2.0", hook: Hook::Embed };

/// Every interface that a component may export.
pub(super) const KINDS: [Kind; 7] = [PLUGIN, PRE_HOOK, POST_HOOK, STREAM_HOOK, DONE_HOOK, MODEL, EMBEDDER];

/// A function in the style of the web, which is a hook too: WASI's own interface, of any patch, as the linker takes them for the same.
pub(super) const HANDLER: &str = "wasi:http/incoming-handler@0.2.0";

impl Kind {
    /// Whether it is called to serve requests.
    pub(super) fn is_served(self) -> bool {
        self.hook != Hook::Describe
    }
}

/// Whether the linker takes one name for the other: they are the same, or differ in the patch of their version only.
pub(super) fn is_same(name: &str, other: &str) -> bool {
    let track = |name: &str| -> Option<(String, String)> {
        let (interface, version) = name.split_once('@')?;
        let (minor, patch) = version.rsplit_once('.')?;
        let plain = version.bytes().all(|b| b.is_ascii_digit() || b == b'.') && !minor.starts_with("0.0") && !patch.is_empty();
        plain.then(|| (interface.to_owned(), minor.to_owned()))
    };
    name == other || track(name).is_some_and(|name| track(other).is_some_and(|other| name == other))
}

/// The interface's name, if it is one of the package's in any version.
pub(super) fn of_the_package(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

/// Checks the versions of what a component exports and imports of the package.
///
/// # Errors
/// A sentence for the plugin's author: it was built against another version.
pub(super) fn check_versions(exports: &[&str], imports: &[&str]) -> Result<(), String> {
    let ours =
        |names: &[&'_ str], what: &str| match names.iter().filter_map(|name| of_the_package(name)).find(|(_, version)| !fits(version)) {
            None => Ok(()),
            Some((interface, version)) => Err(other_version(interface, version, what)),
        };
    ours(exports, "exports")?;
    ours(imports, "imports")
}

/// Checks the names of what a component exports.
///
/// # Errors
/// A sentence for the plugin's author: it exports nothing that this version calls.
pub(super) fn check_exports(exports: &[&str]) -> Result<(), String> {
    let ours: Vec<(&str, &str)> = exports.iter().filter_map(|name| of_the_package(name)).collect();
    let kind = |(interface, _): &(&str, &str)| KINDS.into_iter().find(|kind| kind.interface == *interface);
    let kinds: Vec<Kind> = ours.iter().filter_map(kind).collect();
    if let Some(twice) = kinds.iter().enumerate().find_map(|(at, kind)| kinds[..at].contains(kind).then_some(kind)) {
        return Err(format!("it exports `{}` in two versions; leave one of them out", twice.interface));
    }
    match exports.iter().filter(|name| is_same(HANDLER, name)).count() {
        0 => {}
        1 => {
            let Some(twice) = kinds.iter().find(|kind| matches!(kind.hook, Hook::Pre | Hook::Post)) else { return Ok(()) };
            let interface = twice.interface;
            return Err(format!("it exports `{interface}` and `wasi:http/incoming-handler`, which is a hook too; leave one of them out"));
        }
        _ => return Err("it exports `wasi:http/incoming-handler` in two versions; leave one of them out".into()),
    }
    if kinds.iter().any(|kind| kind.is_served()) {
        return Ok(());
    }
    let found = shown(exports).unwrap_or_else(|| "nothing".to_owned());
    let any = any_of(KINDS.into_iter().filter(|kind| kind.is_served()));
    Err(format!(
        "it exports {found}, but a plugin exports {any} of cofferdam:hooks@{VERSION}, or `incoming-handler` of wasi:http@0.2; see wit/ for the contract"
    ))
}

/// Whether the contract has such an import.
pub(super) fn is_import(name: &str) -> bool {
    of_the_package(name).is_some_and(|(interface, _)| IMPORTS.contains(&interface))
}

fn fits(version: &str) -> bool {
    version.strip_prefix(COMPATIBLE).is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

fn other_version(interface: &str, version: &str, what: &str) -> String {
    let (interface, version) = (harmless(interface, NAME_BYTES_MAX), harmless(version, NAME_BYTES_MAX));
    format!(
        "it was built against cofferdam:hooks@{version} (it {what} `{interface}` of it), and this host serves cofferdam:hooks@{VERSION}; {REMEDY}"
    )
}

/// The sentence for an export or an import that has the right name and another type.
pub(super) fn other_shape(what: &str, cause: &str) -> String {
    format!("{what} than cofferdam:hooks@{VERSION} of this host: {cause}; {REMEDY}")
}

/// Some of the names that a component chose, fit for a message; none if there are none.
pub(super) fn shown(names: &[&str]) -> Option<String> {
    let some: Vec<String> = names.iter().take(NAMES_MAX).map(|name| harmless(name, NAME_BYTES_MAX)).collect();
    let more = if names.len() > NAMES_MAX { " and more" } else { "" };
    (!some.is_empty()).then(|| some.join(", ") + more)
}

fn any_of(kinds: impl Iterator<Item = Kind>) -> String {
    let names: Vec<String> = kinds.map(|kind| format!("`{}`", kind.interface)).collect();
    match names.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}
