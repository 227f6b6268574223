//! `[keys]`: the hashes of the keys that are accepted, the limits of each client key, and those of its end users.
//! No message repeats a value of `sha256`, because it may be a key that was pasted in place of its hash.

use std::ops::RangeInclusive;

use ::http::HeaderName;
use serde_json::Value;

use super::json::{quote, to_toml};
use super::print::Printer;
use super::section::{Entry, Section};
use super::walk::{MICRO, Walk};
use crate::http::{EndUserFrom, EndUsers, Key, Keys, keys};
use crate::ledger::{Allowance, EndUserLimits};

/// Before the name of the header that names end users.
const HEADER: &str = "header:";

/// From a cent to ten millions.
const USD: RangeInclusive<u64> = MICRO / 100..=10_000_000 * MICRO;

/// `[keys]`
pub(super) fn read(section: &mut Section<'_>, keys: &mut Keys) {
    let (client, admin) = (section.take("client"), section.take("admin"));
    section.table("default_limits", |section| allowance(section, &mut keys.default_allowance));
    section.table("end_users", |section| keys.end_users = end_users(section));
    keys.admin = admin.map(|entry| list(entry, None, &[], false)).unwrap_or_default();
    let client = client.map(|entry| list(entry, Some(&keys.default_allowance), &keys.admin, keys.end_users.is_some()));
    keys.client = client.unwrap_or_default();
}

/// `[keys.end_users]`
fn end_users(section: &mut Section<'_>) -> Option<EndUsers> {
    let from = section.need("from", "where a request names its end user: \"user\", or \"header:NAME\"");
    let mut limits = EndUserLimits::default();
    tracked(section, &mut limits);
    section.table("limits", |section| allowance(section, &mut limits.allowance));
    let from = from?;
    let read = match from.text() {
        Some("user") => Some(EndUserFrom::UserField),
        text => text.and_then(|text| HeaderName::try_from(text.strip_prefix(HEADER)?).ok()).map(EndUserFrom::Header),
    };
    if read.is_none() {
        from.wrong("\"user\", or \"header:NAME\" with the name of a header");
    }
    Some(EndUsers { from: read?, limits })
}

fn tracked(keys: &mut impl Walk, limits: &mut EndUserLimits) {
    keys.count("tracked", &mut limits.tracked, 1..=1_000_000);
}

/// Prints the lists as comments, so that nobody takes a shortened hash for one that works. A client key is shown with the limits that apply
/// to it.
pub(super) fn print(printer: &mut Printer, keys: &Keys) {
    printer.named("keys", |printer| {
        for (name, list) in [("client", &keys.client), ("admin", &keys.admin)] {
            let list: Vec<_> = list.iter().map(shortened).collect();
            printer.line(&format!("# {name} = [{}]", list.join(", ")));
        }
        let mut default = keys.default_allowance;
        if !default.is_unlimited() {
            printer.table("default_limits", |printer| allowance(printer, &mut default));
        }
        if let Some(EndUsers { from, mut limits }) = keys.end_users.clone() {
            printer.named("end_users", |printer| {
                let from = match from {
                    EndUserFrom::UserField => "user".to_owned(),
                    EndUserFrom::Header(name) => format!("{HEADER}{name}"),
                };
                printer.entry("from", &quote(&from));
                tracked(printer, &mut limits);
                printer.table("limits", |printer| allowance(printer, &mut limits.allowance));
            });
        }
    });
}

/// `limits` of one key, `[keys.default_limits]` and `[keys.end_users.limits]`
fn allowance(keys: &mut impl Walk, allowance: &mut Allowance) {
    keys.optional("requests_per_minute", &mut allowance.requests_per_minute, 1..=1_000_000);
    keys.optional("tokens_per_minute", &mut allowance.tokens_per_minute, 1..=1_000_000_000);
    keys.optional("tokens_per_day", &mut allowance.tokens_per_day, 1..=1_000_000_000_000);
    keys.dollars("usd_per_day", &mut allowance.usd_per_day, USD);
    keys.dollars("usd_per_month", &mut allowance.usd_per_month, USD);
}

/// The prefix and eight digits.
fn shortened(key: &Key) -> String {
    let Allowance { requests_per_minute, tokens_per_minute, tokens_per_day, usd_per_day, usd_per_month } = key.allowance;
    let whole =
        [("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute), ("tokens_per_day", tokens_per_day)];
    let dollars = [("usd_per_day", usd_per_day), ("usd_per_month", usd_per_month)];
    let whole = whole.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), Value::from(limit?))));
    let dollars = dollars.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), Value::from(limit? as f64 / MICRO as f64))));
    let limits: Value = whole.chain(dollars).collect();
    let limits = if key.allowance.is_unlimited() { String::new() } else { format!(", limits = {}", to_toml(&limits)) };
    format!("{{ name = {}, sha256 = \"{:.15}…\"{limits} }}", quote(&key.name), keys::format(&key.sha256))
}

/// Reads a list of client keys, if there is a `default` for those that have no limits of their own, or of admin keys, which have no limits.
/// `others` are the keys of the other list; with `end_users` every key has limits, those of its end users.
fn list(entry: Entry<'_>, default: Option<&Allowance>, others: &[Key], end_users: bool) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for entry in entry.list() {
        entry.table(|section| {
            let own_name = section.need("name", "whose key it is, for logs and plugins");
            let hash = section.need("sha256", "the SHA-256 of the key").and_then(|entry| hash(&entry, &keys));
            let mut limits = default.copied().unwrap_or_default();
            if default.is_none() {
                section.refuse(&["limits"], "admin keys have no limits");
            } else if let Some(entry) = section.take("limits") {
                limits = Allowance::default();
                entry.table(|section| allowance(section, &mut limits));
            }
            let Some(entry) = own_name else { return };
            let name = name(&entry, &keys);
            if (end_users || !limits.is_unlimited()) && others.iter().any(|key| entry.text() == Some(&*key.name)) {
                entry.problem("is the name of an admin key too; use is counted by name, so a key with limits needs one of its own");
            }
            if let (Some(name), Some(sha256)) = (name, hash) {
                keys.push(Key { name: name.into(), sha256, allowance: limits });
            }
        });
    }
    keys
}

fn name(entry: &Entry<'_>, before: &[Key]) -> Option<String> {
    let name = entry.text().filter(|name| crate::chat::is_name(name)).map(str::to_owned);
    match &name {
        None => entry.wrong("1 to 64 letters, digits, `-`, `_` or `.`"),
        Some(name) if before.iter().any(|key| *key.name == **name) => entry.problem(format!("the name {name:?} stands twice")),
        Some(_) => {}
    }
    name
}

/// Reads the hash. The message does not repeat the value, which may be the key itself.
fn hash(entry: &Entry<'_>, before: &[Key]) -> Option<[u8; 32]> {
    let Some(hash) = entry.text().and_then(keys::parse) else {
        entry.problem("expected the SHA-256 of the key in 64 hex digits, as `printf %s \"$KEY\" | sha256sum` prints it");
        return None;
    };
    // The hash of an unset variable. As a key it would accept everybody who sends an empty one.
    if hash == keys::hash(b"") {
        entry.problem("is the SHA-256 of nothing; was the variable with the key empty?");
    } else if before.iter().any(|key| key.sha256 == hash) {
        entry.problem("the same key stands twice");
    }
    Some(hash)
}
