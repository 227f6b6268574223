//! `[providers.NAME] oauth`: the client whose tokens are the provider's keys. Its secret never stands in the file.
//! Must not know how a token is asked for.

use crate::config::json::quote;
use crate::config::print::Printer;
use crate::config::providers::{SECRETS, url_of};
use crate::config::section::{Entry, Section};
use crate::llm::{OAuthConfig, ProviderConfig};

/// Bytes of the client's id and of the scope.
const TEXT_BYTES_MAX: usize = 1_000;

pub(super) fn read(section: &mut Section<'_>, slot: &mut ProviderConfig) {
    section.refuse(&["client_secret"], "the provider's `secret_key_name` names the client's secret");
    section.refuse(&SECRETS, "the provider's `secret_key_name` names the client's secret");
    let url = section.need("token_url", "the token endpoint's URL");
    let client = section.need("client_id", "the client's id");
    let scope = section.take("scope");
    let token_url = url.and_then(|entry| url_of(&entry, "https://login.example/oauth2/v2.0/token"));
    let client_id = client.and_then(|entry| text(&entry, "the client's id"));
    let scope = match scope {
        Some(entry) => text(&entry, "scopes such as \"https://cognitiveservices.azure.com/.default\""),
        None => Some(String::new()),
    };
    // What is wrong was told; it is not to be blamed for lacking an entry too.
    if let (Some(token_url), Some(client_id), Some(scope)) = (token_url, client_id, scope) {
        slot.oauth = Some(OAuthConfig { token_url, client_id, scope });
    }
}

pub(super) fn print(printer: &mut Printer, client: &OAuthConfig) {
    let OAuthConfig { token_url, client_id, scope } = client;
    let scope = if scope.is_empty() { String::new() } else { format!(", scope = {}", quote(scope)) };
    printer.entry("oauth", &format!("{{ token_url = {}, client_id = {}{scope} }}", quote(token_url), quote(client_id)));
}

fn text(entry: &Entry<'_>, what: &str) -> Option<String> {
    let found = entry.text().filter(|text| (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control));
    if found.is_none() {
        entry.wrong(what);
    }
    found.map(str::to_owned)
}
