//! Bearer tokens by OAuth 2.0 client credentials (RFC 6749, section 4.4; Entra's v2.0 token endpoint): asked for once, shared by all requests,
//! renewed before they expire. However many requests need a token at once, the endpoint is asked once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::secret::Secret;
use crate::llm::error::Error;
use crate::llm::limits::Limits;
use crate::llm::post::Post;
use crate::llm::transport::Tls;

/// A token is renewed this long before it expires, or a tenth of its lifetime before if that is less.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);
/// The lifetime of a token whose endpoint does not state it.
const LIFETIME: Duration = Duration::from_secs(300);
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);
/// While a token is still valid, a renewal that failed is not tried again for this long.
const RETRIED_AFTER: Duration = Duration::from_secs(5);
/// The time for one answer of a token endpoint; Entra takes some hundred milliseconds.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Characters of a token endpoint's explanation that are passed on.
const MESSAGE_CHARS_MAX: usize = 300;

/// All but RFC 3986's unreserved characters, which every form decoder reads alike; a space is `%20`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What `[providers.NAME] oauth` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthConfig {
    pub token_url: String,
    pub client_id: String,
    /// For example `https://cognitiveservices.azure.com/.default`; empty if the endpoint wants none.
    pub scope: String,
}

/// The tokens of one provider, for each of its client secrets apart: a pipeline may name another one than the provider's entry.
pub(in crate::llm) struct Tokens {
    provider: String,
    config: OAuthConfig,
    limits: Limits,
    tls: Arc<Tls>,
    /// By the client secret's name. Only secrets that exist get here, so it is never longer than their list.
    clients: Mutex<BTreeMap<String, Arc<OAuth>>>,
}

impl Tokens {
    /// # Errors
    /// `Unreachable` if `token_url` is no http or https URL.
    pub(in crate::llm) fn new(provider: &str, config: OAuthConfig, limits: &Limits, tls: Arc<Tls>) -> Result<Self, Error> {
        let tokens = Self { provider: provider.to_owned(), config, limits: limits.clone(), tls, clients: Mutex::default() };
        // A wrong URL is reported when the server starts.
        tokens.post()?;
        Ok(tokens)
    }

    /// A token for the client secret of this name.
    ///
    /// # Errors
    /// As [`OAuth::token`].
    pub(in crate::llm) async fn token(&self, name: &str, client_secret: &Secret) -> Result<Secret, Error> {
        self.client(name)?.token(client_secret).await
    }

    /// Drops `token`, which the provider refused before it expired.
    pub(in crate::llm) fn forget(&self, token: &Secret) {
        self.clients().values().for_each(|client| client.forget(token));
    }

    fn client(&self, name: &str) -> Result<Arc<OAuth>, Error> {
        let mut clients = self.clients();
        if let Some(client) = clients.get(name) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(OAuth::new(&self.provider, self.config.clone(), Box::new(self.post()?)));
        clients.insert(name.to_owned(), Arc::clone(&client));
        Ok(client)
    }

    fn post(&self) -> Result<Post, Error> {
        Post::with_tls(&self.provider, &self.config.token_url, &self.limits, Arc::clone(&self.tls))
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, Arc<OAuth>>> {
        // A panic elsewhere leaves complete entries.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Posts a form to a token endpoint and returns the answer's status and body.
trait TokenEndpoint: Send + Sync {
    fn post(&self, form: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), Error>>;
}

impl TokenEndpoint for Post {
    fn post(&self, form: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), Error>> {
        Box::pin(self.send("application/x-www-form-urlencoded", form, ANSWER_TIME))
    }
}

/// The token of one client secret.
struct OAuth {
    provider: String,
    config: OAuthConfig,
    endpoint: Box<dyn TokenEndpoint>,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    kept: Mutex<Option<Token>>,
    /// Held by the request that renews the token. Keeps the last failure for the requests that waited meanwhile.
    renewal: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

#[derive(Clone)]
struct Token {
    secret: Secret,
    /// From then on a request renews it.
    renewed: Instant,
    expires: Instant,
}

impl OAuth {
    fn new(provider: &str, config: OAuthConfig, endpoint: Box<dyn TokenEndpoint>) -> Self {
        Self::by_clock(provider, config, endpoint, Box::new(Instant::now))
    }

    fn by_clock(
        provider: &str,
        config: OAuthConfig,
        endpoint: Box<dyn TokenEndpoint>,
        now: Box<dyn Fn() -> Instant + Send + Sync>,
    ) -> Self {
        Self { provider: provider.to_owned(), config, endpoint, now, kept: Mutex::default(), renewal: tokio::sync::Mutex::default() }
    }

    /// A valid token. While one request asks for it, all that need it wait for the same answer, also if that is a failure. If the request
    /// that asks is dropped, the next one asks.
    ///
    /// # Errors
    /// `Status` with the provider's name and the endpoint's status, or 401 if it refused the client; otherwise the endpoint's error.
    async fn token(&self, client_secret: &Secret) -> Result<Secret, Error> {
        let asked = (self.now)();
        let valid = self.valid(asked);
        if let Some(token) = valid.as_ref().filter(|token| asked < token.renewed) {
            return Ok(token.secret.clone());
        }
        if let Some(token) = valid {
            // One request renews it, the others use it meanwhile.
            let Ok(mut renewal) = self.renewal.try_lock() else { return Ok(token.secret) };
            let failed_lately = renewal.as_ref().is_some_and(|(at, _)| asked < *at + RETRIED_AFTER);
            if failed_lately {
                return Ok(token.secret);
            }
            return Ok(self.renew(&mut renewal, client_secret).await.unwrap_or_else(|error| {
                tracing::warn!(provider = self.provider, "the token is used to its end, for its renewal failed: {error}");
                token.secret
            }));
        }
        let mut renewal = self.renewal.lock().await;
        if let Some(token) = self.valid((self.now)()) {
            return Ok(token.secret);
        }
        match &*renewal {
            Some((at, error)) if asked <= *at => Err(error.clone()),
            _ => self.renew(&mut renewal, client_secret).await,
        }
    }

    /// Drops `token` if it is the one in use.
    fn forget(&self, token: &Secret) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|kept| kept.secret.expose() == token.expose()) {
            *kept = None;
        }
    }

    fn valid(&self, now: Instant) -> Option<Token> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|token| now < token.expires)
    }

    async fn renew(&self, renewal: &mut Option<(Instant, Error)>, client_secret: &Secret) -> Result<Secret, Error> {
        let asked = (self.now)();
        let answer = self.endpoint.post(form(&self.config, client_secret).into()).await;
        let token = answer.and_then(|(status, body)| self.granted(status, &body, asked)).map_err(|error| client_secret.redact_error(error));
        match token {
            Ok(token) => {
                *renewal = None;
                let secret = token.secret.clone();
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
                Ok(secret)
            }
            Err(error) => {
                *renewal = Some(((self.now)(), error.clone()));
                Err(error)
            }
        }
    }

    fn granted(&self, status: u16, body: &[u8], asked: Instant) -> Result<Token, Error> {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        if !(200..300).contains(&status) {
            return Err(self.refused(status, &json));
        }
        let no_token =
            || Error::InvalidReply { provider: self.provider.clone(), cause: "its token endpoint gave no access_token".to_owned() };
        let secret = json["access_token"].as_str().and_then(|token| Secret::new(token).ok()).ok_or_else(no_token)?;
        // Entra's v1.0 endpoint writes the number as a string.
        let seconds = json["expires_in"].as_u64().or_else(|| json["expires_in"].as_str()?.parse().ok());
        let lifetime = seconds.map_or(LIFETIME, Duration::from_secs).min(LIFETIME_MAX);
        Ok(Token { secret, renewed: asked + lifetime - RENEWED_BEFORE.min(lifetime / 10), expires: asked + lifetime })
    }

    /// Whatever status the endpoint chose, it refused the operator's credentials, unless the status is one that passes by itself.
    fn refused(&self, status: u16, json: &Value) -> Error {
        let stands_for = if matches!(status, 408 | 429 | 500..) { status } else { 401 };
        let text = |key: &str| json[key].as_str().unwrap_or_default();
        let explanation: Vec<&str> = [text("error"), text("error_description")].into_iter().flat_map(str::split_whitespace).collect();
        let explanation: String = explanation.join(" ").chars().take(MESSAGE_CHARS_MAX).collect();
        Error::Status {
            provider: self.provider.clone(),
            status: stands_for,
            message: format!("its token endpoint answered {status}: {explanation}").trim_end_matches([':', ' ']).to_owned(),
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
    let fields: Vec<String> =
        fields.into_iter().chain(scope).map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, ESCAPED))).collect();
    fields.join("&")
}

#[cfg(test)]
mod tests;
