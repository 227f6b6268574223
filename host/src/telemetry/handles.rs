//! Finding a figure's handle fast: to ask a family for it, labels must be built as strings, hashed and cloned on every call.
//! However many keys come, each list here has an end.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};

/// Handles under keys of a small closed set, found without a lock in a short list that only grows.
pub(super) struct Handles<K, M, const N: usize> {
    slots: [OnceLock<(K, M)>; N],
}

/// Values under names that are known at run time only, looked up without building a `String`.
pub(super) struct Named<T> {
    by_name: RwLock<HashMap<String, T>>,
    /// Names that have a value of their own; all later ones share one value.
    most: usize,
}

/// The name of all names that have no value of their own.
const OTHER: &str = "other";

impl<K: Copy + PartialEq, M, const N: usize> Handles<K, M, N> {
    pub(super) fn new() -> Self {
        Self { slots: [const { OnceLock::new() }; N] }
    }

    /// Acts on the handle of `key`, which `find` makes if the key is new or the list is full.
    pub(super) fn with<R>(&self, key: K, find: impl Fn() -> M, act: impl FnOnce(&M) -> R) -> R {
        for slot in &self.slots {
            // Slots fill in order, so if one is empty, the key is in none of the later ones.
            let (held, handle) = slot.get_or_init(|| (key, find()));
            if *held == key {
                return act(handle);
            }
        }
        act(&find())
    }
}

impl<T> Named<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { by_name: RwLock::default(), most }
    }

    /// Acts on the value of `name`, which `make` makes of the name to show.
    pub(super) fn with<R>(&self, name: &str, make: impl FnOnce(&str) -> T, act: impl FnOnce(&T) -> R) -> R {
        self.with_or(name, || OTHER.to_owned(), make, act)
    }

    /// As `with`, with another name than `OTHER` for names that have no value of their own. There must be few such other names.
    pub(super) fn with_or<R>(&self, name: &str, other: impl Fn() -> String, make: impl FnOnce(&str) -> T, act: impl FnOnce(&T) -> R) -> R {
        {
            let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
            let full = by_name.len() >= self.most;
            if let Some(value) = by_name.get(name).or_else(|| if full { by_name.get(&other()) } else { None }) {
                return act(value);
            }
        }
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let name = if by_name.len() < self.most || by_name.contains_key(name) { name.to_owned() } else { other() };
        let value = by_name.entry(name).or_insert_with_key(|name| make(name));
        act(value)
    }

    /// As `with`, but a new name gets no value of its own.
    pub(super) fn with_known<R>(&self, name: &str, make: impl FnOnce(&str) -> T, act: impl FnOnce(&T) -> R) -> R {
        let known = self.by_name.read().unwrap_or_else(PoisonError::into_inner).contains_key(name);
        if known {
            return self.with(name, make, act);
        }
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        act(by_name.entry(OTHER.to_owned()).or_insert_with(|| make(OTHER)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_handle_is_made_once_while_there_is_room() {
        let made = AtomicU32::new(0);
        let handles = Handles::<u8, u32, 2>::new();
        let get = |key| {
            let mut got = 0;
            handles.with(key, || made.fetch_add(1, Ordering::Relaxed), |n| got = *n);
            got
        };
        assert_eq!([get(7), get(8), get(7), get(8)], [0, 1, 0, 1]);
        assert_eq!([get(9), get(9)], [2, 3], "the list is full");
        assert_eq!(get(7), 0);
    }

    #[test]
    fn threads_that_meet_a_new_key_agree_on_its_handle() {
        let handles = Handles::<usize, usize, 8>::new();
        let made = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (handles, made) = (&handles, &made);
                scope.spawn(move || {
                    for key in (0..8).map(|i| (i + thread) % 8) {
                        let find = || {
                            made.fetch_add(1, Ordering::Relaxed);
                            key
                        };
                        handles.with(key, find, |held| assert_eq!(*held, key));
                    }
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn names_after_the_last_one_kept_share_one_value() {
        let named = Named::<String>::new(3);
        let shown = |name: &str| {
            let mut shown = String::new();
            named.with(name, str::to_owned, |value| shown.clone_from(value));
            shown
        };
        for i in 0..3 {
            assert_eq!(shown(&format!("plugin-{i}")), format!("plugin-{i}"));
        }
        assert_eq!(shown("one-too-many"), OTHER);
        assert_eq!(shown("two-too-many"), OTHER);
        assert_eq!(shown("plugin-2"), "plugin-2");
        assert_eq!(named.by_name.read().unwrap().len(), 4);
    }
}
