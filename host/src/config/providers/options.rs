//! The keys of a provider's entry beside its kind and its URL, each read and written back. A key that has no meaning for the kind is refused.
//! Must not know what an adapter makes of a value.

mod oauth;

use crate::config::json::quote;
use crate::config::print::Printer;
use crate::config::section::{Entry, Section};
use crate::llm::{Kind, MaxTokensField, ProviderConfig, SECRET_NAME, Unsupported, is_secret_name};

/// Models that one provider may offer by name.
const MODELS_MAX: usize = 200;

/// Bytes of a model's name.
const NAME_BYTES_MAX: usize = 200;

/// Tokens of a reply that a provider may be asked for by default.
const TOKENS: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// Reads them; whether `account_id` said where the provider is, or tried to.
pub(super) fn read(section: &mut Section<'_>, slot: &mut ProviderConfig) -> bool {
    if let Some(entry) = section.take("secret_key_name") {
        let found = entry.text().filter(|text| is_secret_name(text)).map(str::to_owned);
        if found.is_none() {
            // Perhaps the secret itself, which is not repeated.
            entry.problem(format!("expected a secret's name: {SECRET_NAME}"));
        }
        slot.secret_key_name = found;
    }
    if let Some(entry) = section.take("oauth") {
        entry.table(|section| oauth::read(section, slot));
        if slot.oauth.is_some() && slot.secret_key_name.is_none() {
            section.missing("secret_key_name", "the name of the secret that holds the OAuth client's secret");
        }
    }
    if let Some(entry) = section.take("unsupported") {
        match entry.text() {
            Some("refuse") => slot.unsupported = Unsupported::Refuse,
            Some("drop") => slot.unsupported = Unsupported::Drop,
            _ => entry.wrong("\"refuse\" or \"drop\""),
        }
    }
    if let Some(entry) = section.take("models") {
        let items = entry.list();
        if let Some(one_too_many) = items.get(MODELS_MAX) {
            one_too_many.problem(format!("a provider offers at most {MODELS_MAX} models"));
        }
        slot.models = items.iter().take(MODELS_MAX).filter_map(|item| name(item, "a model's name, or \"*\" for all")).collect();
    }
    match slot.kind {
        Kind::OpenAi => stream_usage(section, slot),
        Kind::AzureOpenAi => {
            stream_usage(section, slot);
            azure(section, slot);
        }
        Kind::Anthropic => {
            if let Some(entry) = section.take("max_tokens") {
                match entry.number().filter(|n| TOKENS.contains(n)).and_then(|n| u32::try_from(n).ok()) {
                    Some(tokens) => slot.max_tokens = tokens,
                    None => entry.wrong(&format!("a whole number from {} to {}", TOKENS.start(), TOKENS.end())),
                }
            }
        }
        Kind::WorkersAi => return account(section, slot),
        Kind::Gemini | Kind::Builtin => {}
    }
    false
}

pub(super) fn print(printer: &mut Printer, provider: &ProviderConfig) {
    if let Some(name) = &provider.secret_key_name {
        printer.entry("secret_key_name", &quote(name));
    }
    if let Some(client) = &provider.oauth {
        oauth::print(printer, client);
    }
    printer.entry("unsupported", if provider.unsupported == Unsupported::Drop { "\"drop\"" } else { "\"refuse\"" });
    let models: Vec<String> = provider.models.iter().map(|model| quote(model)).collect();
    printer.entry("models", &format!("[{}]", models.join(", ")));
    match provider.kind {
        Kind::OpenAi => printer.entry("stream_usage", &provider.stream_usage.to_string()),
        Kind::AzureOpenAi => {
            printer.entry("stream_usage", &provider.stream_usage.to_string());
            if let Some(version) = &provider.api_version {
                printer.entry("api_version", &quote(version));
            }
            printer.entry("auth", if provider.bearer { "\"bearer\"" } else { "\"api-key\"" });
            printer.entry("max_tokens_field", &quote(field_word(provider.max_tokens_field)));
        }
        Kind::Anthropic => printer.entry("max_tokens", &provider.max_tokens.to_string()),
        Kind::Gemini | Kind::WorkersAi | Kind::Builtin => {}
    }
}

fn stream_usage(section: &mut Section<'_>, slot: &mut ProviderConfig) {
    if let Some(entry) = section.take("stream_usage") {
        match entry.flag() {
            Some(asked_for) => slot.stream_usage = asked_for,
            None => entry.wrong("true or false"),
        }
    }
}

fn azure(section: &mut Section<'_>, slot: &mut ProviderConfig) {
    if let Some(entry) = section.take("api_version") {
        let fit = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        match entry.text().filter(fit) {
            Some(version) => slot.api_version = Some(version.to_owned()),
            None => entry.wrong("a version such as \"2024-10-21\""),
        }
    }
    if let Some(entry) = section.take("auth") {
        match entry.text() {
            Some("api-key") => slot.bearer = false,
            Some("bearer") => slot.bearer = true,
            _ => entry.wrong("\"api-key\" or \"bearer\""),
        }
    }
    if let Some(entry) = section.take("max_tokens_field") {
        let fields = [MaxTokensField::MaxTokens, MaxTokensField::MaxCompletionTokens];
        match fields.into_iter().find(|field| entry.text() == Some(field_word(*field))) {
            Some(field) => slot.max_tokens_field = field,
            None => entry.wrong("\"max_tokens\" or \"max_completion_tokens\""),
        }
    }
}

fn field_word(field: MaxTokensField) -> &'static str {
    match field {
        MaxTokensField::MaxTokens => "max_tokens",
        MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
    }
}

/// Cloudflare's URLs hold the customer's account.
fn account(section: &mut Section<'_>, slot: &mut ProviderConfig) -> bool {
    let Some(entry) = section.take("account_id") else { return false };
    let fit = |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    match entry.text().filter(fit) {
        Some(_) if !slot.base_url.is_empty() => entry.problem("stands beside base_url; one of the two says where the account is"),
        Some(id) => slot.base_url = format!("https://api.cloudflare.com/client/v4/accounts/{id}/ai/v1"),
        None => entry.wrong("the account's id, letters and digits"),
    }
    true
}

fn name(entry: &Entry<'_>, what: &str) -> Option<String> {
    let found = entry.text().filter(|text| (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control));
    if found.is_none() {
        entry.wrong(what);
    }
    found.map(str::to_owned)
}
