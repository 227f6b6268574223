//! What one attempt at a provider may use, kept for it from before it is sent until it is over. Invariant: it is given back exactly once,
//! whatever happens. One that is dropped, because a client hung up or something panicked, is charged all that it had reserved.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};

use super::account::Denied;
use super::accounts::{BothHeld, Scope, Unreserved};
use super::budget::{Amount, Want};
use super::pending::{Entry, short};
use super::price::Price;
use super::{Error, Ledger, Refused, Why, lock};
use crate::chat::Usage;

/// By so many tokens of completion a reservation grows beyond what was generated.
const STEP: u64 = 256;

/// One attempt that is about to be made, and who makes it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub caller: Option<&'a str>,
    /// As `admit_end_user` knows the end user.
    pub end_user: Option<&'a Arc<str>>,
    pub provider: &'a str,
    pub model: &'a str,
    /// Tokens, estimated.
    pub prompt: u64,
    /// The most tokens that each choice of the reply can have; none if nobody set a limit.
    pub completion: Option<u64>,
    pub choices: u64,
}

impl Ledger {
    /// Keeps for one attempt what it may use, until the reservation is settled, released or dropped. None if nothing limits its caller.
    /// Waits for the store only if more is asked for than was written down in advance.
    ///
    /// # Errors
    /// The limit of which nothing is left, or that is in dollars while the model has no price.
    pub async fn reserve(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Option<Reservation>, Refused> {
        let Some(scope) = ask.caller.and_then(|caller| self.scope(caller, ask.end_user)) else { return Ok(None) };
        let price = super::price::price(&self.prices, ask.provider, ask.model).copied();
        let completion = {
            let mut accounts = lock(&self.books.accounts);
            if price.is_none()
                && let Some((denied, end_user)) = accounts.in_dollars(&scope, (self.books.clock)())
            {
                let model = short(ask.model);
                let denied = Denied { why: Why::NoPrice { model: format!("{}/{model}", ask.provider) }, ..denied };
                return Err(self.refused(&scope.key, denied, end_user));
            }
            ask.completion.unwrap_or_else(|| accounts.mean_completion(&scope.key).max(self.limits.completion_tokens))
        };
        let asked = completion.saturating_mul(ask.choices);
        let most = asked.min(self.limits.reservation_tokens);
        let Usage { prompt, completion, .. } = Usage { prompt: ask.prompt, completion: most, ..Usage::default() }.believable();
        let want = Want { price, prompt, completion };
        let mut until = None;
        loop {
            let covered = !self.books.uncovered.load(Ordering::Relaxed);
            let reserved = lock(&self.books.accounts).reserve(&scope, &want, (self.books.clock)(), covered);
            match reserved {
                Ok((held, completion)) => {
                    // What was cut is no limit that the provider was told.
                    let bounded = ask.completion.is_some() && completion == asked;
                    let expected = Usage { prompt, completion, ..Usage::default() };
                    let reservation = Reservation::new(Arc::clone(self), scope, price, held, &expected, bounded);
                    self.cover_ahead(&reservation);
                    return Ok(Some(reservation));
                }
                Err(Unreserved::Denied { denied, end_user }) => return Err(self.refused(&scope.key, denied, end_user)),
                Err(Unreserved::Uncovered) => {
                    let until = *until.get_or_insert_with(|| Instant::now() + self.limits.budget_wait);
                    if !matches!(timeout_at(until, self.cover()).await, Ok(Ok(()))) && !self.books.uncovered.swap(true, Ordering::Relaxed) {
                        tracing::error!("budgets cannot be written down in time; what they allow holds until this process ends");
                    }
                }
            }
        }
    }

    /// Writes down what is asked for. Once begun this goes on to its end even if the caller goes away.
    async fn cover(self: &Arc<Self>) -> Result<(), Error> {
        let ledger = Arc::clone(self);
        let written = tokio::spawn(async move { ledger.write_covers(false).await });
        written.await.unwrap_or_else(|e| Err(Error::Store(format!("a task ended early: {e}"))))
    }

    /// Has the next part of the budgets written down before a request must wait for it.
    fn cover_ahead(self: &Arc<Self>, reservation: &Reservation) {
        if lock(&self.books.accounts).is_short(&reservation.scope) && !self.books.covers_ahead.swap(true, Ordering::Relaxed) {
            let ledger = Arc::clone(self);
            tokio::spawn(async move {
                let written = ledger.write_covers(false).await;
                // Not before: while the store is stuck, each reservation would add one more task that waits for it.
                ledger.books.covers_ahead.store(false, Ordering::Relaxed);
                if let Err(error) = written {
                    tracing::error!("budgets could not be written down: {error}");
                }
            });
        }
    }
}

/// How an attempt ended.
enum End {
    /// The provider counted what it used.
    Counted,
    Estimated,
    /// Nobody knows whether the provider goes on.
    Lost,
}

/// Tokens and dollars that are kept for one attempt.
pub struct Reservation {
    ledger: Arc<Ledger>,
    scope: Scope,
    price: Option<Price>,
    held: BothHeld,
    /// What is granted of `held`, of the key or of the end user.
    part: Amount,
    /// What earlier parts were, all of which are used.
    spent: Amount,
    prompt: u64,
    completion: u64,
    /// The client told the provider to generate no more than `completion`.
    bounded: bool,
    open: bool,
}

impl Reservation {
    fn new(ledger: Arc<Ledger>, scope: Scope, price: Option<Price>, held: BothHeld, expected: &Usage, bounded: bool) -> Self {
        let Usage { prompt, completion, .. } = *expected;
        let part = Amount::new(price.as_ref(), expected);
        Self { ledger, scope, price, held, part, spent: Amount::default(), prompt, completion, bounded, open: true }
    }

    /// Tokens that are reserved, of the prompt and of the completion.
    pub fn expected(&self) -> Usage {
        Usage { prompt: self.prompt, completion: self.completion, ..Usage::default() }
    }

    /// The completion has so many tokens by now, by our own count. If that is more than is reserved, more is reserved, as far as something is
    /// left. False if a budget of the day, the month or of dollars has nothing left, so that the reply should end.
    pub fn extend(&mut self, completion: u64) -> bool {
        // A count from bytes may be too high by half, so a limit that the provider was sent is trusted until the count says that it is not kept.
        let most = if self.bounded { self.completion.saturating_mul(2).saturating_add(STEP) } else { self.completion };
        if completion <= most {
            return true;
        }
        self.bounded = false;
        let of = |completion| Amount::new(self.price.as_ref(), &Usage { completion, ..Usage::default() });
        // What was generated is used, and the next step is reserved.
        let (past, part) = (of(completion - self.completion), of(STEP));
        let used = self.part.plus(&past);
        self.spent = self.spent.plus(&used);
        let goes_on = lock(&self.ledger.books.accounts).extend(&self.scope, &mut self.held, &used, part, (self.ledger.books.clock)());
        (self.part, self.completion) = if goes_on { (part, completion + STEP) } else { (Amount::default(), completion) };
        goes_on
    }

    /// The attempt is over: what it used is charged and counted.
    pub fn settle(mut self, entry: &Entry<'_>) {
        let usage = entry.usage.believable();
        // An estimate of all that was granted is of one that was left, or of one of which no more is known than of that.
        let end = match entry.estimated {
            false => End::Counted,
            true if usage.completion >= self.completion => End::Lost,
            true => End::Estimated,
        };
        self.close(&usage, end);
        self.ledger.count(&Entry { usage, ..*entry });
    }

    /// The provider did no work for it: nothing is charged or counted.
    pub fn release(mut self) {
        self.close(&Usage::default(), End::Estimated);
    }

    fn close(&mut self, usage: &Usage, end: End) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let all = Amount::new(self.price.as_ref(), usage);
        let (used, now) = (all.minus(&self.spent), (self.ledger.books.clock)());
        let mut accounts = lock(&self.ledger.books.accounts);
        match end {
            // What was used up to the end teaches how long completions are; an estimate does not.
            End::Counted => accounts.settle(&self.scope, &self.held, &used, Some(usage.completion), now),
            End::Estimated => accounts.settle(&self.scope, &self.held, &used, None, now),
            End::Lost => accounts.lose(&self.scope, &self.held, &used, now),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let expected = self.expected();
        self.close(&expected, End::Lost);
    }
}
