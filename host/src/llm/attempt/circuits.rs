//! All circuits, one for each provider and key, shared by all requests. Only those with something to remember are kept.
//! Must not know chains or what a failure means; never holds a key, only its name.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::circuit::{BreakerConfig, Change, Circuit, Open, Ticket};
use super::policy::Verdict;
use super::{Failure, Observer};
use crate::llm::Limits;

pub(super) struct Circuits {
    rests: BreakerConfig,
    observer: Arc<dyn Observer>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// A list: it is empty while all is well, and short otherwise.
    kept: Vec<Kept>,
    /// The most openings of any circuit so far.
    openings: u64,
}

/// Whose circuit: a provider, and the name of the secret that its key is in, which for targets that name none is the provider's own.
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

/// A circuit that is not at rest, for whoever watches.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitState {
    pub provider: String,
    /// The name of the secret, never its value.
    pub key_name: Option<String>,
    pub state: CircuitPhase,
    /// The end of its rest; none while it is closed.
    pub until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitPhase {
    /// It has failed, not often enough to open.
    Closed,
    Open,
    /// Its rest is over; the next try decides.
    HalfOpen,
}

/// The right to one try. Dropped without a verdict, as when the client hangs up, it says nothing about the provider.
pub(super) struct Permit<'a> {
    circuits: &'a Circuits,
    account: Account<'a>,
    ticket: Ticket,
    settled: bool,
}

impl Circuits {
    pub(super) fn new(limits: &Limits, observer: Arc<dyn Observer>) -> Self {
        Self { rests: BreakerConfig::new(limits), observer, table: Mutex::default() }
    }

    /// The right to try there now.
    pub(super) fn admit<'a>(&'a self, account: Account<'a>) -> Result<Permit<'a>, Open> {
        let ticket = self.with(account, |circuit| circuit.admit(Instant::now()))?;
        Ok(Permit { circuits: self, account, ticket, settled: false })
    }

    /// Whether nobody may try there now.
    pub(super) fn are_shut_for(&self, account: Account<'_>) -> bool {
        self.with(account, |circuit| circuit.is_shut(Instant::now()))
    }

    /// The right to try there although the circuit is open.
    pub(super) fn force<'a>(&'a self, account: Account<'a>) -> Permit<'a> {
        Permit { circuits: self, account, ticket: self.with(account, |circuit| circuit.force()), settled: false }
    }

    /// Every circuit that is not at rest.
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
        // A panic elsewhere leaves counts, which are as good as before.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, account: Account<'_>, act: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut table = self.lock();
        let openings = table.openings;
        match table.kept.iter_mut().find(|kept| kept.is_of(account)) {
            Some(kept) => act(&mut kept.circuit),
            None => act(&mut Circuit::new(openings)),
        }
    }

    fn settle(&self, account: Account<'_>, ticket: Ticket, verdict: &Verdict, why: Option<&Failure>) {
        if !self.rests.are_taken() {
            return;
        }
        let mut table = self.lock();
        let Some(at) = table.place(account, matches!(verdict, Verdict::Failure | Verdict::Unavailable { .. })) else { return };
        let circuit = &mut table.kept[at].circuit;
        let change = circuit.settle(Instant::now(), ticket, verdict, why, &self.rests);
        let (openings, at_rest) = (circuit.openings(), circuit.at_rest());
        table.openings = table.openings.max(openings);
        if at_rest {
            table.kept.swap_remove(at);
        }
        if change != Change::None {
            // Told under the lock, so that the last figure told is the last one that was true.
            self.observer.circuits(account.provider, table.open(account.provider));
            tell(account, change, why);
        }
    }
}

impl Table {
    /// Where the circuit stands; one that is not kept yet is made if it must be.
    fn place(&mut self, account: Account<'_>, must: bool) -> Option<usize> {
        let at = self.kept.iter().position(|kept| kept.is_of(account));
        if at.is_some() || !must {
            return at;
        }
        let (provider, key_name) = (account.provider.to_owned(), account.key_name.map(str::to_owned));
        self.kept.push(Kept { provider, key_name, circuit: Circuit::new(self.openings) });
        Some(self.kept.len() - 1)
    }

    fn open(&self, provider: &str) -> usize {
        self.kept.iter().filter(|kept| kept.provider == provider && kept.circuit.open_until().is_some()).count()
    }
}

fn tell(account: Account<'_>, change: Change, why: Option<&Failure>) {
    let (provider, key) = (account.provider, account.key_name.unwrap_or("none"));
    let why = why.map(|failure| failure.error.to_string()).unwrap_or_default();
    match change {
        Change::None => {}
        Change::Opened { rest } => {
            let ms = rest.as_millis();
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
    pub(super) fn settle(mut self, verdict: &Verdict, why: Option<&Failure>) {
        self.settled = true;
        self.circuits.settle(self.account, self.ticket, verdict, why);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.circuits.settle(self.account, self.ticket, &Verdict::Neutral, None);
        }
    }
}

#[cfg(test)]
mod tests;
