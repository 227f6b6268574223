//! `[providers.NAME]`: who may be asked for a completion. Vendors whose URL is known are there without an entry.
//! Secrets never stand in the file, and a text that may be one is never repeated.

mod keys;
mod oauth;
mod values;

use std::collections::BTreeMap;

use super::json::quote;
use super::print::Printer;
use super::section::{Entry, Section};
use crate::chat::is_name;
use crate::llm::{Kind, ProviderConfig};
use values::{SECRETS, url};

/// Reads all entries into `providers`, which holds those that need none.
pub(super) fn read(section: &mut Section<'_>, providers: &mut BTreeMap<String, ProviderConfig>) {
    for (name, entry) in section.rest() {
        if !is_name(&name) {
            entry.problem("a provider's name must be 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        // A provider with a problem still counts as one, so that pipelines which name it are not blamed too.
        let provider = providers.entry(name.clone()).or_insert_with(|| ProviderConfig::new(Kind::OpenAi, ""));
        entry.table(|section| read_entry(section, &name, provider));
    }
}

pub(super) fn print(printer: &mut Printer, providers: &BTreeMap<String, ProviderConfig>) {
    for (name, provider) in providers {
        printer.named(name, |printer| {
            printer.entry("kind", &quote(provider.kind().info().name));
            if provider.kind() == Kind::Plugin {
                keys::print_models(printer, provider);
            }
            if !provider.kind().is_inside() {
                printer.entry("base_url", &quote(&provider.base_url));
                keys::print(printer, provider);
            }
        });
    }
}

/// Why a pipeline cannot name `provider`; none if it can.
pub(super) fn unknown(provider: &str, providers: &BTreeMap<String, ProviderConfig>) -> Option<String> {
    if providers.contains_key(provider) {
        return None;
    }
    let known: Vec<_> = providers.keys().map(String::as_str).collect();
    // A vendor that is not there by itself is one whose URL depends on the customer.
    Some(match Kind::named(provider) {
        Some(kind) => format!("provider {provider:?} needs `[providers.{provider}]` with {}", kind.info().url_hint),
        None => format!("there is no provider {provider:?}; known are {}", known.join(", ")),
    })
}

fn read_entry(section: &mut Section<'_>, name: &str, provider: &mut ProviderConfig) {
    section.refuse(&SECRETS, "secrets come from the environment or from files: name one with `secret_key_name`");
    let kind = match section.take("kind") {
        Some(entry) => read_kind(&entry),
        None => Kind::named(name).or_else(|| {
            section.missing("kind", "\"openai\" for every OpenAI-compatible server");
            None
        }),
    };
    let base_url = section.take("base_url");
    // Without a kind nothing can be said of the rest.
    let Some(kind) = kind else {
        section.rest();
        return;
    };
    if provider.kind() != kind {
        *provider = ProviderConfig::new(kind, "");
    }
    if kind.is_inside() {
        if let Some(entry) = base_url {
            entry.problem(format!("a provider of the kind {:?} runs inside this program and has no base_url", kind.info().name));
        }
        if kind == Kind::Plugin {
            keys::read_models(section, provider);
        }
        return;
    }
    let names_url = base_url.is_some();
    if let Some(url) = base_url.and_then(|entry| url(&entry, "http://127.0.0.1:8000/v1")) {
        provider.base_url = url;
    }
    let says_where = keys::read(section, provider);
    // A vendor's own URL stays if the entry names none.
    if provider.base_url.is_empty() && !names_url && !says_where {
        section.missing("base_url", &format!("where this provider listens, {}", kind.info().url_hint));
    }
}

fn read_kind(entry: &Entry<'_>) -> Option<Kind> {
    let found = entry.text().and_then(Kind::named);
    if found.is_none() {
        let names = Kind::ALL.map(|kind| quote(kind.info().name));
        entry.wrong(&format!("one of {}", names.join(", ")));
    }
    found
}
