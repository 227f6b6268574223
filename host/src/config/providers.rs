//! `[providers.NAME]`: who may be asked for a completion. The vendors of the list below are there without an entry where they need none.
//! Secrets never stand in the file. Must not know how a provider is spoken to.

mod options;

use std::collections::BTreeMap;

use ::http::Uri;

use super::json::quote;
use super::print::Printer;
use super::section::{Entry, Section};
use crate::chat::is_name;
use crate::llm::{Kind, ProviderConfig};

/// The word of each kind. As a provider's name it says the kind as well.
const KINDS: [(&str, Kind); 6] = [
    ("openai", Kind::OpenAi),
    ("anthropic", Kind::Anthropic),
    ("gemini", Kind::Gemini),
    ("azure-openai", Kind::AzureOpenAi),
    ("workers-ai", Kind::WorkersAi),
    ("builtin", Kind::Builtin),
];

/// What people try to write into the file.
const SECRETS: [&str; 8] = ["api_key", "api-key", "apikey", "key", "secret", "secret_key", "token", "password"];

/// `providers` holds those that need no entry.
pub(super) fn read(section: &mut Section<'_>, providers: &mut BTreeMap<String, ProviderConfig>) {
    for (name, entry) in section.rest() {
        if !is_name(&name) {
            entry.problem("a provider's name must be 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        // A provider with a problem still counts as one, so that pipelines which name it are not blamed too.
        let slot = providers.entry(name.clone()).or_insert_with(|| ProviderConfig::new(Kind::OpenAi, ""));
        entry.table(|section| provider(section, &name, slot));
    }
}

pub(super) fn print(printer: &mut Printer, providers: &BTreeMap<String, ProviderConfig>) {
    for (name, provider) in providers {
        printer.named(name, |printer| {
            let word = KINDS.iter().find(|(_, kind)| *kind == provider.kind).map_or("", |(word, _)| word);
            printer.entry("kind", &quote(word));
            if provider.kind != Kind::Builtin {
                printer.entry("base_url", &quote(&provider.base_url));
                options::print(printer, provider);
            }
        });
    }
}

/// Why a pipeline cannot name `provider`; none where it can.
pub(super) fn unknown(provider: &str, providers: &BTreeMap<String, ProviderConfig>) -> Option<String> {
    if providers.contains_key(provider) {
        return None;
    }
    let known: Vec<_> = providers.keys().map(String::as_str).collect();
    // A vendor whose URL holds the customer's name.
    let needs_entry = KINDS.iter().any(|(word, _)| *word == provider);
    Some(match needs_entry {
        true => format!("provider {provider:?} needs `[providers.{provider}]` with {}", where_it_is(own_kind(provider))),
        false => format!("there is no provider {provider:?}; known are {}", known.join(", ")),
    })
}

fn provider(section: &mut Section<'_>, name: &str, slot: &mut ProviderConfig) {
    section.refuse(&SECRETS, "secrets come from the environment or from files: name one with `secret_key_name`");
    let given = match section.take("kind") {
        Some(entry) => kind(&entry),
        None => own_kind(name).or_else(|| {
            section.missing("kind", "\"openai\" for every OpenAI-compatible server");
            None
        }),
    };
    let base_url = section.take("base_url");
    // Without a kind nothing can be said of the rest.
    let Some(given) = given else {
        section.rest();
        return;
    };
    if slot.kind != given {
        *slot = ProviderConfig::new(given, "");
    }
    if given == Kind::Builtin {
        if let Some(entry) = base_url {
            entry.problem("the built-in provider runs inside this program and has no base_url");
        }
        return;
    }
    let given_url = base_url.is_some();
    if let Some(url) = base_url.and_then(|entry| url_of(&entry, "http://127.0.0.1:8000/v1")) {
        slot.base_url = url;
    }
    let placed = options::read(section, slot);
    // A vendor's own URL stays where the entry names none.
    if slot.base_url.is_empty() && !given_url && !placed {
        section.missing("base_url", &format!("where this provider listens, {}", where_it_is(Some(given))));
    }
}

fn where_it_is(kind: Option<Kind>) -> &'static str {
    match kind {
        Some(Kind::AzureOpenAi) => "its base_url, such as \"https://RESOURCE.openai.azure.com/openai/v1\"",
        Some(Kind::WorkersAi) => "its account_id",
        _ => "such as \"http://127.0.0.1:8000/v1\"",
    }
}

/// The kind that goes without saying.
fn own_kind(name: &str) -> Option<Kind> {
    KINDS.iter().find(|(word, _)| *word == name).map(|(_, kind)| *kind)
}

fn kind(entry: &Entry<'_>) -> Option<Kind> {
    let found = entry.text().and_then(own_kind);
    if found.is_none() {
        let words: Vec<String> = KINDS.iter().map(|(word, _)| quote(word)).collect();
        entry.wrong(&format!("one of {}", words.join(", ")));
    }
    found
}

/// An absolute URL without query. User and password in it would be a secret in the file, so such a text is not repeated either.
fn url_of(entry: &Entry<'_>, such_as: &str) -> Option<String> {
    let text = entry.text().unwrap_or_default().trim_end_matches('/');
    let uri = text.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if text.contains('@') {
        entry.problem("must not hold a user or password; secrets come from the environment or from files");
    } else if uri.is_some() && text.contains(['?', '#']) {
        entry.problem("must not have a query or fragment");
    } else if uri.is_some() {
        return Some(text.to_owned());
    } else {
        entry.wrong(&format!("a URL such as {}", quote(such_as)));
    }
    None
}
