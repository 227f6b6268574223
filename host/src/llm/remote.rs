//! A provider over HTTP together with its keys: which secret a target's try carries, whether a token stands for it, and that neither
//! comes back in an error. Must not know dialects or sockets, or whether another target follows.

use std::sync::Arc;

use tokio::time::timeout;

use super::adapter::Dialect;
use super::attempt::{Failure, Observer};
use super::provider::{Call, Provider, ProviderParts};
use super::secrets::{OAuthConfig, Secret, Secrets, Tokens};
use super::transport::Tls;
use super::{Error, Limits, Mode, Phase, ProviderConfig, Target};
use crate::chat::{Deadline, Embed, Embedded, Exchange, Reply};

/// One entry under `[providers]` that is asked over HTTP.
pub(super) struct Remote {
    name: Arc<str>,
    system: &'static str,
    provider: Provider,
    /// The secret of targets that name none.
    secret_key_name: Option<String>,
    /// Where the secrets are those of an OAuth client: what gets a token for one, which is then the key.
    tokens: Option<Tokens>,
}

/// The try of one target.
pub(super) struct Try<'a> {
    pub(super) target: &'a Target,
    pub(super) model: &'a str,
    pub(super) exchange: &'a Exchange,
    pub(super) mode: Mode,
    /// Targets of the chain after this one.
    pub(super) others: u32,
}

impl Remote {
    /// # Errors
    /// `Unreachable` where `base_url` or the token endpoint is no http or https URL.
    pub(super) fn new(
        name: &str,
        entry: &ProviderConfig,
        dialect: Box<dyn Dialect>,
        limits: &Limits,
        tls: &Arc<Tls>,
        observer: &Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let ready = |oauth: &OAuthConfig| Tokens::new(name, oauth.clone(), limits, Arc::clone(tls));
        let tokens = entry.oauth.as_ref().map(ready).transpose()?;
        let provider = Provider::new(ProviderParts {
            name,
            system: entry.kind().system(),
            base_url: &entry.base_url,
            dialect,
            bearer: tokens.is_some(),
            unsupported: entry.unsupported,
            limits: limits.clone(),
            tls: Arc::clone(tls),
            observer: Arc::clone(observer),
        })?;
        Ok(Self { name: name.into(), system: entry.kind().system(), provider, secret_key_name: entry.secret_key_name.clone(), tokens })
    }

    /// What OpenTelemetry's conventions call its kind.
    pub(super) fn system(&self) -> &'static str {
        self.system
    }

    /// The name of the secret of targets that name none.
    pub(super) fn own_key_name(&self) -> Option<&str> {
        self.secret_key_name.as_deref()
    }

    /// One try for a chat reply.
    pub(super) async fn call(&self, secrets: &Secrets, asked: Try<'_>) -> Result<Reply, Failure> {
        let Try { target, model, exchange, mode, others } = asked;
        let ask = async |key: Option<&Secret>| self.provider.call(&Call { model, key, exchange, mode, others }).await;
        let mut key = self.key(secrets, target, exchange.deadline).await?;
        let mut result = ask(key.as_ref()).await;
        if self.refuses_token(&result)
            && let Some(newer) = self.newer(key.as_ref(), secrets, target, exchange.deadline).await?
        {
            result = ask(Some(&newer)).await;
            key = Some(newer);
        }
        self.after(key.as_ref(), result)
    }

    /// One try for vectors.
    pub(super) async fn embed(
        &self,
        secrets: &Secrets,
        target: &Target,
        model: &str,
        embed: &Embed,
        deadline: Deadline,
    ) -> Result<Embedded, Failure> {
        let ask = async |key: Option<&Secret>| self.provider.embed(model, key, embed, deadline.remaining()).await;
        let mut key = self.key(secrets, target, deadline).await?;
        let mut result = ask(key.as_ref()).await;
        if self.refuses_token(&result)
            && let Some(newer) = self.newer(key.as_ref(), secrets, target, deadline).await?
        {
            result = ask(Some(&newer)).await;
            key = Some(newer);
        }
        self.after(key.as_ref(), result)
    }

    /// The key of the target or the provider's own, or the token that it stands for.
    async fn key(&self, secrets: &Secrets, target: &Target, deadline: Deadline) -> Result<Option<Secret>, Error> {
        let Some(name) = target.secret_key_name.as_ref().or(self.secret_key_name.as_ref()) else { return Ok(None) };
        let lacking = |cause| Error::SecretMissing { provider: self.name.to_string(), name: name.clone(), cause };
        let secret = secrets(name).map_err(lacking)?;
        let Some(tokens) = &self.tokens else { return Ok(Some(secret)) };
        let limit = deadline.remaining();
        let late = |_| Error::Timeout { provider: self.name.to_string(), phase: Phase::Deadline, limit };
        timeout(limit, tokens.token(name, &secret)).await.map_err(late)?.map(Some)
    }

    /// Whether the provider refused a token of OAuth, which it may have revoked before its time.
    fn refuses_token<T>(&self, result: &Result<T, Failure>) -> bool {
        self.tokens.is_some() && matches!(result, Err(Failure { error: Error::Status { status: 401, .. }, .. }))
    }

    /// Another token in place of one that was refused; none where the endpoint gives the same again. It is part of the same try, so that
    /// nobody is benched for a token that was merely old.
    async fn newer(&self, old: Option<&Secret>, secrets: &Secrets, target: &Target, deadline: Deadline) -> Result<Option<Secret>, Error> {
        let (Some(tokens), Some(old)) = (&self.tokens, old) else { return Ok(None) };
        tokens.forget(old);
        let newer = self.key(secrets, target, deadline).await?.filter(|newer| newer.expose() != old.expose());
        if newer.is_some() {
            tracing::info!(llm.provider = &*self.name, "provider `{}` refused its token and is asked once with a new one", self.name);
        }
        Ok(newer)
    }

    /// What came of a try with this key, without the key; a token that was refused is not used again.
    fn after<T>(&self, key: Option<&Secret>, result: Result<T, Failure>) -> Result<T, Failure> {
        let Some(key) = key else { return result };
        if self.refuses_token(&result) {
            self.tokens.iter().for_each(|tokens| tokens.forget(key));
        }
        key.redact_result(result)
    }
}
