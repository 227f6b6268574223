//! `[providers.NAME] oauth`: the client whose tokens are the provider's keys. Its secret never stands in the file.

use super::values::{SECRETS, text, url};
use crate::config::json::quote;
use crate::config::print::Printer;
use crate::config::section::Section;
use crate::llm::{OAuthConfig, ProviderConfig};

/// Bytes of the client's id and of the scope.
const TEXT_BYTES_MAX: usize = 1_000;

pub(super) fn read(section: &mut Section<'_>, provider: &mut ProviderConfig) {
    section.refuse(&["client_secret"], "the provider's `secret_key_name` names the client's secret");
    section.refuse(&SECRETS, "the provider's `secret_key_name` names the client's secret");
    let token_url = section.need("token_url", "the token endpoint's URL");
    let client_id = section.need("client_id", "the client's id");
    let scope = section.take("scope");
    let token_url = token_url.and_then(|entry| url(&entry, "https://login.example/oauth2/v2.0/token"));
    let client_id = client_id.and_then(|entry| text(&entry, TEXT_BYTES_MAX, "the client's id"));
    let scope = match scope {
        Some(entry) => text(&entry, TEXT_BYTES_MAX, "scopes such as \"https://cognitiveservices.azure.com/.default\""),
        None => Some(String::new()),
    };
    // A problem in the table was reported where it stands. It is not reported as a missing client as well.
    if let (Some(token_url), Some(client_id), Some(scope)) = (token_url, client_id, scope) {
        provider.oauth = Some(OAuthConfig { token_url, client_id, scope });
    }
}

pub(super) fn print(printer: &mut Printer, client: &OAuthConfig) {
    let OAuthConfig { token_url, client_id, scope } = client;
    let scope = if scope.is_empty() { String::new() } else { format!(", scope = {}", quote(scope)) };
    printer.entry("oauth", &format!("{{ token_url = {}, client_id = {}{scope} }}", quote(token_url), quote(client_id)));
}
