//! `[plugins.NAME]`: what the operator decides about one plugin. A plugin without an entry gets the defaults.
//! Whether there is a plugin of that name shows only when the directory is read, so any name may stand here.

use std::collections::BTreeMap;

use super::json::to_toml;
use super::limits;
use super::print::Printer;
use super::section::{Entry, Section};
use super::walk::Walk;
use crate::chat::is_name;
use crate::sandbox::{Grants, OnFailure, PluginConfig, Side, check_grant, check_words};

/// What narrows what a plugin declares.
const SCOPES: [(&str, Side); 2] = [("reads", Side::Reads), ("writes", Side::Writes)];

pub(super) fn read(section: &mut Section<'_>, plugins: &mut BTreeMap<String, PluginConfig>) {
    for (name, entry) in section.rest() {
        if !is_name(&name) {
            entry.problem("a plugin's name must be 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        let plugin = plugins.entry(name).or_default();
        entry.table(|section| {
            for (key, side) in SCOPES {
                if let Some(entry) = section.take(key) {
                    *words(plugin, side) = read_words(entry, side);
                }
            }
            if let Some(entry) = section.take("grants") {
                entry.table(|section| read_grants(section, &mut plugin.grants));
            }
            walk(section, plugin);
        });
    }
}

/// The keys are names of capabilities; what each may be granted is for the capability to say.
fn read_grants(section: &mut Section<'_>, grants: &mut Grants) {
    for (capability, entry) in section.rest() {
        let Some(value) = entry.json() else { continue };
        match check_grant(&capability, &value) {
            Ok(()) => grants.insert(capability, value),
            Err(why) => entry.problem(why),
        }
    }
}

fn words(plugin: &mut PluginConfig, side: Side) -> &mut Option<Vec<String>> {
    match side {
        Side::Reads => &mut plugin.reads,
        Side::Writes => &mut plugin.writes,
    }
}

/// Whether the plugin declares these words shows when it is loaded.
fn read_words(entry: Entry<'_>, side: Side) -> Option<Vec<String>> {
    let Some(items) = entry.items() else {
        entry.wrong("a list of words, such as [\"last-user-message.text\"]");
        return None;
    };
    let word = |item: &Entry<'_>| {
        let word = item.text().map(str::to_owned);
        if word.is_none() {
            item.wrong("a word, such as \"metadata\"");
        }
        word
    };
    let words: Vec<String> = items.iter().filter_map(word).collect();
    if let Err(why) = check_words(side, &words) {
        entry.problem(why);
    }
    Some(words)
}

pub(super) fn print(printer: &mut Printer, plugins: &BTreeMap<String, PluginConfig>) {
    for (name, plugin) in plugins {
        printer.named(name, |printer| {
            for (key, side) in SCOPES {
                if let Some(words) = words(&mut plugin.clone(), side) {
                    printer.entry(key, &to_toml(&words.as_slice().into()));
                }
            }
            if !plugin.grants.is_empty() {
                printer.entry("grants", &to_toml(&plugin.grants.values().clone().into()));
            }
            walk(printer, &mut plugin.clone());
        });
    }
}

fn walk(keys: &mut impl Walk, plugin: &mut PluginConfig) {
    keys.choice("on_failure", &mut plugin.on_failure, &[("reject", OnFailure::Reject), ("skip", OnFailure::Skip)]);
    keys.json("config", &mut plugin.config);
    keys.table("limits", |keys| limits::hook_call(keys, &mut plugin.limits));
}
