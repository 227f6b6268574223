//! One room's implementation plugged into another one's port.
//! Invariant: it holds no logic of its own.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::chat::Usage;
use crate::ledger::{self, Ledger};
use crate::llm;
use crate::outbound::{LookUp, SecretValue};
use crate::telemetry::{self, Metrics};

/// Plugs the metrics and the ledger into the llm room's port.
pub(super) struct Attempts {
    pub(super) metrics: Arc<Metrics>,
    pub(super) ledger: Arc<Ledger>,
}

impl llm::Observer for Attempts {
    fn attempt(&self, provider: &str, _model: &str, outcome: &'static str, seconds: f64) {
        // Models are not a label: clients' hooks choose them, and each would be a series for ever.
        self.metrics.llm_attempt(provider, outcome, seconds);
    }

    fn reserve<'a>(&'a self, ask: &'a llm::Ask<'a>) -> BoxFuture<'a, Result<Option<Box<dyn llm::Hold>>, llm::Error>> {
        let llm::Ask { caller, end_user, provider, model, prompt, completion, choices } = *ask;
        Box::pin(async move {
            let ask = ledger::reservation::Ask { caller, end_user, provider, model, prompt, completion, choices };
            let reserved = self.ledger.reserve(&ask).await.map_err(|refused| over_budget(&refused))?;
            let held = |reservation| Box::new(Held { reservation, metrics: self.metrics.clone() }) as Box<dyn llm::Hold>;
            Ok(reserved.map(held))
        })
    }

    fn used(&self, used: &llm::Used<'_>) {
        count(&self.metrics, used);
        self.ledger.used(&entry(used));
    }

    fn circuits(&self, provider: &str, open: usize) {
        self.metrics.llm_circuits(provider, open);
    }

    fn operation(&self, of: telemetry::Operation<'_>, error: Option<&'static str>, seconds: f64) {
        self.metrics.operation(of, error, seconds);
    }

    fn first_chunk(&self, of: telemetry::Operation<'_>, seconds: f64) {
        self.metrics.first_chunk(of, seconds);
    }
}

/// Plugs the places where secrets are looked for into the guard of plugins' requests. Plugins are not linked anew when these places change.
pub(super) struct PluginSecrets(Arc<RwLock<llm::Secrets>>);

impl PluginSecrets {
    pub(super) fn new(secrets: llm::Secrets) -> Self {
        Self(Arc::new(RwLock::new(secrets)))
    }

    pub(super) fn look_up(&self) -> LookUp {
        let places = self.0.clone();
        Arc::new(move |name| {
            // What is behind the lock is only ever replaced whole.
            let secrets = places.read().unwrap_or_else(PoisonError::into_inner).clone();
            secrets(name).map(|secret| SecretValue::new(secret.expose())).map_err(|why| why.to_string())
        })
    }

    /// Looks there from now on.
    pub(super) fn take_effect(&self, secrets: llm::Secrets) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = secrets;
    }
}

/// Plugs a reservation of the ledger into the llm room's port.
struct Held {
    reservation: ledger::reservation::Reservation,
    metrics: Arc<Metrics>,
}

impl llm::Hold for Held {
    fn expected(&self) -> Usage {
        self.reservation.expected()
    }

    fn extend(&mut self, completion: u64) -> bool {
        self.reservation.extend(completion)
    }

    fn settle(self: Box<Self>, used: &llm::Used<'_>) {
        count(&self.metrics, used);
        self.reservation.settle(&entry(used));
    }

    fn release(self: Box<Self>) {
        self.reservation.release();
    }
}

fn entry<'a>(used: &llm::Used<'a>) -> ledger::Entry<'a> {
    let llm::Used { pipeline, caller, provider, model, usage, estimated, .. } = *used;
    ledger::Entry { pipeline, caller, provider, model, usage, estimated }
}

/// In OpenTelemetry's terms. The convention wants the provider's own count.
fn count(metrics: &Metrics, used: &llm::Used<'_>) {
    let llm::Used { operation, system, model, usage, estimated, .. } = *used;
    if !estimated {
        metrics.operation_tokens(telemetry::Operation { name: operation, system, model }, usage.prompt, usage.completion);
    }
}

fn over_budget(refused: &ledger::Refused) -> llm::Error {
    let remedy = match refused.remedy() {
        ledger::Remedy::Wait => llm::BudgetRemedy::Wait,
        ledger::Remedy::Later => llm::BudgetRemedy::Later,
        ledger::Remedy::OtherModel => llm::BudgetRemedy::OtherModel,
    };
    llm::Error::OverBudget { message: refused.to_string(), remedy, retry_after: refused.retry_after }
}

/// Plugs the llm room's transport into the telemetry room's port.
pub(super) struct Collector {
    pub(super) post: llm::Post,
    pub(super) time: Duration,
}

impl telemetry::Deliver for Collector {
    fn deliver(&self, json: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match self.post.send("application/json", json.into(), self.time).await {
                Ok((200..300, _)) => Ok(()),
                Ok((status, _)) => Err(format!("it answered {status}")),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Observer as _;
    use crate::storage;

    #[test]
    fn secrets_of_plugins_are_looked_for_where_the_configuration_in_force_says() {
        let secrets = PluginSecrets::new(Arc::new(|_| Err(llm::MissingSecret::NotSet)));
        let look_up = secrets.look_up();
        assert!(look_up("KEY").unwrap_err().contains("is not set"));
        secrets.take_effect(Arc::new(|_| llm::Secret::new("the value")));
        assert_eq!(format!("{:?}", look_up("KEY").unwrap()), "[hidden]");
    }

    #[tokio::test]
    async fn what_a_reply_used_reaches_the_ledger_the_budget_and_the_metrics() {
        let (folder, metrics) = (tempfile::tempdir().unwrap(), Metrics::new());
        let allowance = ledger::Allowance { tokens_per_day: Some(29), ..ledger::Allowance::default() };
        let config = ledger::Config { allowances: [("team-a".into(), allowance)].into(), ..ledger::Config::default() };
        let usage = storage::sqlite::open(&folder.path().join("db")).unwrap().usage;
        let ledger = Ledger::open(usage, config, Arc::new(ledger::clock::Moment::default), metrics.clone()).await.unwrap();
        let attempts = Attempts { metrics: metrics.clone(), ledger: Arc::new(ledger) };
        let usage = Usage { prompt: 20, completion: 9, cached: 15, reasoning: 4, ..Usage::default() };
        let (pipeline, provider, operation, system, model) = ("support", "openai", "chat", "openai", "gpt-4o");
        let used = llm::Used { pipeline, caller: Some("team-a"), provider, operation, system, model, usage, estimated: true };
        attempts.used(&used);
        let today = attempts.ledger.today();
        let rows = attempts.ledger.report(today, today, None).await.unwrap();
        let sums =
            ledger::Sums { replies: 1, prompt: 20, completion: 9, cached: 15, reasoning: 4, estimated: 1, ..ledger::Sums::default() };
        assert_eq!((rows.len(), rows[0].caller.as_str(), rows[0].model.as_str(), rows[0].sums), (1, "team-a", "gpt-4o", sums));
        assert_eq!(attempts.ledger.admit("team-a").unwrap_err().limit, ledger::Limit::TokensPerDay);
        let line = r#"cofferdam_tokens_total{pipeline="support",caller="team-a",provider="openai",model="gpt-4o",type="reasoning"} 4"#;
        assert!(metrics.render().lines().any(|l| l == line));
        // What was guessed is not the provider's count, which alone goes under the convention's name.
        assert!(!metrics.render().contains("gen_ai_client_token_usage_sum"));
        attempts.used(&llm::Used { estimated: false, ..used });
        let line = r#"gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",gen_ai_token_type="output"} 9.0"#;
        assert!(metrics.render().lines().any(|l| l == line), "{}", metrics.render());
    }
}
