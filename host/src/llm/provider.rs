//! One provider of the operator's file that is asked over HTTP, and one try at it: its key is found, or a token of OAuth in its place, the
//! request is posted, and the reply is read within the limits. No key comes back in an error.
//! Nothing is returned before the first event of a stream with content, so that until then another provider can take over unseen.

pub(super) mod embeddings;
mod endpoint;
mod receive;
pub(super) mod rerank;

use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout};

use super::adapter::{CompletionRequest, Dialect, Unsupported, UnsupportedField};
use super::attempt::{Attempt, Failure, Observer, Request};
use super::budget::{self, Ask};
use super::config::ProviderConfig;
use super::error::{Error, Phase};
use super::fit::{Fitted, fitted};
use super::id::sortable_id;
use super::limits::Limits;
use super::meter::{self, Meter, Who};
use super::plugin::{self, PluginVendor};
use super::providers::builtin;
use super::received::{Received, ReplyMemory};
use super::relay::Relay;
use super::secrets::{OAuthConfig, Secret, Secrets, Tokens};
use super::target::{Mode, Target};
use super::transport::Tls;
use crate::chat::stream::{streamed, wants_usage};
use crate::chat::{Deadline, Exchange, Name, Reply, ReplyStream};
use endpoint::{Endpoint, within};
use receive::{Opened, parsed};

/// One entry under `[providers]` that is asked over HTTP.
pub(super) struct Provider {
    endpoint: Arc<Endpoint>,
    unsupported: Unsupported,
    observer: Arc<dyn Observer>,
    /// The secret of targets that name none.
    secret_key_name: Option<String>,
    /// If the secrets are those of an OAuth client: gets tokens for them, which are then the keys.
    tokens: Option<Arc<Tokens>>,
}

/// A request that providers can answer.
pub(super) trait Call: Request + Sized {
    /// Posts the request with this key, and reads the reply.
    fn post(
        provider: &Provider,
        attempt: &Attempt<'_, Self>,
        key: Option<&Secret>,
    ) -> impl Future<Output = Result<Self::Reply, Failure>> + Send;

    /// The answer of the answerer inside this program.
    ///
    /// # Errors
    /// If it cannot answer such a request.
    fn builtin(attempt: &Attempt<'_, Self>) -> Result<Self::Reply, Failure>;

    /// The answer of a plugin that is a model.
    fn plugin(vendor: &PluginVendor, attempt: &Attempt<'_, Self>) -> impl Future<Output = Result<Self::Reply, Failure>> + Send;
}

impl Provider {
    /// # Errors
    /// `Unreachable` if `base_url` or the token endpoint is no http or https URL.
    pub(super) fn new(
        name: &str,
        entry: &ProviderConfig,
        dialect: Box<dyn Dialect>,
        limits: &Limits,
        (memory, tls): (&ReplyMemory, &Arc<Tls>),
        observer: &Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let tokens = |oauth: &OAuthConfig| Tokens::new(name, oauth.clone(), limits, Arc::clone(tls)).map(Arc::new);
        Ok(Self {
            tokens: entry.oauth.as_ref().map(tokens).transpose()?,
            endpoint: Arc::new(Endpoint::new(name, entry, dialect, limits, (memory, tls))?),
            unsupported: entry.unsupported,
            observer: Arc::clone(observer),
            secret_key_name: entry.secret_key_name.clone(),
        })
    }

    #[cfg(test)]
    pub(super) fn has_the_endpoint_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.endpoint, &other.endpoint)
    }

    /// The same provider under another entry that names the same endpoint: its connections and tokens are kept.
    pub(super) fn renewed(&self, entry: &ProviderConfig, observer: &Arc<dyn Observer>) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
            unsupported: entry.unsupported,
            observer: Arc::clone(observer),
            secret_key_name: entry.secret_key_name.clone(),
            tokens: self.tokens.clone(),
        }
    }

    /// OpenTelemetry's name of the provider's kind.
    pub(super) fn system(&self) -> &'static str {
        self.endpoint.system
    }

    /// The name of the secret that holds the key for this target.
    pub(super) fn key_name<'t>(&'t self, target: &'t Target) -> Option<&'t str> {
        target.secret_key_name.as_deref().or(self.secret_key_name.as_deref())
    }

    /// One try. A token that the provider refuses is renewed within it, once, so that no circuit opens because a token was merely old.
    pub(super) async fn attempt<C: Call>(&self, secrets: &Secrets, attempt: &Attempt<'_, C>) -> Result<C::Reply, Failure> {
        let Attempt { target, deadline, .. } = *attempt;
        let mut key = self.key(secrets, target, deadline).await?;
        let mut renewed = false;
        loop {
            let result = C::post(self, attempt, key.as_ref()).await;
            let Some(used) = &key else { return result };
            if let Some(tokens) = self.refusing(&result) {
                tokens.forget(used);
                if !std::mem::replace(&mut renewed, true)
                    && let Some(newer) = self.newer(used, secrets, target, deadline).await?
                {
                    key = Some(newer);
                    continue;
                }
                // The endpoint may have given the same token again.
                tokens.forget(used);
            }
            return used.redact_result(result);
        }
    }

    /// The secret of the target or the provider's own, or the token that stands for it.
    async fn key(&self, secrets: &Secrets, target: &Target, deadline: Deadline) -> Result<Option<Secret>, Error> {
        let Some(name) = self.key_name(target) else { return Ok(None) };
        let provider = || self.endpoint.name.to_string();
        let missing = |cause| Error::SecretMissing { provider: provider(), name: name.to_owned(), cause };
        let secret = secrets(name).map_err(missing)?;
        let Some(tokens) = &self.tokens else { return Ok(Some(secret)) };
        let limit = deadline.remaining();
        let late = |_| self.endpoint.timeout(Phase::Deadline, limit);
        timeout(limit, tokens.token(name, &secret)).await.map_err(late)?.map(Some)
    }

    /// The tokens, if the provider refused one of them, which it may have revoked before it expired.
    fn refusing<T>(&self, result: &Result<T, Failure>) -> Option<&Tokens> {
        self.tokens.as_deref().filter(|_| matches!(result, Err(Failure { error: Error::Status { status: 401, .. }, .. })))
    }

    /// A token in place of `old`, which was refused; none if the endpoint gives the same one again.
    async fn newer(&self, old: &Secret, secrets: &Secrets, target: &Target, deadline: Deadline) -> Result<Option<Secret>, Error> {
        let newer = self.key(secrets, target, deadline).await?.filter(|newer| newer.expose() != old.expose());
        if newer.is_some() {
            let provider = &*self.endpoint.name;
            tracing::info!(llm.provider = provider, "provider `{provider}` refused its token and is asked once with a new one");
        }
        Ok(newer)
    }
}

/// A chat, asked for a whole reply or a stream.
pub(super) struct Chat<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) mode: Mode,
}

impl Request for Chat<'_> {
    type Reply = Reply;

    const OPERATION: &'static str = "chat";

    fn streams(&self) -> bool {
        self.mode == Mode::Stream
    }
}

impl Call for Chat<'_> {
    fn builtin(attempt: &Attempt<'_, Self>) -> Result<Reply, Failure> {
        let refused = |UnsupportedField { param, message }| {
            let provider = attempt.target.provider.clone();
            Failure::from(Error::UnsupportedField { provider, param, message })
        };
        builtin::reply(attempt.model, attempt.request.exchange, attempt.request.mode).map_err(refused)
    }

    async fn plugin(vendor: &PluginVendor, attempt: &Attempt<'_, Self>) -> Result<Reply, Failure> {
        let Attempt { model, request: &Chat { exchange, mode }, deadline, others, .. } = *attempt;
        let (operation, name) = (Self::OPERATION, fallback_name(model));
        // Boxed: nearly all tries are at providers, and their futures should not be larger for it.
        Box::pin(vendor.reply(plugin::Asked { model, exchange, mode, operation, deadline, others, name })).await
    }

    /// Within the total limit and what is left of the exchange's time.
    async fn post(provider: &Provider, attempt: &Attempt<'_, Self>, key: Option<&Secret>) -> Result<Reply, Failure> {
        let Attempt { model, request: &Chat { exchange, mode }, .. } = *attempt;
        let Provider { endpoint, unsupported, observer, .. } = provider;
        let limits = &endpoint.limits;
        let left = attempt.deadline.remaining();
        // A whole reply has no first event to wait for: without a share for those after it, a silent provider would take all the time.
        let share = if mode == Mode::Whole { left / (attempt.others + 1) } else { left };
        let (time, phase) = match share.min(limits.total) {
            time if time == left => (time, Phase::Deadline),
            time => (time, Phase::Total),
        };
        let end = Instant::now() + time;
        let in_time = || endpoint.timeout(phase, time);
        let name = fallback_name(model);
        let takes = endpoint.dialect.takes();
        let mut fitted = fitted(&exchange.messages, &exchange.params, takes);
        fitted.keep_excerpts(exchange.fence.as_deref(), takes);
        let Fitted { messages, params, back } = fitted;
        let chat = CompletionRequest {
            model,
            messages: &messages,
            params: &params,
            stream: mode == Mode::Stream,
            unsupported: *unsupported,
            name: name.clone(),
        };
        let (wire, mut reading) = endpoint.dialect.encode_chat(&chat).map_err(|field| endpoint.unsupported_field(field))?;
        let prompt = meter::tokens(wire.body.len() as u64);
        let request = endpoint.request(wire, key)?;
        let (caller, end_user) = (exchange.caller.as_deref(), exchange.end_user.as_ref());
        let (completion, choices) = budget::wanted(exchange);
        let ask = Ask { caller, end_user, provider: &endpoint.name, model, prompt, completion, choices };
        // It is ready at once, but for a caller who needs more of a budget than is written down.
        let hold = observer.reserve(&ask).await?;
        let (pipeline, tries, operation) = (&*exchange.pipeline, &exchange.tries, Self::OPERATION);
        let who = Who { pipeline, caller, provider: &endpoint.name, operation, system: endpoint.system, tries };
        let mut meter = Meter::new(Arc::clone(observer), &who, model, prompt, hold);
        let connection = within(end, endpoint.transport.connection(), in_time).await?;
        let mut received = endpoint.memory.reply(&exchange.client);
        if mode == Mode::Whole {
            let whole = within(end, endpoint.whole(key, &mut reading, &mut received, connection, request, &mut meter), in_time).await?;
            keep(received, exchange);
            let whole = back.whole(whole).map_err(|invalid| endpoint.invalid_reply(invalid.message))?;
            return Ok(Reply::Whole(whole));
        }
        let first = Instant::now() + limits.first_byte;
        let late = || if first < end { endpoint.timeout(Phase::FirstByte, limits.first_byte) } else { in_time() };
        match within(first.min(end), endpoint.open(key, reading, meter, received, connection, request), late).await? {
            Opened::Events(begun) => {
                let relay = Relay::new(Arc::clone(&endpoint.name), *begun, limits.idle, end);
                Ok(Reply::Stream(ReplyStream::new(relay, name, wants_usage(exchange)).through(|frames| back.stream(frames))))
            }
            Opened::Json(json) => {
                let (body, mut reading, mut meter, mut received) = *json;
                let whole = within(end, endpoint.read_whole(key, &mut reading, &mut received, body, &mut meter), in_time).await?;
                keep(received, exchange);
                let mut completion = parsed(whole).map_err(|invalid| endpoint.invalid_reply(invalid.message))?;
                back.completion(&mut completion);
                Ok(streamed(completion, exchange))
            }
        }
    }
}

/// A whole reply is in memory, or what hooks and encoders made of it, until the exchange is over.
fn keep(received: Received, exchange: &Exchange) {
    if let Some(share) = received.into_share() {
        exchange.kept.add(share);
    }
}

/// What the reply is called if the vendor does not name it.
fn fallback_name(model: &str) -> Name {
    let id = format!("chatcmpl-{}", sortable_id().simple());
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    Name { id, model: model.to_owned(), created }
}
