//! `[plugins.NAME]`: what the operator decides about one plugin. A plugin without an entry gets the defaults.
//! Whether there is a plugin of that name shows only when the directory is read, so any name may stand here.

use std::collections::BTreeMap;

use super::json::to_toml;
use super::limits;
use super::print::Printer;
use super::section::Section;
use super::walk::Walk;
use crate::chat::is_name;
use crate::sandbox::{Grants, OnFailure, PluginConfig, check_grant};

pub(super) fn read(section: &mut Section<'_>, plugins: &mut BTreeMap<String, PluginConfig>) {
    for (name, entry) in section.rest() {
        if !is_name(&name) {
            entry.problem("a plugin's name must be 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        let plugin = plugins.entry(name).or_default();
        entry.table(|section| {
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

pub(super) fn print(printer: &mut Printer, plugins: &BTreeMap<String, PluginConfig>) {
    for (name, plugin) in plugins {
        printer.named(name, |printer| {
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
