//! `[providers.NAME]`: who may be asked for a completion. `openai` and `builtin` are there without an entry.
//! Secrets never stand in the file. Must not know how a provider is spoken to.

use std::collections::BTreeMap;

use ::http::Uri;

use super::json::quote;
use super::print::Printer;
use super::section::{Entry, Section};
use crate::llm::{Kind, ProviderConfig};
use crate::pipeline::definition::is_name;

/// The seed's other vendors; their dialects come later.
const LATER: [&str; 4] = ["anthropic", "gemini", "azure-openai", "workers-ai"];

/// What people try to write into the file.
const SECRETS: [&str; 9] = ["api_key", "api-key", "apikey", "key", "secret", "secret_key", "secret_key_name", "token", "password"];

/// `providers` holds those that need no entry.
pub(super) fn read(section: &mut Section<'_>, providers: &mut BTreeMap<String, ProviderConfig>) {
    for (name, entry) in section.rest() {
        if !is_name(&name) {
            entry.problem("a provider's name must be 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        // A provider with a problem still counts as one, so that pipelines which name it are not blamed too.
        let slot = providers.entry(name.clone()).or_insert(ProviderConfig { kind: Kind::OpenAi, base_url: String::new() });
        entry.table(|section| provider(section, &name, slot));
    }
}

pub(super) fn print(printer: &mut Printer, providers: &BTreeMap<String, ProviderConfig>) {
    for (name, provider) in providers {
        printer.named(name, |printer| match provider.kind {
            Kind::Builtin => printer.entry("kind", "\"builtin\""),
            Kind::OpenAi => {
                printer.entry("kind", "\"openai\"");
                printer.entry("base_url", &quote(&provider.base_url));
            }
        });
    }
}

/// Why a pipeline cannot name `provider`; none where it can.
pub(super) fn unknown(provider: &str, providers: &BTreeMap<String, ProviderConfig>) -> Option<String> {
    if providers.contains_key(provider) {
        None
    } else if LATER.contains(&provider) {
        Some(format!("provider {provider:?} is not supported yet"))
    } else {
        let known: Vec<_> = providers.keys().map(String::as_str).collect();
        Some(format!("there is no provider {provider:?}; known are {}", known.join(", ")))
    }
}

fn provider(section: &mut Section<'_>, name: &str, slot: &mut ProviderConfig) {
    section.refuse(&SECRETS, "secrets come from the environment: name it with `secret_key_name` in the pipeline");
    let given = match section.take("kind") {
        Some(entry) => kind(&entry),
        None => own_kind(section, name),
    };
    let base_url = section.take("base_url");
    // Without a kind nothing can be said of the rest.
    let Some(given) = given else { return };
    match (given, base_url) {
        (Kind::Builtin, None) => *slot = ProviderConfig { kind: given, base_url: String::new() },
        (Kind::Builtin, Some(entry)) => entry.problem("the built-in provider runs inside this program and has no base_url"),
        (Kind::OpenAi, Some(entry)) => {
            if let Some(url) = base_url_of(&entry) {
                *slot = ProviderConfig { kind: given, base_url: url };
            }
        }
        // It keeps the one that it has without an entry.
        (Kind::OpenAi, None) if !slot.base_url.is_empty() => {}
        (Kind::OpenAi, None) => section.missing("base_url", "where this provider listens, such as \"http://127.0.0.1:8000/v1\""),
    }
}

/// The kind that goes without saying.
fn own_kind(section: &Section<'_>, name: &str) -> Option<Kind> {
    match name {
        "openai" => Some(Kind::OpenAi),
        "builtin" => Some(Kind::Builtin),
        _ if LATER.contains(&name) => {
            section.missing(
                "kind",
                &format!("{name} is not supported yet; kind = \"openai\" with a base_url reaches an OpenAI-compatible endpoint"),
            );
            None
        }
        _ => {
            section.missing("kind", "\"openai\" for every OpenAI-compatible server");
            None
        }
    }
}

fn kind(entry: &Entry<'_>) -> Option<Kind> {
    match entry.text() {
        Some("openai") => return Some(Kind::OpenAi),
        Some("builtin") => return Some(Kind::Builtin),
        Some(later) if LATER.contains(&later) => {
            entry.problem(format!("kind {later:?} is not supported yet; known are \"openai\" and \"builtin\""))
        }
        _ => entry.wrong("\"openai\" or \"builtin\""),
    }
    None
}

/// An absolute URL without query. User and password in it would be a secret in the file, so such a text is not repeated either.
fn base_url_of(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text().unwrap_or_default().trim_end_matches('/');
    let uri = text.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if text.contains('@') {
        entry.problem("must not hold a user or password; secrets come from the environment");
    } else if uri.is_some() && text.contains(['?', '#']) {
        entry.problem("must not have a query or fragment");
    } else if uri.is_some() {
        return Some(text.to_owned());
    } else {
        entry.wrong("a URL such as \"http://127.0.0.1:8000/v1\"");
    }
    None
}
