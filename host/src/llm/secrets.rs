//! Secrets: what one is, where it is looked for, the tokens of OAuth that stand for one, and how it is kept out of what is shown.
//! A value leaves this folder only in a request to the provider that it belongs to.

mod oauth;
mod redact;
mod secret;
mod sources;

pub use oauth::OAuthConfig;
pub(super) use oauth::Tokens;
pub(super) use redact::Redactor;
pub use secret::{MissingSecret, NAME, Secret, Secrets, is_name};
pub use sources::sources;

#[cfg(test)]
mod tests;
