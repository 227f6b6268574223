//! The accounts of all keys and end users behind one lock, which is held for less than a microsecond: who may come in, what is reserved and
//! charged, and which accounts the store has to be told of. Nothing here waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::account::{Account, Denied, fewer};
use super::allowance::{Allowance, Limit, Standing};
use super::budget::{Amount, Cover, Held, Want};
use super::clock::Moment;
use super::end_users::EndUsers;
use super::price::PICO;
use super::store::BudgetRow;

/// End users that were let go and whose rows are deleted with the next write. Rows of more than these are deleted with their day or month.
const GONE_MAX: usize = 10_000;

/// Whose account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) key: Arc<str>,
    pub(super) end_user: Option<Arc<str>>,
}

/// What the end users of every key may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndUserLimits {
    /// Each of them.
    pub allowance: Allowance,
    /// How many are told apart at one time.
    pub tracked: usize,
}

impl Default for EndUserLimits {
    fn default() -> Self {
        // Some hundred bytes each: a few megabytes.
        Self { allowance: Allowance::default(), tracked: 10_000 }
    }
}

impl Scope {
    /// As the store knows it. The names of keys hold no slash.
    pub(super) fn name(&self) -> String {
        match &self.end_user {
            None => format!("key/{}", self.key),
            Some(end_user) => format!("user/{}/{end_user}", self.key),
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        match name.split_once('/')? {
            ("key", key) => Some(Self { key: key.into(), end_user: None }),
            ("user", rest) => rest.split_once('/').map(|(key, end_user)| Self { key: key.into(), end_user: Some(end_user.into()) }),
            _ => None,
        }
    }
}

pub(super) struct Accounts {
    keys: HashMap<Arc<str>, Account>,
    end_users: Option<(Allowance, EndUsers)>,
    parts: u64,
    /// Whose cover has to be written.
    listed: Vec<Scope>,
    /// End users that were let go, whose rows the store may delete.
    gone: Vec<Scope>,
}

/// Why nothing was reserved.
#[derive(Debug)]
pub(super) enum Unreserved {
    Denied {
        denied: Denied,
        end_user: bool,
    },
    /// The store has to write first.
    Uncovered,
}

/// What was reserved, by the key and by the end user.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BothHeld {
    pub(super) key: Held,
    pub(super) end_user: Held,
}

impl Accounts {
    pub(super) fn new(keys: HashMap<Arc<str>, Account>, end_users: Option<&EndUserLimits>, parts: u64) -> Self {
        let end_users = end_users.map(|limits| (limits.allowance, EndUsers::new(limits.tracked)));
        Self { keys, end_users, parts, listed: Vec::new(), gone: Vec::new() }
    }

    /// The name of a key that has an account.
    pub(super) fn key(&self, caller: &str) -> Option<&Arc<str>> {
        self.keys.get_key_value(caller).map(|(key, _)| key)
    }

    /// Lets one request in and counts it.
    pub(super) fn admit(&mut self, caller: &str, now: Moment) -> Result<(), Denied> {
        self.keys.get_mut(caller).map_or(Ok(()), |account| account.admit(now))
    }

    /// Lets one request of an end user in and counts it for that one.
    pub(super) fn admit_end_user(&mut self, scope: &Scope, now: Moment) -> Result<(), Denied> {
        self.end_user(scope, now).map_or(Ok(()), |account| account.admit(now))
    }

    pub(super) fn standing(&mut self, caller: &str, end_user: Option<&str>, now: Moment) -> Option<Standing> {
        let key = self.keys.get_mut(caller).map(|account| account.standing(now));
        let end_users = self.end_users.as_mut().zip(end_user);
        let end_user = end_users.and_then(|((_, users), name)| users.find(caller, name)).map(|account| account.standing(now));
        match (key, end_user) {
            (Some(key), Some(end_user)) => {
                let (requests, tokens) = (fewer(key.requests, end_user.requests), fewer(key.tokens, end_user.tokens));
                Some(Standing { requests, tokens })
            }
            (key, end_user) => key.or(end_user),
        }
    }

    /// A budget in dollars that a request of this scope has to fit into.
    pub(super) fn in_dollars(&mut self, scope: &Scope, now: Moment) -> Option<(Denied, bool)> {
        let key = self.keys.get(&scope.key).and_then(Account::in_dollars).map(|denied| (denied, false));
        key.or_else(|| self.end_user(scope, now)?.in_dollars().map(|denied| (denied, true)))
    }

    /// How long a completion of this key will be, going by those of late.
    pub(super) fn mean_completion(&self, caller: &str) -> u64 {
        self.keys.get(caller).map_or(0, Account::mean_completion)
    }

    /// Keeps what fits for a request that is about to be sent, and says how many tokens of completion that is. `covered`: only if the store has
    /// written it down in advance. The key keeps and pays no more than the end user has left, so that no end user uses up the key's budget with
    /// what it cannot use itself; nor does the key that of an end user. An account's own budgets keep all that the request may use within the
    /// other account, and so are overdrawn by one request at most, also by one that is left.
    pub(super) fn reserve(&mut self, scope: &Scope, want: &Want, now: Moment, covered: bool) -> Result<(BothHeld, u64), Unreserved> {
        let denied = |end_user: bool| move |denied| Unreserved::Denied { denied, end_user };
        if let Some(key) = self.keys.get_mut(&scope.key) {
            key.check(now).map_err(denied(false))?;
        }
        if let Some(end_user) = self.end_user(scope, now) {
            end_user.check(now).map_err(denied(true))?;
        }
        let of_key = self.keys.get_mut(&scope.key).map_or(u64::MAX, |account| account.fits(want, now));
        let of_end_user = self.end_user(scope, now).map_or(u64::MAX, |account| account.fits(want, now));
        let completion = want.completion.min(of_key).min(of_end_user);
        let (granted, for_key, for_end_user) = (want.with(completion), want.with(of_end_user), want.with(of_key));
        if covered {
            let key = self.keys.get_mut(&scope.key).is_none_or(|account| account.covers(&for_key));
            let end_user = self.end_user(scope, now).is_none_or(|account| account.covers(&for_end_user));
            if !(key && end_user) {
                self.list(scope);
                return Err(Unreserved::Uncovered);
            }
        }
        let key = self.keys.get_mut(&scope.key).map(|account| account.reserve(for_key, granted, now)).unwrap_or_default();
        let end_user = self.end_user(scope, now).map(|account| account.reserve(for_end_user, granted, now)).unwrap_or_default();
        self.list(scope);
        Ok((BothHeld { key, end_user }, completion))
    }

    /// A request goes on past what it had reserved. False if a budget has nothing left for it.
    pub(super) fn extend(&mut self, scope: &Scope, held: &mut BothHeld, used: &Amount, more: Amount, now: Moment) -> bool {
        let key = self.keys.get_mut(&scope.key).is_none_or(|account| account.extend(&mut held.key, used, more, now));
        let end_user = self.found(scope).is_none_or(|account| account.extend(&mut held.end_user, used, more, now));
        self.list(scope);
        key && end_user
    }

    /// A request is over. `learn`: how long its completion was, if it is one to go by.
    pub(super) fn settle(&mut self, scope: &Scope, held: &BothHeld, used: &Amount, learn: Option<u64>, now: Moment) {
        if let Some(account) = self.keys.get_mut(&scope.key) {
            account.settle(&held.key, used, now);
            if let Some(completion) = learn {
                account.learn(completion);
            }
        }
        if let Some(account) = self.found(scope) {
            account.settle(&held.end_user, used, now);
        }
        self.list(scope);
    }

    /// A request was left, and at least `used` is used. See `Account::lose`.
    pub(super) fn lose(&mut self, scope: &Scope, held: &BothHeld, used: &Amount, now: Moment) {
        if let Some(account) = self.keys.get_mut(&scope.key) {
            account.lose(&held.key, used, now);
        }
        if let Some(account) = self.found(scope) {
            account.lose(&held.end_user, used, now);
        }
        self.list(scope);
    }

    /// Adds the accounts of end users of whom the store remembers what is used, where none is there.
    pub(super) fn remember<'a>(&mut self, end_users: impl Iterator<Item = &'a Scope>, used: impl Fn(&Scope, Limit) -> u128, now: Moment) {
        let Some((allowance, users)) = &mut self.end_users else { return };
        for scope in end_users.filter(|scope| self.keys.contains_key(&scope.key)) {
            if let Some(end_user) = &scope.end_user
                && users.find(&scope.key, end_user).is_none()
            {
                users.insert(&scope.key, end_user, Account::new(*allowance, self.parts, now, |limit| used(scope, limit)));
            }
        }
    }

    /// Other allowances are in force from now on. What is used and reserved stays, and a limit that was not there before begins with what the
    /// store says is `used`. A key that is no longer there keeps its account: its last requests are still under way, and if it comes back, it
    /// gets no second budget.
    pub(super) fn renew(
        &mut self,
        allowances: &BTreeMap<Arc<str>, Allowance>,
        end_users: Option<&EndUserLimits>,
        used: impl Fn(&Scope, Limit) -> u128,
        now: Moment,
    ) {
        for (key, allowance) in allowances {
            let scope = Scope { key: Arc::clone(key), end_user: None };
            let used = |limit| used(&scope, limit);
            match self.keys.get_mut(key) {
                Some(account) => account.renew(*allowance, self.parts, now, used),
                None if end_users.is_none() && allowance.is_unlimited() => {}
                None => drop(self.keys.insert(Arc::clone(key), Account::new(*allowance, self.parts, now, used))),
            }
        }
        self.end_users = match (self.end_users.take(), end_users) {
            (_, None) => None,
            (None, Some(limits)) => Some((limits.allowance, EndUsers::new(limits.tracked))),
            (Some((_, mut users)), Some(limits)) => {
                let gone = users.keep_at_most(limits.tracked).into_iter().map(|(key, name)| Scope { key, end_user: Some(name) });
                self.gone.extend(gone.take(GONE_MAX.saturating_sub(self.gone.len())));
                for (key, name, account) in users.all() {
                    let scope = Scope { key: Arc::clone(key), end_user: Some(Arc::clone(name)) };
                    account.renew(limits.allowance, self.parts, now, |limit| used(&scope, limit));
                }
                Some((limits.allowance, users))
            }
        };
        self.list_keys();
    }

    /// Puts every key's account on the list.
    pub(super) fn list_keys(&mut self) {
        for (key, account) in &mut self.keys {
            if !std::mem::replace(&mut account.listed, true) {
                self.listed.push(Scope { key: Arc::clone(key), end_user: None });
            }
        }
    }

    /// Whether a request may soon have to wait for the store.
    pub(super) fn is_short(&mut self, scope: &Scope) -> bool {
        self.keys.get(&scope.key).is_some_and(Account::is_short) || self.found(scope).is_some_and(|account| account.is_short())
    }

    /// Begins to write what was listed, or with `exact` all that there is, to the last token and no further.
    pub(super) fn begin_covers(&mut self, exact: bool, now: Moment) -> (Vec<(Scope, Cover)>, Vec<Scope>) {
        let mut listed = std::mem::take(&mut self.listed);
        if exact {
            let keys = self.keys.keys().map(|key| Scope { key: Arc::clone(key), end_user: None });
            let users = self.end_users.iter_mut().flat_map(|(_, users)| users.all());
            let users = users.map(|(key, name, _)| Scope { key: Arc::clone(key), end_user: Some(Arc::clone(name)) });
            listed = keys.chain(users).collect();
        }
        let mut covers = Vec::new();
        for scope in listed {
            let Some(account) = self.at(&scope) else { continue };
            account.listed = false;
            account.roll(now);
            covers.extend(account.begin_cover(exact).map(|cover| (scope.clone(), cover)));
        }
        let mut gone = std::mem::take(&mut self.gone);
        // One that came back in the meantime has an account again.
        gone.retain(|scope| self.at(scope).is_none());
        (covers, gone)
    }

    /// The store has written these.
    pub(super) fn end_covers(&mut self, covers: &[(Scope, Cover)]) {
        for (scope, cover) in covers {
            if let Some(account) = self.at(scope) {
                account.end_cover(cover);
            }
        }
    }

    /// The store could not write these; they are tried again.
    pub(super) fn retry_covers(&mut self, covers: &[(Scope, Cover)], gone: Vec<Scope>) {
        for (scope, _) in covers {
            if let Some(account) = self.at(scope)
                && !std::mem::replace(&mut account.listed, true)
            {
                self.listed.push(scope.clone());
            }
        }
        self.gone.extend(gone);
    }

    /// The end user's account, made if it is missing; none if the request has none.
    fn end_user(&mut self, scope: &Scope, now: Moment) -> Option<&mut Account> {
        let name = scope.end_user.as_ref()?;
        let (parts, (allowance, users)) = (self.parts, self.end_users.as_mut()?);
        if users.find(&scope.key, name).is_none() {
            let gone = users.insert(&scope.key, name, Account::new(*allowance, parts, now, |_| 0));
            // Rows that are not deleted now are deleted with their day or month.
            if let Some((key, end_user)) = gone.filter(|_| self.gone.len() < GONE_MAX) {
                self.gone.push(Scope { key, end_user: Some(end_user) });
            }
        }
        self.found(scope)
    }

    /// The end user's account, if it is there.
    fn found(&mut self, scope: &Scope) -> Option<&mut Account> {
        self.end_users.as_mut()?.1.find(&scope.key, scope.end_user.as_deref()?)
    }

    fn at(&mut self, scope: &Scope) -> Option<&mut Account> {
        if scope.end_user.is_some() { self.found(scope) } else { self.keys.get_mut(&scope.key) }
    }

    /// Puts the scope's accounts on the list if the store has to be told of them.
    fn list(&mut self, scope: &Scope) {
        let key = Scope { key: Arc::clone(&scope.key), end_user: None };
        let both = [Some(key), scope.end_user.is_some().then(|| scope.clone())];
        for scope in both.into_iter().flatten() {
            if let Some(account) = self.at(&scope)
                && account.wants_cover()
                && !std::mem::replace(&mut account.listed, true)
            {
                self.listed.push(scope);
            }
        }
    }
}

/// What the store is to keep.
pub(super) fn row(scope: &Scope, cover: &Cover) -> BudgetRow {
    let used = u64::try_from(cover.units.div_ceil(unit(cover.limit))).unwrap_or(u64::MAX);
    BudgetRow { account: scope.name(), limit: cover.limit.key().to_owned(), begun: cover.begun, used }
}

/// Units of a budget in one of the store's.
pub(super) fn unit(limit: Limit) -> u128 {
    match limit {
        Limit::UsdPerDay | Limit::UsdPerMonth => PICO,
        Limit::RequestsPerMinute | Limit::TokensPerMinute | Limit::TokensPerDay => 1,
    }
}
