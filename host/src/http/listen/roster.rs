//! The open connections, and which of them goes when there is no room for one more: of the peer with the most that nobody works on, the one
//! that has been so for the longest. A connection that works on a request stays.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::activity::Activity;

/// To choose one, all are looked at; so this part of them is chosen at a time, and each is looked at again when its turn comes.
const CHOSEN_PART: usize = 16;

#[derive(Default)]
pub(super) struct Roster(Mutex<State>);

#[derive(Default)]
struct State {
    connections: HashMap<u64, Entry>,
    next: u64,
    /// Those that may go, in order, with the time since when they were idle.
    chosen: VecDeque<(u64, Instant)>,
}

struct Entry {
    network: IpAddr,
    activity: Arc<Activity>,
}

/// Keeps a connection on the roster until it is dropped.
pub(super) struct Member {
    roster: Arc<Roster>,
    number: u64,
}

impl Roster {
    pub(super) fn enter(self: &Arc<Self>, network: IpAddr, activity: Arc<Activity>) -> Member {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.connections.insert(number, Entry { network, activity });
        Member { roster: Arc::clone(self), number }
    }

    /// Open connections without those that were told to go.
    pub(super) fn len(&self) -> usize {
        self.state().connections.len()
    }

    /// Tells the connection to go that is needed least. False if all are busy.
    pub(super) fn make_room(&self) -> bool {
        let mut state = self.state();
        state.close_chosen() || {
            state.choose();
            state.close_chosen()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_chosen(&mut self) -> bool {
        while let Some((number, idle_since)) = self.chosen.pop_front() {
            if self.connections.get(&number).is_some_and(|entry| entry.activity.give_way(idle_since)) {
                self.connections.remove(&number);
                return true;
            }
        }
        false
    }

    fn choose(&mut self) {
        let mut idle: HashMap<IpAddr, Vec<(Instant, u64)>> = HashMap::new();
        for (number, entry) in &self.connections {
            if let Some(since) = entry.activity.idle_since() {
                idle.entry(entry.network).or_default().push((since, *number));
            }
        }
        // The one that has been idle for the longest stands last, and among peers with as many it decides.
        let mut peers: BinaryHeap<_> = idle
            .into_values()
            .map(|mut connections| {
                connections.sort_unstable_by(|a, b| b.cmp(a));
                (connections.len(), std::cmp::Reverse(connections.last().copied()), connections)
            })
            .collect();
        for _ in 0..self.connections.len().div_ceil(CHOSEN_PART) {
            let Some((_, _, mut connections)) = peers.pop() else { return };
            let Some((since, number)) = connections.pop() else { continue };
            self.chosen.push_back((number, since));
            peers.push((connections.len(), std::cmp::Reverse(connections.last().copied()), connections));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.roster.state().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct House {
        roster: Arc<Roster>,
        start: Instant,
        members: Vec<(Member, Arc<Activity>)>,
    }

    impl House {
        fn new() -> Self {
            Self { roster: Arc::default(), start: Instant::now(), members: Vec::new() }
        }

        /// A connection of that peer that was opened so many seconds after the start.
        fn open(&mut self, peer: u8, second: u32) -> Arc<Activity> {
            let activity = Arc::new(Activity::new(self.start + second * SECOND));
            let member = self.roster.enter(IpAddr::from([10, 0, 0, peer]), Arc::clone(&activity));
            self.members.push((member, Arc::clone(&activity)));
            activity
        }

        /// Which of the connections had to go, as numbers in the order in which they were opened.
        fn gone(&self) -> Vec<usize> {
            let told = |(_, (_, activity)): &(usize, &(Member, Arc<Activity>))| activity.must_go();
            self.members.iter().enumerate().filter(told).map(|(number, _)| number).collect()
        }
    }

    #[test]
    fn the_longest_idle_of_the_peer_with_the_most_goes_first() {
        let mut house = House::new();
        house.open(1, 0);
        house.open(2, 2);
        house.open(2, 1);
        house.open(2, 3);
        assert!(house.roster.make_room());
        assert_eq!((house.gone(), house.roster.len()), (vec![2], 3));
        assert!(house.roster.make_room());
        assert_eq!(house.gone(), [1, 2]);
        // Each has one now.
        assert!(house.roster.make_room());
        assert_eq!(house.gone(), [0, 1, 2]);
    }

    #[test]
    fn one_that_works_stays_and_one_whose_request_was_not_let_in_goes() {
        let mut house = House::new();
        let (works, refused) = (house.open(1, 0), house.open(1, 1));
        let request = works.began(house.start);
        works.let_in(request);
        refused.began(house.start + 2 * SECOND);
        assert!(house.roster.make_room() && !house.roster.make_room());
        assert_eq!(house.gone(), [1]);
        works.ended(request, house.start + 3 * SECOND);
        assert!(house.roster.make_room());
        assert_eq!((house.gone(), house.roster.len()), (vec![0, 1], 0));
    }

    #[test]
    fn one_that_was_chosen_and_began_to_work_stays() {
        let mut house = House::new();
        // Of 32, two are chosen at a time.
        let activities: Vec<_> = (0..32).map(|n| house.open(1, n)).collect();
        assert!(house.roster.make_room());
        let request = activities[1].began(house.start + 60 * SECOND);
        activities[1].let_in(request);
        assert!(house.roster.make_room());
        assert_eq!(house.gone(), [0, 2]);
        drop(house.members.remove(5));
        assert_eq!(house.roster.len(), 29);
    }
}
