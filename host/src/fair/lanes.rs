//! A queue in which clients take turns: a lane for each, and the first of each lane in its turn. However much one client puts in, another
//! one's first item waits for one item of each.

use std::collections::VecDeque;

use crate::chat::Client;

/// Items of clients that take turns; those of one client stay in their order.
pub struct Lanes<T>(VecDeque<(Client, VecDeque<T>)>);

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Lanes<T> {
    pub fn push(&mut self, client: &Client, item: T) {
        match self.0.iter_mut().find(|(of, _)| of == client) {
            Some((_, lane)) => lane.push_back(item),
            None => self.0.push_back((client.clone(), VecDeque::from([item]))),
        }
    }

    /// The item whose turn it is.
    pub fn take(&mut self) -> Option<(Client, T)> {
        self.take_if(|_, _| true)
    }

    /// The first of a lane of which that is true. The lane goes behind the others.
    pub fn take_if(&mut self, wanted: impl Fn(&Client, &T) -> bool) -> Option<(Client, T)> {
        let at = self.0.iter().position(|(client, lane)| lane.front().is_some_and(|item| wanted(client, item)))?;
        let (client, mut lane) = self.0.remove(at)?;
        let item = lane.pop_front()?;
        if !lane.is_empty() {
            self.0.push_back((client.clone(), lane));
        }
        Some((client, item))
    }

    /// Drops the items of which that is not true.
    pub fn retain(&mut self, wanted: impl Fn(&T) -> bool) {
        self.0.retain_mut(|(_, lane)| {
            lane.retain(&wanted);
            !lane.is_empty()
        });
    }

    /// Whether there is an item of that client.
    pub fn has(&self, client: &Client) -> bool {
        self.0.iter().any(|(of, _)| of == client)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let mut lanes = Lanes::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| Client::Key(name.into()));
        for item in 0..4 {
            lanes.push(&a, item);
        }
        lanes.push(&b, 10);
        lanes.push(&c, 20);
        lanes.push(&b, 11);
        let order: Vec<i32> = std::iter::from_fn(|| lanes.take()).map(|(_, item)| item).collect();
        assert_eq!(order, [0, 10, 20, 1, 11, 2, 3]);
        assert!(lanes.is_empty() && !lanes.has(&a));
    }

    #[test]
    fn what_nobody_wants_any_more_leaves_and_what_must_wait_stays() {
        let mut lanes = Lanes::default();
        let [a, b] = ["a", "b"].map(|name| Client::Key(name.into()));
        for (client, item) in [(&a, 1), (&a, 2), (&b, 3)] {
            lanes.push(client, item);
        }
        assert_eq!(lanes.take_if(|_, item| *item == 2), None, "only the first of a lane can be taken");
        lanes.retain(|item| *item != 1);
        assert_eq!(lanes.take_if(|client, _| *client == b), Some((b, 3)));
        assert_eq!(lanes.take(), Some((a, 2)));
    }
}
