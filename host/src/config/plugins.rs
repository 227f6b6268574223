//! `[plugins.NAME]`: what the operator decides about one plugin. A plugin without an entry gets the defaults.
//! Must not know which plugins there are.

use std::collections::BTreeMap;

use super::limits;
use super::print::Printer;
use super::section::Section;
use super::walk::Walk;
use crate::chat::is_name;
use crate::sandbox::{OnFailure, PluginConfig};

pub(super) fn read(section: &mut Section<'_>, plugins: &mut BTreeMap<String, PluginConfig>) {
    for (name, entry) in section.rest() {
        if !is_name(&name) {
            entry.problem("a plugin's name must be 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        let plugin = plugins.entry(name).or_default();
        entry.table(|section| {
            section.refuse(&["grants"], "is not supported yet: a plugin gets `log` and `config` and nothing else");
            walk(section, plugin);
        });
    }
}

pub(super) fn print(printer: &mut Printer, plugins: &BTreeMap<String, PluginConfig>) {
    for (name, plugin) in plugins {
        printer.named(name, |printer| walk(printer, &mut plugin.clone()));
    }
}

fn walk(keys: &mut impl Walk, plugin: &mut PluginConfig) {
    keys.choice("on_failure", &mut plugin.on_failure, &[("reject", OnFailure::Reject), ("skip", OnFailure::Skip)]);
    keys.json("config", &mut plugin.config);
    keys.table("limits", |keys| limits::hook_call(keys, &mut plugin.limits));
}
