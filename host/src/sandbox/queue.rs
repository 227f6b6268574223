//! Whose turn is next among the calls that can run. Plugins take turns with each other, so that many calls of one cost another plugin's call one
//! turn and not all of theirs. Within a plugin, calls that have run for little, for longer and for long take turns, and of each kind the one that
//! came first is finished first: a short call waits for a few turns only, and under too much load some calls end in time and not all of them too late.
//! Calls that nobody waits for take turns among themselves, and have one turn in `BEHIND_EVERY` while others can run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Up to where a call belongs to the first and to the second level of its plugin. A hook in Rust takes less than the first, one in Python
/// usually less than the second.
const LEVELS: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(20)];

/// Turns of which one is for the calls that nobody waits for: few enough to delay no request by more than an eighth, and enough for them to end.
const BEHIND_EVERY: u32 = 8;

/// What can run.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Plugins with a call that can run; the first one is next.
    plugins: VecDeque<Lane<T>>,
    /// The same of calls that nobody waits for.
    behind: VecDeque<Lane<T>>,
    /// Turns since one of those had its own, at most `BEHIND_EVERY`.
    ahead: u32,
}

#[derive(Debug)]
struct Lane<T> {
    plugin: Arc<str>,
    /// By how long they have run.
    levels: [VecDeque<T>; LEVELS.len() + 1],
    /// Whose turn it is.
    next: usize,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { plugins: VecDeque::new(), behind: VecDeque::new(), ahead: 0 }
    }

    /// How many calls there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.plugins.iter().chain(&self.behind).flat_map(|lane| &lane.levels).map(VecDeque::len).sum()
    }

    /// Adds a call of a plugin, behind the others if nobody waits for it, that has run for `ran` so far, and returns its level. `was` is the
    /// level that it had at its last turn: a call that keeps it goes on before the others there, and one that is new there goes after them.
    pub(super) fn push(&mut self, (plugin, behind): (&Arc<str>, bool), call: T, ran: Duration, was: Option<usize>) -> usize {
        let lanes = if behind { &mut self.behind } else { &mut self.plugins };
        let at = lanes.iter().position(|lane| lane.plugin == *plugin).unwrap_or_else(|| {
            lanes.push_back(Lane { plugin: plugin.clone(), levels: Default::default(), next: 0 });
            lanes.len() - 1
        });
        let level = LEVELS.iter().filter(|most| ran >= **most).count();
        let calls = &mut lanes[at].levels[level];
        if was == Some(level) {
            calls.push_front(call)
        } else {
            calls.push_back(call)
        }
        level
    }

    /// Takes the call whose turn it is. `over` says whether a call has waited for too long or was given up: those of its level are taken
    /// first, wherever they stand, because they only need to be told.
    pub(super) fn pop(&mut self, over: impl Fn(&T) -> bool) -> Option<T> {
        let behind = self.plugins.is_empty() || (!self.behind.is_empty() && self.ahead + 1 >= BEHIND_EVERY);
        self.ahead = if behind { 0 } else { (self.ahead + 1).min(BEHIND_EVERY) };
        let lanes = if behind { &mut self.behind } else { &mut self.plugins };
        let mut lane = lanes.pop_front()?;
        let has = |calls: &VecDeque<T>| !calls.is_empty();
        let levels = lane.levels.len();
        let level = (lane.next..lane.next + levels).map(|level| level % levels).find(|level| has(&lane.levels[*level]));
        lane.next = (lane.next + 1) % levels;
        let call = level.and_then(|level| {
            let calls = &mut lane.levels[level];
            let at = calls.iter().position(&over).unwrap_or_default();
            calls.remove(at)
        });
        if lane.levels.iter().any(has) {
            lanes.push_back(lane);
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;
    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_millis(100);

    fn push(queue: &mut Queue<u32>, plugin: &str, call: u32, ran: Duration) {
        queue.push((&plugin.into(), false), call, ran, None);
    }

    fn queue(calls: &[(&str, u32, Duration)]) -> Queue<u32> {
        let mut queue = Queue::new();
        calls.iter().for_each(|(plugin, call, ran)| push(&mut queue, plugin, *call, *ran));
        queue
    }

    fn pop(queue: &mut Queue<u32>) -> Option<u32> {
        queue.pop(|_| false)
    }

    fn all(mut queue: Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| pop(&mut queue)).collect()
    }

    #[test]
    fn plugins_take_turns_however_many_calls_one_of_them_has() {
        assert_eq!(all(queue(&[("a", 1, NONE), ("a", 2, NONE), ("a", 3, NONE), ("b", 10, NONE)])), [1, 10, 2, 3]);
        assert_eq!(all(queue(&[("a", 1, LONG), ("b", 10, LONG), ("a", 2, LONG), ("b", 11, LONG)])), [1, 10, 2, 11]);
    }

    #[test]
    fn calls_that_nobody_waits_for_have_one_turn_in_eight_and_all_of_them_if_nobody_else_wants_any() {
        let mut queue = queue(&(0..16).map(|call| ("a", call, NONE)).collect::<Vec<_>>());
        for (plugin, call) in [("a", 100), ("a", 101), ("a", 102), ("b", 200)] {
            queue.push((&plugin.into(), true), call, NONE, None);
        }
        assert_eq!(queue.len(), 20);
        let order: Vec<u32> = all(queue);
        let behind: Vec<(usize, u32)> = order.iter().copied().enumerate().filter(|(_, call)| *call >= 100).collect();
        assert_eq!(behind, [(7, 100), (15, 200), (18, 101), (19, 102)], "{order:?}");
    }

    #[test]
    fn turns_are_not_counted_for_ever_while_nobody_is_behind() {
        let mut queue = queue(&[("a", 1, NONE)]);
        queue.ahead = BEHIND_EVERY;
        assert_eq!((pop(&mut queue), queue.ahead), (Some(1), BEHIND_EVERY));
    }

    #[test]
    fn calls_that_have_run_for_little_and_for_long_take_turns() {
        let some = Duration::from_millis(5);
        let calls = [("a", 1, LONG), ("a", 2, LONG), ("a", 11, some), ("a", 12, some), ("a", 21, NONE), ("a", 22, NONE)];
        assert_eq!(all(queue(&calls)), [21, 11, 1, 22, 12, 2]);
    }

    #[test]
    fn the_call_that_was_begun_is_finished_before_the_next_is_begun() {
        let mut queue = queue(&[("a", 1, NONE), ("a", 2, NONE)]);
        assert_eq!(pop(&mut queue), Some(1));
        assert_eq!(queue.push((&"a".into(), false), 1, SHORT, Some(0)), 0);
        assert_eq!(all(queue), [1, 2]);
    }

    #[test]
    fn a_call_that_comes_to_a_level_goes_after_those_that_are_there() {
        let mut queue = queue(&[("a", 1, LONG), ("a", 2, LONG)]);
        assert_eq!(queue.push((&"a".into(), false), 3, LONG, Some(1)), 2);
        assert_eq!(all(queue), [1, 2, 3]);
    }

    #[test]
    fn calls_that_have_waited_too_long_are_told_before_the_first_one_goes_on() {
        let mut queue = queue(&[("a", 1, NONE), ("a", 2, NONE), ("a", 3, NONE), ("a", 4, NONE)]);
        let told: Vec<u32> = std::iter::from_fn(|| queue.pop(|call| [2, 3].contains(call))).collect();
        assert_eq!(told, [2, 3, 1, 4]);
        let mut queue = self::queue(&[("a", 1, NONE), ("a", 2, NONE), ("a", 3, NONE)]);
        let told: Vec<u32> = std::iter::from_fn(|| queue.pop(|call| *call == 3)).collect();
        assert_eq!(told, [3, 1, 2], "also behind those that go on");
    }

    #[test]
    fn long_calls_get_their_share_beside_any_number_of_short_ones() {
        let mut queue = queue(&[("a", 100, LONG)]);
        let turns: Vec<u32> = (0..8)
            .map(|call| {
                push(&mut queue, "a", call, NONE);
                let next = pop(&mut queue).expect("there is one");
                if next == 100 {
                    push(&mut queue, "a", next, LONG);
                }
                next
            })
            .collect();
        assert_eq!(turns.iter().filter(|call| **call == 100).count(), 5, "{turns:?}");
    }
}
