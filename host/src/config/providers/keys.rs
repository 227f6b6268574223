//! The keys of a provider's entry beside its kind and its URL, each read and written back. Those that every kind has are named here, those of
//! one kind by its vendor. A key that has no meaning for the kind is refused.

use std::ops::RangeInclusive;

use super::oauth;
use super::values::text;
use crate::config::json::quote;
use crate::config::print::Printer;
use crate::config::section::{Entry, Section};
use crate::config::walk::Walk;
use crate::llm::{OptionKeys, ProviderConfig, SECRET_NAME, Unsupported, is_secret_name};

/// Models that one provider may offer by name.
const MODELS_MAX: usize = 200;

/// Bytes of a model's name.
const NAME_BYTES_MAX: usize = 200;

/// Reads them. Returns whether some key other than `base_url` says where the provider is, or tries to.
pub(super) fn read(section: &mut Section<'_>, provider: &mut ProviderConfig) -> bool {
    if let Some(entry) = section.take("secret_key_name") {
        let found = entry.text().filter(|text| is_secret_name(text)).map(str::to_owned);
        if found.is_none() {
            // Perhaps the secret itself, which is not repeated.
            entry.problem(format!("expected a secret's name: {SECRET_NAME}"));
        }
        provider.secret_key_name = found;
    }
    if let Some(entry) = section.take("oauth") {
        entry.table(|section| oauth::read(section, provider));
        if provider.oauth.is_some() && provider.secret_key_name.is_none() {
            section.missing("secret_key_name", "the name of the secret that holds the OAuth client's secret");
        }
    }
    if let Some(entry) = section.take("unsupported") {
        match entry.text() {
            Some("refuse") => provider.unsupported = Unsupported::Refuse,
            Some("drop") => provider.unsupported = Unsupported::Drop,
            _ => entry.wrong("\"refuse\" or \"drop\""),
        }
    }
    read_models(section, provider);
    let ProviderConfig { options, base_url, .. } = provider;
    let mut reader = OptionReader { section, base_url, says_where: false };
    options.visit(&mut reader);
    reader.says_where
}

/// The models that clients may name.
pub(super) fn read_models(section: &mut Section<'_>, provider: &mut ProviderConfig) {
    if let Some(entry) = section.take("models") {
        let items = entry.list();
        if let Some(one_too_many) = items.get(MODELS_MAX) {
            one_too_many.problem(format!("a provider offers at most {MODELS_MAX} models"));
        }
        let what = "a model's name, or \"*\" for all";
        provider.models = items.iter().take(MODELS_MAX).filter_map(|item| text(item, NAME_BYTES_MAX, what)).collect();
    }
}

pub(super) fn print(printer: &mut Printer, provider: &ProviderConfig) {
    if let Some(name) = &provider.secret_key_name {
        printer.entry("secret_key_name", &quote(name));
    }
    if let Some(client) = &provider.oauth {
        oauth::print(printer, client);
    }
    printer.entry("unsupported", if provider.unsupported == Unsupported::Drop { "\"drop\"" } else { "\"refuse\"" });
    print_models(printer, provider);
    provider.options.clone().visit(printer);
}

pub(super) fn print_models(printer: &mut Printer, provider: &ProviderConfig) {
    let models: Vec<String> = provider.models.iter().map(|model| quote(model)).collect();
    printer.entry("models", &format!("[{}]", models.join(", ")));
}

/// Reads the keys that only one vendor's entries have.
struct OptionReader<'s, 'a> {
    section: &'s mut Section<'a>,
    base_url: &'s mut String,
    /// A key other than `base_url` says where the provider is, or tries to.
    says_where: bool,
}

impl OptionKeys for OptionReader<'_, '_> {
    fn flag(&mut self, key: &'static str, value: &mut bool) {
        let Some(entry) = self.section.take(key) else { return };
        match entry.flag() {
            Some(read) => *value = read,
            None => entry.wrong("true or false"),
        }
    }

    fn count(&mut self, key: &'static str, value: &mut u32, allowed: RangeInclusive<u64>) {
        Walk::count(self.section, key, value, allowed);
    }

    fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, value: &mut T, words: &[(&'static str, T)]) {
        Walk::choice(self.section, key, value, words);
    }

    fn optional_text(&mut self, key: &'static str, value: &mut Option<String>, is_valid: fn(&str) -> bool, expected: &str) {
        let Some(entry) = self.section.take(key) else { return };
        match entry.text().filter(|text| is_valid(text)) {
            Some(read) => *value = Some(read.to_owned()),
            None => entry.wrong(expected),
        }
    }

    fn texts(&mut self, key: &'static str, values: &mut Vec<String>, most: usize, is_valid: fn(&str) -> bool, expected: &str) {
        let Some(entry) = self.section.take(key) else { return };
        let items = entry.list();
        if let Some(one_too_many) = items.get(most) {
            one_too_many.problem(format!("there may be at most {most}"));
        }
        let valid = |item: &Entry<'_>| {
            let found = item.text().filter(|text| is_valid(text)).map(str::to_owned);
            if found.is_none() {
                item.wrong(expected);
            }
            found
        };
        *values = items.iter().take(most).filter_map(valid).collect();
    }

    fn base_url_from(&mut self, key: &'static str, url: fn(&str) -> Option<String>, expected: &str, conflict: &str) {
        let Some(entry) = self.section.take(key) else { return };
        self.says_where = true;
        match entry.text().and_then(url) {
            Some(_) if !self.base_url.is_empty() => entry.problem(format!("stands beside base_url; {conflict}")),
            Some(url) => *self.base_url = url,
            None => entry.wrong(expected),
        }
    }
}

impl OptionKeys for Printer {
    fn flag(&mut self, key: &'static str, value: &mut bool) {
        self.entry(key, &value.to_string());
    }

    fn count(&mut self, key: &'static str, value: &mut u32, allowed: RangeInclusive<u64>) {
        Walk::count(self, key, value, allowed);
    }

    fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, value: &mut T, words: &[(&'static str, T)]) {
        Walk::choice(self, key, value, words);
    }

    fn optional_text(&mut self, key: &'static str, value: &mut Option<String>, _is_valid: fn(&str) -> bool, _expected: &str) {
        if let Some(value) = value {
            self.entry(key, &quote(value));
        }
    }

    fn texts(&mut self, key: &'static str, values: &mut Vec<String>, _most: usize, _is_valid: fn(&str) -> bool, _expected: &str) {
        let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
        self.entry(key, &format!("[{}]", quoted.join(", ")));
    }

    /// `base_url` itself is printed.
    fn base_url_from(&mut self, _key: &'static str, _url: fn(&str) -> Option<String>, _expected: &str, _conflict: &str) {}
}
