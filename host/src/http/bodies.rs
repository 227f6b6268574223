//! The memory that the bodies of all requests take together, shared by client: each reserves its bytes as it comes, and what is made of them
//! before it is made. Invariant: what was reserved lasts until the body, and whatever was made of it, is gone.

use std::sync::{Mutex, PoisonError};

use super::error::Refusal;
use crate::chat::Client;
use crate::fair::{Share, Shares};

/// What a value costs beside its text: the name and the value of a field that is kept as its JSON take about as much.
const VALUE_BYTES: usize = 128;

/// What one body holds, until it is dropped. It must live as long as the body and whatever was made of it.
pub(super) struct Reserved {
    /// A client's whole share: a body that is larger is taken when it is alone, so that none waits for ever.
    most: usize,
    held: Mutex<Held>,
}

struct Held {
    share: Share,
    bytes: usize,
}

impl Reserved {
    /// A body that holds nothing yet. `bytes` are the bytes of all bodies.
    pub(super) fn open(bytes: &Shares, client: &Client) -> Self {
        let share = bytes.take(client, 0).expect("nothing can always be had");
        Self { most: bytes.most(), held: Mutex::new(Held { share, bytes: 0 }) }
    }

    /// Holds that many bytes more.
    ///
    /// # Errors
    /// `Overloaded` if they are not its client's to take now.
    pub(super) fn grow(&self, bytes: usize) -> Result<(), Refusal> {
        // Nothing that can panic runs under the lock.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let all = held.bytes.saturating_add(bytes);
        let missing = all.min(self.most) - held.share.amount();
        if !held.share.grow(missing) {
            return Err(Refusal::Overloaded { key: "limits.http.bodies_bytes" });
        }
        held.bytes = all;
        Ok(())
    }

    /// Holds what a parser may make of that many values.
    ///
    /// # Errors
    /// As `grow`.
    pub(super) fn grow_by_values(&self, values: usize) -> Result<(), Refusal> {
        self.grow(values.saturating_mul(VALUE_BYTES))
    }

    /// What it has reserved so far.
    pub(super) fn bytes(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Result<(), Refusal> = Err(Refusal::Overloaded { key: "limits.http.bodies_bytes" });

    fn client(name: &str) -> Client {
        Client::Key(name.into())
    }

    #[test]
    fn a_client_gets_its_share_and_one_that_comes_new_finds_room() {
        let bytes = Shares::new(100);
        let first = Reserved::open(&bytes, &client("a"));
        first.grow(10).expect("taken");
        let second = Reserved::open(&bytes, &client("a"));
        second.grow(65).expect("three quarters, at the edge");
        assert_eq!((Reserved::open(&bytes, &client("a")).grow(1), second.grow(1)), (FULL, FULL));
        let other = Reserved::open(&bytes, &client("b"));
        other.grow(19).expect("three quarters of what is left, at the edge");
        assert_eq!(other.grow(1), FULL);
        drop(second);
        other.grow(1).expect("what was given back is free");
        assert_eq!((other.bytes(), bytes.held()), (20, 30));
        drop((first, other));
        assert_eq!(bytes.held(), 0);
    }

    #[test]
    fn a_body_larger_than_a_share_is_taken_when_it_is_alone() {
        let bytes = Shares::new(10);
        let large = Reserved::open(&bytes, &client("a"));
        large.grow(8).expect("alone");
        large.grow_by_values(8).expect("still alone");
        assert_eq!((large.bytes(), bytes.held()), (8 + 8 * VALUE_BYTES, bytes.most()));
        assert_eq!(Reserved::open(&bytes, &client("a")).grow(1), FULL);
        drop(large);
        let small = Reserved::open(&bytes, &client("b"));
        small.grow(1).expect("free again");
        assert_eq!(Reserved::open(&bytes, &client("a")).grow(9_999), FULL);
    }
}
