//! All circuit breakers: for each provider and key one that all requests share, and one for each caller. Only those with something to remember
//! are kept. What one caller does opens its own circuit and no other's. Holds the names of keys, never their values. Each provider has a table
//! of its own, which the next configuration takes over if the provider is the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::circuit::{BreakerConfig, Change, Circuit, Open, Ticket};
use super::policy::Verdict;
use super::shared::{self, Caller, Outcome, Shared};
use super::{Failure, Observer};
use crate::llm::limits::Limits;

/// In log lines: all callers. Where there are no keys, nobody is told from the others.
const EVERYONE: &str = "everyone";

/// The circuits of all requests.
pub(super) struct Circuits {
    config: BreakerConfig,
    observer: Arc<dyn Observer>,
    tables: BTreeMap<String, Arc<Mutex<Table>>>,
    /// Of providers that the configuration does not have.
    others: Arc<Mutex<Table>>,
    /// Of providers that are gone or were changed since the configuration before this one.
    replaced: Vec<(String, Arc<Mutex<Table>>)>,
}

#[derive(Default)]
struct Table {
    /// Its provider is gone, or has this name no longer.
    over: bool,
    /// A list, because it is empty while all providers answer, and short otherwise.
    kept: Vec<Kept>,
    /// The highest generation of any circuit so far.
    generation: u64,
}

/// Whose circuits they are: a provider, and the name of the secret that holds its key, for targets that name none that of the provider's entry;
/// and who asks, by the name of the client's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account<'a> {
    pub(super) provider: &'a str,
    pub(super) key_name: Option<&'a str>,
    pub(super) caller: Option<&'a str>,
}

/// The circuits of one provider and key. There are no more callers than the operator has made keys.
struct Kept {
    provider: String,
    key_name: Option<String>,
    shared: Shared,
    callers: Vec<(Caller, Circuit)>,
}

/// A circuit that remembers a failure, for the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitState {
    pub provider: String,
    /// The name of the secret, never its value.
    pub key_name: Option<String>,
    pub whose: Whose,
    pub state: CircuitPhase,
    /// The end of its open time; none while it is closed.
    pub until: Option<Instant>,
}

/// Whose requests a circuit keeps from a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    Everyone,
    /// The name of a client key; none if no keys are configured.
    Caller(Option<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitPhase {
    /// The provider has failed, but not often enough to open it.
    Closed,
    Open,
    /// Its open time is over; the next try decides.
    HalfOpen,
}

#[derive(Clone, Copy)]
struct Tickets {
    own: Ticket,
    shared: shared::Ticket,
}

/// Allows one try. If it is dropped without an outcome, as when the client hangs up, that says nothing about the provider.
pub(super) struct Permit<'a> {
    circuits: &'a Circuits,
    account: Account<'a>,
    tickets: Tickets,
    recorded: bool,
}

impl Circuits {
    pub(super) fn new<'p>(limits: &Limits, observer: Arc<dyn Observer>, providers: impl Iterator<Item = &'p String>) -> Self {
        let tables = providers.map(|name| (name.clone(), Arc::default())).collect();
        Self { config: BreakerConfig::new(limits), observer, tables, others: Arc::default(), replaced: Vec::new() }
    }

    /// Those of the next configuration, which has these providers; each with whether it is the same as before.
    pub(super) fn renewed<'p>(
        &self,
        limits: &Limits,
        observer: Arc<dyn Observer>,
        providers: impl Iterator<Item = (&'p String, bool)>,
    ) -> Self {
        let table = |name: &String, same: bool| self.tables.get(name).filter(|_| same).cloned().unwrap_or_default();
        let tables: BTreeMap<String, Arc<Mutex<Table>>> = providers.map(|(name, same)| (name.clone(), table(name, same))).collect();
        let is_over = |(name, table): &(&String, &Arc<Mutex<Table>>)| !tables.get(*name).is_some_and(|next| Arc::ptr_eq(next, table));
        let replaced = self.tables.iter().filter(is_over).map(|(name, table)| (name.clone(), Arc::clone(table))).collect();
        Self { config: BreakerConfig::new(limits), observer, tables, others: Arc::clone(&self.others), replaced }
    }

    /// These are in force: a provider that is no longer there has no open circuit, whatever its last requests come to.
    pub(super) fn take_effect(&self) {
        for (name, table) in &self.replaced {
            let mut table = lock(table);
            if table.open(name) > 0 {
                self.observer.circuits(name, 0);
            }
            table.over = true;
        }
    }

    /// Allows a try there now.
    pub(super) fn admit<'a>(&'a self, account: Account<'a>) -> Result<Permit<'a>, Open> {
        let mut table = self.table(account);
        let generation = table.generation;
        let tickets = match table.of(account) {
            Some(kept) => kept.admit(Instant::now(), account.caller, generation)?,
            None => Tickets::new(generation),
        };
        drop(table);
        Ok(Permit { circuits: self, account, tickets, recorded: false })
    }

    /// Whether no try is allowed there now.
    pub(super) fn is_open_for(&self, account: Account<'_>) -> bool {
        let now = Instant::now();
        self.table(account).of(account).is_some_and(|kept| kept.is_open_for(now, account.caller))
    }

    /// Allows a try there although a circuit is open.
    pub(super) fn force<'a>(&'a self, account: Account<'a>) -> Permit<'a> {
        let mut table = self.table(account);
        let generation = table.generation;
        let tickets = table.of(account).map_or(Tickets::new(generation), |kept| kept.force(account.caller, generation));
        drop(table);
        Permit { circuits: self, account, tickets, recorded: false }
    }

    /// Every circuit that remembers a failure.
    pub(super) fn states(&self) -> Vec<CircuitState> {
        let now = Instant::now();
        let tables = self.tables.values().chain([&self.others]);
        tables.flat_map(|table| lock(table).kept.iter().flat_map(|kept| kept.states(now)).collect::<Vec<_>>()).collect()
    }

    fn table(&self, account: Account<'_>) -> MutexGuard<'_, Table> {
        lock(self.tables.get(account.provider).unwrap_or(&self.others))
    }

    fn record(&self, account: Account<'_>, tickets: Tickets, verdict: &Verdict, failure: Option<&Failure>) {
        if !self.config.is_enabled() {
            return;
        }
        let counts = matches!(verdict, Verdict::Failure | Verdict::Refused | Verdict::Unavailable { .. });
        let mut table = self.table(account);
        let generation = table.generation;
        let Some(at) = table.find(account, counts) else { return };
        let kept = &mut table.kept[at];
        let [own, shared] = kept.record(Instant::now(), account.caller, tickets, (verdict, failure), generation, &self.config);
        let (generation, is_clean) = (kept.generation(), kept.is_clean());
        table.generation = table.generation.max(generation);
        if is_clean {
            table.kept.swap_remove(at);
        }
        if [own, shared] != [Change::None; 2] && !table.over {
            // Reported under the lock, so that the last number reported is the last one that was true.
            self.observer.circuits(account.provider, table.open(account.provider));
            log(account, account.caller.unwrap_or(EVERYONE), own, failure);
            log(account, EVERYONE, shared, failure);
        }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // A panic elsewhere leaves counters, which are as good as before.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tickets {
    fn new(generation: u64) -> Self {
        Self { own: Circuit::new(generation).force(), shared: shared::Ticket::new(generation) }
    }
}

impl Table {
    fn of(&mut self, account: Account<'_>) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.is_of(account))
    }

    /// The index of the account's circuits; with `add`, they are added if they are not kept yet.
    fn find(&mut self, account: Account<'_>, add: bool) -> Option<usize> {
        let at = self.kept.iter().position(|kept| kept.is_of(account));
        if at.is_some() || !add {
            return at;
        }
        let (provider, key_name) = (account.provider.to_owned(), account.key_name.map(str::to_owned));
        self.kept.push(Kept { provider, key_name, shared: Shared::new(self.generation), callers: Vec::new() });
        Some(self.kept.len() - 1)
    }

    fn open(&self, provider: &str) -> usize {
        self.kept.iter().filter(|kept| kept.provider == provider).map(Kept::open).sum()
    }
}

/// `caller`: whom the circuit keeps from the provider.
fn log(account: Account<'_>, caller: &str, change: Change, failure: Option<&Failure>) {
    let (provider, key) = (account.provider, account.key_name.unwrap_or("none"));
    let why = failure.map(|failure| failure.error.to_string()).unwrap_or_default();
    match change {
        Change::None => {}
        Change::Opened { open_for } => {
            let ms = open_for.as_millis();
            tracing::warn!(
                llm.provider = provider,
                llm.key_name = key,
                caller,
                "provider `{provider}` is left in peace for {ms} ms by {caller}: {why}"
            );
        }
        Change::Closed => {
            tracing::info!(llm.provider = provider, llm.key_name = key, caller, "provider `{provider}` answers {caller} again")
        }
    }
}

impl Kept {
    fn is_of(&self, account: Account<'_>) -> bool {
        self.provider == account.provider && self.key_name.as_deref() == account.key_name
    }

    fn own(&mut self, caller: Option<&str>) -> Option<&mut Circuit> {
        self.callers.iter_mut().find_map(|(name, circuit)| (name.as_deref() == caller).then_some(circuit))
    }

    fn admit(&mut self, now: Instant, caller: Option<&str>, generation: u64) -> Result<Tickets, Open> {
        // The caller's own circuit is asked last, because a half-open one lets the next probe in by being asked.
        if let Some(open) = self.shared.closed_to(now, caller) {
            return Err(open);
        }
        let own = match self.own(caller) {
            Some(circuit) => circuit.admit(now)?,
            None => Circuit::new(generation).force(),
        };
        Ok(Tickets { own, shared: self.shared.admit(caller) })
    }

    fn is_open_for(&mut self, now: Instant, caller: Option<&str>) -> bool {
        self.own(caller).is_some_and(|circuit| circuit.is_open(now)) || self.shared.closed_to(now, caller).is_some()
    }

    fn force(&mut self, caller: Option<&str>, generation: u64) -> Tickets {
        let own = self.own(caller).map_or(Circuit::new(generation).force(), |circuit| circuit.force());
        Tickets { own, shared: self.shared.force() }
    }

    /// Records the outcome of a try of `caller`. Returns what it changed for the caller and for everyone.
    fn record(
        &mut self,
        now: Instant,
        caller: Option<&str>,
        tickets: Tickets,
        (verdict, failure): (&Verdict, Option<&Failure>),
        generation: u64,
        config: &BreakerConfig,
    ) -> [Change; 2] {
        let mut own = Change::None;
        let mut until = None;
        if *verdict == Verdict::Success {
            for (_, circuit) in self.callers.iter_mut().filter(|(name, _)| name.as_deref() != caller) {
                circuit.others_were_answered(now);
            }
        } else if self.own(caller).is_none() && *verdict != Verdict::Neutral {
            self.callers.push((caller.map(Into::into), Circuit::new(generation)));
        }
        if let Some(circuit) = self.own(caller) {
            own = circuit.record(now, tickets.own, verdict, failure, config);
            until = circuit.open_until();
        }
        self.callers.retain(|(_, circuit)| !circuit.is_clean());
        [own, self.shared.record(now, tickets.shared, &Outcome { caller, verdict, failure, until }, config)]
    }

    fn generation(&self) -> u64 {
        self.callers.iter().map(|(_, circuit)| circuit.generation()).fold(self.shared.generation(), u64::max)
    }

    fn is_clean(&self) -> bool {
        self.callers.is_empty() && self.shared.is_clean()
    }

    /// How many of its circuits are open.
    fn open(&self) -> usize {
        let own = self.callers.iter().filter(|(_, circuit)| circuit.open_until().is_some()).count();
        own + usize::from(self.shared.open_until().is_some())
    }

    /// Those that remember a failure; the one that all callers share only while it is open.
    fn states(&self, now: Instant) -> Vec<CircuitState> {
        let state = |whose, until: Option<Instant>| {
            let state = match until {
                None => CircuitPhase::Closed,
                Some(until) if now < until => CircuitPhase::Open,
                Some(_) => CircuitPhase::HalfOpen,
            };
            CircuitState { provider: self.provider.clone(), key_name: self.key_name.clone(), whose, state, until }
        };
        let own = |(caller, circuit): &(Caller, Circuit)| state(Whose::Caller(caller.as_deref().map(str::to_owned)), circuit.open_until());
        let shared = self.shared.open_until().map(|until| state(Whose::Everyone, Some(until)));
        self.callers.iter().map(own).chain(shared).collect()
    }
}

impl Permit<'_> {
    /// Records the outcome of the try.
    pub(super) fn record(mut self, verdict: &Verdict, failure: Option<&Failure>) {
        self.recorded = true;
        self.circuits.record(self.account, self.tickets, verdict, failure);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.recorded {
            self.circuits.record(self.account, self.tickets, &Verdict::Neutral, None);
        }
    }
}

#[cfg(test)]
mod tests;
