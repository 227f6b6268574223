//! The tokens of one provider, for each of its client secrets apart: pipelines may name another one than the provider's entry.
//! Must not know how a token is asked for, nor what it is for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Secret;
use super::oauth::{OAuth, OAuthConfig};
use crate::llm::transport::{Post, Tls};
use crate::llm::{Error, Limits};

pub(in crate::llm) struct Tokens {
    provider: String,
    config: OAuthConfig,
    limits: Limits,
    tls: Arc<Tls>,
    /// By the client secret's name. Only of secrets that were found, so that it is never longer than their list.
    clients: Mutex<BTreeMap<String, Arc<OAuth>>>,
}

impl Tokens {
    /// # Errors
    /// `Unreachable` where `token_url` is no http or https URL.
    pub(in crate::llm) fn new(provider: &str, config: OAuthConfig, limits: &Limits, tls: Arc<Tls>) -> Result<Self, Error> {
        let tokens = Self { provider: provider.to_owned(), config, limits: limits.clone(), tls, clients: Mutex::default() };
        // So that a bad URL is told when the server starts.
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

    /// Drops `token`: the provider refused it before its time.
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
        Post::over(&self.provider, &self.config.token_url, &self.limits, Arc::clone(&self.tls))
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, Arc<OAuth>>> {
        // A panic elsewhere leaves whole entries.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
