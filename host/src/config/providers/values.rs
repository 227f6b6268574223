//! How the values of a provider's entry are written, and the keys that would be secrets.
//! No message repeats a text that may hold a secret.

use ::http::Uri;

use crate::config::json::quote;
use crate::config::section::Entry;

/// What people try to write into the file.
pub(super) const SECRETS: [&str; 8] = ["api_key", "api-key", "apikey", "key", "secret", "secret_key", "token", "password"];

/// An absolute URL without a query. User and password in it would be a secret in the file, so such a text is not repeated either.
pub(super) fn url(entry: &Entry<'_>, such_as: &str) -> Option<String> {
    let text = entry.text().unwrap_or_default().trim().trim_end_matches('/');
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

/// A text of 1 to `bytes_max` bytes without control characters; `what` tells the operator what it would be.
pub(super) fn text(entry: &Entry<'_>, bytes_max: usize, what: &str) -> Option<String> {
    let found = entry.text().filter(|text| (1..=bytes_max).contains(&text.len()) && !text.contains(char::is_control));
    if found.is_none() {
        entry.wrong(what);
    }
    found.map(str::to_owned)
}
