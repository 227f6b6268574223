//! All circuit breakers, one for each provider and key, shared by all requests. Only those with something to remember are kept.
//! Holds the names of keys, never their values.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::circuit::{BreakerConfig, Change, Circuit, Open, Ticket};
use super::policy::Verdict;
use super::{Failure, Observer};
use crate::llm::limits::Limits;

pub(super) struct Circuits {
    config: BreakerConfig,
    observer: Arc<dyn Observer>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// A list, because it is empty while all providers answer, and short otherwise.
    kept: Vec<Kept>,
    /// The highest generation of any circuit so far.
    generation: u64,
}

/// Whose circuit it is: a provider, and the name of the secret that holds its key; for targets that name none, that of the provider's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account<'a> {
    pub(super) provider: &'a str,
    pub(super) key_name: Option<&'a str>,
}

struct Kept {
    provider: String,
    key_name: Option<String>,
    circuit: Circuit,
}

/// A circuit that remembers a failure, for the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitState {
    pub provider: String,
    /// The name of the secret, never its value.
    pub key_name: Option<String>,
    pub state: CircuitPhase,
    /// The end of its open time; none while it is closed.
    pub until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitPhase {
    /// The provider has failed, but not often enough to open it.
    Closed,
    Open,
    /// Its open time is over; the next try decides.
    HalfOpen,
}

/// Allows one try. If it is dropped without an outcome, as when the client hangs up, that says nothing about the provider.
pub(super) struct Permit<'a> {
    circuits: &'a Circuits,
    account: Account<'a>,
    ticket: Ticket,
    recorded: bool,
}

impl Circuits {
    pub(super) fn new(limits: &Limits, observer: Arc<dyn Observer>) -> Self {
        Self { config: BreakerConfig::new(limits), observer, table: Mutex::default() }
    }

    /// Allows a try there now.
    pub(super) fn admit<'a>(&'a self, account: Account<'a>) -> Result<Permit<'a>, Open> {
        let ticket = self.with(account, |circuit| circuit.admit(Instant::now()))?;
        Ok(Permit { circuits: self, account, ticket, recorded: false })
    }

    /// Whether no try is allowed there now.
    pub(super) fn is_open_for(&self, account: Account<'_>) -> bool {
        self.with(account, |circuit| circuit.is_open(Instant::now()))
    }

    /// Allows a try there although the circuit is open.
    pub(super) fn force<'a>(&'a self, account: Account<'a>) -> Permit<'a> {
        Permit { circuits: self, account, ticket: self.with(account, |circuit| circuit.force()), recorded: false }
    }

    /// Every circuit that remembers a failure.
    pub(super) fn states(&self) -> Vec<CircuitState> {
        let now = Instant::now();
        let state = |kept: &Kept| {
            let until = kept.circuit.open_until();
            let state = match until {
                None => CircuitPhase::Closed,
                Some(until) if now < until => CircuitPhase::Open,
                Some(_) => CircuitPhase::HalfOpen,
            };
            CircuitState { provider: kept.provider.clone(), key_name: kept.key_name.clone(), state, until }
        };
        self.lock().kept.iter().map(state).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic elsewhere leaves counters, which are as good as before.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, account: Account<'_>, act: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut table = self.lock();
        let generation = table.generation;
        match table.kept.iter_mut().find(|kept| kept.is_of(account)) {
            Some(kept) => act(&mut kept.circuit),
            None => act(&mut Circuit::new(generation)),
        }
    }

    fn record(&self, account: Account<'_>, ticket: Ticket, verdict: &Verdict, failure: Option<&Failure>) {
        if !self.config.is_enabled() {
            return;
        }
        let mut table = self.lock();
        let Some(at) = table.find(account, matches!(verdict, Verdict::Failure | Verdict::Unavailable { .. })) else { return };
        let circuit = &mut table.kept[at].circuit;
        let change = circuit.record(Instant::now(), ticket, verdict, failure, &self.config);
        let (generation, is_clean) = (circuit.generation(), circuit.is_clean());
        table.generation = table.generation.max(generation);
        if is_clean {
            table.kept.swap_remove(at);
        }
        if change != Change::None {
            // Reported under the lock, so that the last number reported is the last one that was true.
            self.observer.circuits(account.provider, table.open(account.provider));
            log(account, change, failure);
        }
    }
}

impl Table {
    /// The circuit's index; with `add`, one that is not kept yet is added.
    fn find(&mut self, account: Account<'_>, add: bool) -> Option<usize> {
        let at = self.kept.iter().position(|kept| kept.is_of(account));
        if at.is_some() || !add {
            return at;
        }
        let (provider, key_name) = (account.provider.to_owned(), account.key_name.map(str::to_owned));
        self.kept.push(Kept { provider, key_name, circuit: Circuit::new(self.generation) });
        Some(self.kept.len() - 1)
    }

    fn open(&self, provider: &str) -> usize {
        self.kept.iter().filter(|kept| kept.provider == provider && kept.circuit.open_until().is_some()).count()
    }
}

fn log(account: Account<'_>, change: Change, failure: Option<&Failure>) {
    let (provider, key) = (account.provider, account.key_name.unwrap_or("none"));
    let why = failure.map(|failure| failure.error.to_string()).unwrap_or_default();
    match change {
        Change::None => {}
        Change::Opened { open_for } => {
            let ms = open_for.as_millis();
            tracing::warn!(llm.provider = provider, llm.key_name = key, "provider `{provider}` is left in peace for {ms} ms: {why}");
        }
        Change::Closed => tracing::info!(llm.provider = provider, llm.key_name = key, "provider `{provider}` answers again"),
    }
}

impl Kept {
    fn is_of(&self, account: Account<'_>) -> bool {
        self.provider == account.provider && self.key_name.as_deref() == account.key_name
    }
}

impl Permit<'_> {
    /// Records the outcome of the try.
    pub(super) fn record(mut self, verdict: &Verdict, failure: Option<&Failure>) {
        self.recorded = true;
        self.circuits.record(self.account, self.ticket, verdict, failure);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.recorded {
            self.circuits.record(self.account, self.ticket, &Verdict::Neutral, None);
        }
    }
}

#[cfg(test)]
mod tests;
