//! Bearer tokens by OAuth 2.0 client credentials (RFC 6749, section 4.4; Entra's v2.0 token endpoint): asked for once, shared by all requests,
//! renewed before they end. Must not know which provider takes them, nor ever show a client's secret or a token.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::Secret;
use crate::llm::Error;
use crate::llm::transport::Post;

/// How long before its end a token is renewed, where a tenth of its life is not less.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);
/// The life of a token whose endpoint does not tell it.
const LIFE: Duration = Duration::from_secs(300);
const LIFE_MAX: Duration = Duration::from_secs(86_400);
/// While a token still holds, a renewal that failed is not tried again for so long.
const RETRIED_AFTER: Duration = Duration::from_secs(5);
/// One answer of a token endpoint; Entra takes some hundred milliseconds.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Characters of a token endpoint's explanation.
const WORDS_MAX: usize = 300;

/// What `[providers.NAME] oauth` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthConfig {
    pub token_url: String,
    pub client_id: String,
    /// e.g. `https://cognitiveservices.azure.com/.default`; empty where the endpoint wants none.
    pub scope: String,
}

/// Posts a form to the token endpoint; gives back status and body.
pub(in crate::llm) trait Endpoint: Send + Sync {
    fn post(&self, form: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), Error>>;
}

impl Endpoint for Post {
    fn post(&self, form: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), Error>> {
        Box::pin(self.send("application/x-www-form-urlencoded", form, ANSWER_TIME))
    }
}

/// The tokens of one provider.
pub(in crate::llm) struct OAuth {
    provider: String,
    config: OAuthConfig,
    endpoint: Box<dyn Endpoint>,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    kept: Mutex<Option<Token>>,
    /// Held by the one who asks for a token; with the last failure, for those who waited meanwhile.
    turn: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

#[derive(Clone)]
struct Token {
    secret: Secret,
    renewed: Instant,
    ends: Instant,
}

impl OAuth {
    pub(in crate::llm) fn new(provider: &str, config: OAuthConfig, endpoint: Box<dyn Endpoint>) -> Self {
        Self::by_clock(provider, config, endpoint, Box::new(Instant::now))
    }

    fn by_clock(provider: &str, config: OAuthConfig, endpoint: Box<dyn Endpoint>, now: Box<dyn Fn() -> Instant + Send + Sync>) -> Self {
        Self { provider: provider.to_owned(), config, endpoint, now, kept: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// A token that holds. While one is asked for, all who need it wait for the same answer, a failure too; whoever asks and is dropped
    /// leaves the turn to the next.
    ///
    /// # Errors
    /// `Status` with the provider's name and the endpoint's status, 401 where it refused the client; else as the endpoint.
    pub(in crate::llm) async fn token(&self, client_secret: &Secret) -> Result<Secret, Error> {
        let asked = (self.now)();
        let held = self.held(asked);
        if let Some(token) = held.as_ref().filter(|token| asked < token.renewed) {
            return Ok(token.secret.clone());
        }
        if let Some(token) = held {
            // It still holds: one renews it, the others go on with it.
            let Ok(mut turn) = self.turn.try_lock() else { return Ok(token.secret) };
            let failed = turn.as_ref().is_some_and(|(at, _)| asked < *at + RETRIED_AFTER);
            if failed {
                return Ok(token.secret);
            }
            return Ok(self.renew(&mut turn, client_secret).await.unwrap_or_else(|error| {
                tracing::warn!(provider = self.provider, "the token is used to its end, for its renewal failed: {error}");
                token.secret
            }));
        }
        let mut turn = self.turn.lock().await;
        if let Some(token) = self.held((self.now)()) {
            return Ok(token.secret);
        }
        match &*turn {
            Some((at, error)) if asked <= *at => Err(error.clone()),
            _ => self.renew(&mut turn, client_secret).await,
        }
    }

    /// Drops `token` where it is the one in use: the provider refused it before its time.
    pub(in crate::llm) fn forget(&self, token: &Secret) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|kept| kept.secret.expose() == token.expose()) {
            *kept = None;
        }
    }

    fn held(&self, now: Instant) -> Option<Token> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|token| now < token.ends)
    }

    async fn renew(&self, turn: &mut Option<(Instant, Error)>, client_secret: &Secret) -> Result<Secret, Error> {
        let asked = (self.now)();
        let answer = self.endpoint.post(form(&self.config, client_secret).into()).await;
        let token = answer.and_then(|(status, body)| self.granted(status, &body, asked)).map_err(|error| client_secret.redact_error(error));
        match token {
            Ok(token) => {
                *turn = None;
                let secret = token.secret.clone();
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
                Ok(secret)
            }
            Err(error) => {
                *turn = Some(((self.now)(), error.clone()));
                Err(error)
            }
        }
    }

    fn granted(&self, status: u16, body: &[u8], asked: Instant) -> Result<Token, Error> {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        if !(200..300).contains(&status) {
            return Err(self.refused(status, &json));
        }
        let garbled =
            || Error::InvalidReply { provider: self.provider.clone(), cause: "its token endpoint gave no access_token".to_owned() };
        let secret = json["access_token"].as_str().and_then(|token| Secret::new(token).ok()).ok_or_else(garbled)?;
        // Entra's v1.0 endpoint writes the number as a string.
        let seconds = json["expires_in"].as_u64().or_else(|| json["expires_in"].as_str()?.parse().ok());
        let life = seconds.map_or(LIFE, Duration::from_secs).min(LIFE_MAX);
        Ok(Token { secret, renewed: asked + life - RENEWED_BEFORE.min(life / 10), ends: asked + life })
    }

    /// A refusal is of the operator's credentials, whatever status the endpoint chose, but for those that pass by themselves.
    fn refused(&self, status: u16, json: &Value) -> Error {
        let stands_for = if matches!(status, 408 | 429 | 500..) { status } else { 401 };
        let text = |key: &str| json[key].as_str().unwrap_or_default();
        let words: Vec<&str> = [text("error"), text("error_description")].into_iter().flat_map(str::split_whitespace).collect();
        let words: String = words.join(" ").chars().take(WORDS_MAX).collect();
        Error::Status {
            provider: self.provider.clone(),
            status: stands_for,
            message: format!("its token endpoint answered {status}: {words}").trim_end_matches([':', ' ']).to_owned(),
            kind: None,
            code: None,
            param: None,
            retry_after: None,
            exhausted: false,
        }
    }
}

/// RFC 6749, section 4.4.2, with the client's credentials in the body as Entra wants them.
fn form(config: &OAuthConfig, client_secret: &Secret) -> String {
    let scope = (!config.scope.is_empty()).then_some(("scope", config.scope.as_str()));
    let fields = [("grant_type", "client_credentials"), ("client_id", &config.client_id), ("client_secret", client_secret.expose())];
    let fields: Vec<String> = fields.into_iter().chain(scope).map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    fields.join("&")
}

fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests;
