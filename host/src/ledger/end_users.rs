//! The accounts of the end users of each key. Only so many are kept at one time; one more takes the place of the one that was idle for the
//! longest among those of the key that has most of them, so that no key can crowd out the end users of another. An end user that was let go
//! begins anew, so what holds a key that invents end users is its own limit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::account::Account;

/// The end users of all keys.
pub(super) struct EndUsers {
    keys: HashMap<Arc<str>, OfKey>,
    most: usize,
    count: usize,
    /// Counts the uses.
    uses: u64,
}

#[derive(Default)]
struct OfKey {
    accounts: HashMap<Arc<str>, (u64, Account)>,
    /// By their last use.
    order: BTreeMap<u64, Arc<str>>,
}

impl EndUsers {
    pub(super) fn new(most: usize) -> Self {
        Self { keys: HashMap::new(), most, count: 0, uses: 0 }
    }

    /// The account of an end user, which counts as used now, if it is there.
    pub(super) fn find(&mut self, key: &str, end_user: &str) -> Option<&mut Account> {
        let OfKey { accounts, order } = self.keys.get_mut(key)?;
        let (last, account) = accounts.get_mut(end_user)?;
        let name = order.remove(last)?;
        self.uses += 1;
        *last = self.uses;
        order.insert(*last, name);
        Some(account)
    }

    /// Makes an account. Returns the key and the end user that had to make room, if one had to.
    pub(super) fn insert(&mut self, key: &Arc<str>, end_user: &Arc<str>, account: Account) -> Option<(Arc<str>, Arc<str>)> {
        let gone = if self.count >= self.most { self.remove_idle() } else { None };
        self.uses += 1;
        let of_key = self.keys.entry(Arc::clone(key)).or_default();
        of_key.order.insert(self.uses, Arc::clone(end_user));
        match of_key.accounts.insert(Arc::clone(end_user), (self.uses, account)) {
            Some((last, _)) => drop(of_key.order.remove(&last)),
            None => self.count += 1,
        }
        gone
    }

    /// Keeps no more than so many from now on. Returns those that had to go.
    pub(super) fn keep_at_most(&mut self, most: usize) -> Vec<(Arc<str>, Arc<str>)> {
        self.most = most;
        let over = self.count.saturating_sub(most);
        (0..over).map_while(|_| self.remove_idle()).collect()
    }

    /// Every account.
    pub(super) fn all(&mut self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, &mut Account)> {
        self.keys.iter_mut().flat_map(|(key, of_key)| of_key.accounts.iter_mut().map(move |(name, (_, account))| (key, name, account)))
    }

    fn remove_idle(&mut self) -> Option<(Arc<str>, Arc<str>)> {
        let (key, of_key) = self.keys.iter_mut().max_by_key(|(_, of_key)| of_key.accounts.len())?;
        let (_, end_user) = of_key.order.pop_first()?;
        of_key.accounts.remove(&end_user);
        self.count -= 1;
        Some((Arc::clone(key), end_user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Allowance;
    use crate::ledger::clock::Moment;

    fn add(users: &mut EndUsers, key: &str, end_user: &str) -> Option<String> {
        let account = Account::new(Allowance::default(), 1, Moment::default(), |_| 0);
        users.insert(&key.into(), &end_user.into(), account).map(|(key, end_user)| format!("{key}/{end_user}"))
    }

    #[test]
    fn so_many_are_kept_and_the_one_idle_for_longest_makes_room() {
        let mut users = EndUsers::new(3);
        assert_eq!(["x", "y", "z"].map(|name| add(&mut users, "a", name)), [None, None, None]);
        assert!(users.find("a", "x").is_some());
        assert_eq!(add(&mut users, "a", "w").as_deref(), Some("a/y"));
        assert!(users.find("a", "y").is_none() && users.find("a", "x").is_some() && users.find("b", "x").is_none());
        assert_eq!(users.all().count(), 3);
    }

    #[test]
    fn a_key_that_invents_end_users_crowds_out_its_own() {
        let mut users = EndUsers::new(10);
        assert_eq!(["x", "y", "z"].map(|name| add(&mut users, "honest", name)), [None, None, None]);
        for n in 0..1_000 {
            let gone = add(&mut users, "other", &format!("u{n}"));
            assert!(gone.is_none_or(|gone| gone.starts_with("other/")));
        }
        assert!(["x", "y", "z"].iter().all(|name| users.find("honest", name).is_some()));
        assert_eq!((users.all().count(), users.keys["other"].order.len()), (10, 7));
    }

    #[test]
    fn fewer_are_kept_from_then_on_and_the_idle_ones_go() {
        let mut users = EndUsers::new(4);
        assert!(["x", "y", "z", "w"].iter().all(|name| add(&mut users, "a", name).is_none()));
        let gone: Vec<_> = users.keep_at_most(2).into_iter().map(|(_, name)| name.to_string()).collect();
        assert_eq!((gone, users.all().count()), (vec!["x".to_owned(), "y".to_owned()], 2));
        assert_eq!(add(&mut users, "a", "v").as_deref(), Some("a/z"));
        assert!(users.keep_at_most(9).is_empty());
    }

    #[test]
    fn an_account_that_is_made_twice_is_one() {
        let mut users = EndUsers::new(2);
        assert_eq!([add(&mut users, "a", "x"), add(&mut users, "a", "x"), add(&mut users, "a", "y")], [None, None, None]);
        assert_eq!((users.count, users.keys["a"].order.len()), (2, 2));
    }
}
