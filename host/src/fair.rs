//! Shares of what there is only so much of: places for requests, bytes of memory, a queue, processors. A client may have more than its share
//! while the others have nothing to do, and one that comes later finds room.
//! Invariants: no more is held than there is, and `admits` alone decides who gets what.

mod lanes;
mod priority;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::chat::Client;
pub use lanes::Lanes;
pub use priority::step_back;

/// How many times what is free one client may have. With 3 a client that is alone gets three quarters of all, two greedy ones three sevenths
/// each, and `n` of them leave one part in `3n + 1` for whoever comes next. The rule is that of dynamic thresholds (Choudhury and Hahne, 1998).
const THRESHOLD: usize = 3;

/// Divides a number of units between clients. Clones divide the same units.
#[derive(Clone)]
pub struct Shares(Arc<Mutex<State>>);

struct State {
    total: usize,
    free: usize,
    /// Units that are held beyond the total, since that was made smaller; they are not free when they come back.
    excess: usize,
    /// Only clients that hold something, so that there are never more of them than units.
    held: HashMap<Client, usize>,
    waiting: Lanes<Waiting>,
}

/// Somebody who waits for units.
struct Waiting {
    amount: usize,
    grant: oneshot::Sender<Share>,
}

/// Units that are held until this is dropped.
pub struct Share {
    shares: Shares,
    client: Client,
    amount: usize,
}

/// Whether a client that holds `held` units may have `amount` more while `free` are free: if it could take them one by one, each while it
/// holds less than `THRESHOLD` times what is free.
fn admits(held: usize, free: usize, amount: usize) -> bool {
    let Some(before_last) = amount.checked_sub(1) else { return true };
    free.checked_sub(before_last).is_some_and(|left| held.saturating_add(before_last) < left.saturating_mul(THRESHOLD))
}

impl Shares {
    pub fn new(total: usize) -> Self {
        Self(Arc::new(Mutex::new(State { total, free: total, excess: 0, held: HashMap::new(), waiting: Lanes::default() })))
    }

    /// So many units for that client, or none if they are not its to take now.
    pub fn take(&self, client: &Client, amount: usize) -> Option<Share> {
        let taken = self.state().take(client, amount);
        taken.then(|| self.share(client, amount))
    }

    /// As `take`, but waits for its turn. Clients take turns, and what one client waits for comes in order. Dropping the future ends the wait.
    pub async fn wait(&self, client: &Client, amount: usize) -> Share {
        let granted = {
            let mut state = self.state();
            // It must not overtake what the same client waits for already.
            if !state.waiting.has(client) && state.take(client, amount) {
                return self.share(client, amount);
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.push(client, Waiting { amount, grant });
            granted
        };
        granted.await.expect("the sender stands in the queue until it has sent")
    }

    /// Whether `take` would give so many units now.
    pub fn has_room(&self, client: &Client, amount: usize) -> bool {
        self.state().admits(client, amount)
    }

    /// Units that are held, by all clients together.
    pub fn held(&self) -> usize {
        let state = self.state();
        state.total + state.excess - state.free
    }

    /// There are so many units from now on. What is held stays held; if that is more, nobody gets any until enough has come back.
    pub fn resize(&self, total: usize) {
        let granted = {
            let mut state = self.state();
            let held = state.total + state.excess - state.free;
            (state.total, state.free, state.excess) = (total, total.saturating_sub(held), held.saturating_sub(total));
            state.grant_all()
        };
        self.hand_over(granted);
    }

    /// Outside the lock: whoever went away in this moment does not take its share, and dropped here it goes to the next one.
    fn hand_over(&self, granted: Vec<(Client, Waiting)>) {
        for (client, Waiting { amount, grant }) in granted {
            let _ = grant.send(Share { shares: self.clone(), client, amount });
        }
    }

    /// What a client can get that is alone.
    pub fn most(&self) -> usize {
        let total = self.state().total;
        // The largest `m` that is admitted to a client without any: `m - 1 < THRESHOLD * (total - m + 1)`.
        (total - total / (THRESHOLD + 1)).min(total)
    }

    fn share(&self, client: &Client, amount: usize) -> Share {
        Share { shares: self.clone(), client: client.clone(), amount }
    }

    /// Each change is complete when the lock is given back, and no code that can panic runs under it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admits(&self, client: &Client, amount: usize) -> bool {
        admits(self.held.get(client).copied().unwrap_or(0), self.free, amount)
    }

    fn take(&mut self, client: &Client, amount: usize) -> bool {
        let taken = self.admits(client, amount);
        if taken && amount > 0 {
            self.free -= amount;
            match self.held.get_mut(client) {
                Some(held) => *held += amount,
                None => drop(self.held.insert(client.clone(), amount)),
            }
        }
        taken
    }

    fn give_back(&mut self, client: &Client, amount: usize) {
        let over = amount.min(self.excess);
        self.excess -= over;
        self.free += amount - over;
        if let Some(held) = self.held.get_mut(client) {
            *held -= amount;
            if *held == 0 {
                self.held.remove(client);
            }
        }
    }

    /// Everybody who may have its units now.
    fn grant_all(&mut self) -> Vec<(Client, Waiting)> {
        std::iter::from_fn(|| self.next_granted()).collect()
    }

    /// Takes whoever may have its units now out of the queue, and counts these as held.
    fn next_granted(&mut self) -> Option<(Client, Waiting)> {
        let Self { free, held, waiting, .. } = self;
        waiting.retain(|wait| !wait.grant.is_closed());
        let (client, wait) = waiting.take_if(|client, wait| admits(held.get(client).copied().unwrap_or(0), *free, wait.amount))?;
        self.take(&client, wait.amount);
        Some((client, wait))
    }
}

impl Share {
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Takes so many units more; false if they are not the client's to take now.
    pub fn grow(&mut self, amount: usize) -> bool {
        let taken = self.shares.state().take(&self.client, amount);
        if taken {
            self.amount += amount;
        }
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let granted = {
            let mut state = self.shares.state();
            state.give_back(&self.client, self.amount);
            state.grant_all()
        };
        self.shares.hand_over(granted);
    }
}

#[cfg(test)]
mod tests;
