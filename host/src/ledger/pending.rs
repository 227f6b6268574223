//! What the store does not have yet: one line for each day, pipeline, caller, provider and model.
//! The lines of the day stay when they were written, so that their number is bounded for the whole day, restarts included.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::clock::Day;
use super::price::PICO;
use super::store::{Sums, UseRow};
use crate::chat::Usage;

/// The name of everything that comes after the last line that fits. The caller's own name stays, because its budget is read back from the
/// lines; callers are the operator's own, so their number is bounded.
const OTHER: &str = "other";

/// Bytes of a model's name that are kept; it may come from a client.
pub(super) const MODEL_BYTES: usize = 200;

/// One reply that is over.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub pipeline: &'a str,
    pub caller: Option<&'a str>,
    pub provider: &'a str,
    pub model: &'a str,
    pub usage: Usage,
    /// The tokens are a guess.
    pub estimated: bool,
}

/// The lines that are not written, and the names of those of the day that are.
pub(super) struct Pending {
    /// By day and names, spelled as `spell` does.
    lines: HashMap<Box<str>, Line>,
    /// The day of the newest line.
    day: Day,
    /// Lines at once.
    most: usize,
    /// Where a line's key is spelled, so that finding one allocates nothing.
    key: String,
}

struct Line {
    day: Day,
    names: Names,
    /// What is not written yet, without the cost.
    sums: Sums,
    /// The cost that is not written yet, in millionths of a millionth of a dollar. What is less than a millionth waits for more.
    cost: u128,
}

struct Names {
    pipeline: Box<str>,
    caller: Box<str>,
    provider: Box<str>,
    model: Box<str>,
}

impl Pending {
    /// Knows which lines the day has already.
    pub(super) fn open(most: usize, day: Day, written: &[UseRow]) -> Self {
        let mut pending = Self { lines: HashMap::new(), day, most, key: String::new() };
        for row in written {
            pending.put(day, [&row.pipeline, &row.caller, &row.provider, &row.model], &Sums::default(), 0);
        }
        pending
    }

    /// Counts one reply. `cost` is in millionths of a millionth of a dollar; none if there is no price.
    pub(super) fn add(&mut self, day: Day, entry: &Entry<'_>, cost: Option<u128>) {
        if day != self.day {
            self.day = day;
            self.lines.retain(|_, line| line.sums.replies > 0);
        }
        let usage = &entry.usage;
        let sums = Sums {
            replies: 1,
            prompt: usage.prompt,
            completion: usage.completion,
            cached: usage.cached,
            reasoning: usage.reasoning,
            estimated: entry.estimated.into(),
            priced: cost.is_some().into(),
            cost: 0,
        };
        let caller = entry.caller.unwrap_or_default();
        let mut names = [entry.pipeline, caller, entry.provider, short(entry.model)];
        spell(&mut self.key, day, &names);
        if self.lines.len() >= self.most && !self.lines.contains_key(&*self.key) {
            names = [OTHER, caller, OTHER, OTHER];
        }
        self.put(day, names, &sums, cost.unwrap_or(0));
    }

    /// What the store is to add; it counts as written from now on.
    pub(super) fn take(&mut self) -> Vec<UseRow> {
        let mut rows = Vec::new();
        for line in self.lines.values_mut().filter(|line| line.sums.replies > 0) {
            let mut sums = std::mem::take(&mut line.sums);
            sums.cost = u64::try_from(line.cost / PICO).unwrap_or(u64::MAX);
            line.cost %= PICO;
            let Names { pipeline, caller, provider, model } = &line.names;
            let [pipeline, caller, provider, model] = [pipeline, caller, provider, model].map(|name| String::from(&**name));
            rows.push(UseRow { day: line.day, pipeline, caller, provider, model, sums });
        }
        let today = self.day;
        self.lines.retain(|_, line| line.day == today);
        rows
    }

    /// Takes rows back that could not be written.
    pub(super) fn give_back(&mut self, rows: &[UseRow]) {
        for row in rows {
            let cost = u128::from(row.sums.cost) * PICO;
            self.put(row.day, [&row.pipeline, &row.caller, &row.provider, &row.model], &Sums { cost: 0, ..row.sums }, cost);
        }
    }

    /// Adds to a line, which is made if it is missing.
    fn put(&mut self, day: Day, names: [&str; 4], sums: &Sums, cost: u128) {
        spell(&mut self.key, day, &names);
        let line = match self.lines.get_mut(&*self.key) {
            Some(line) => line,
            None => {
                let [pipeline, caller, provider, model] = names.map(Box::from);
                let line = Line { day, names: Names { pipeline, caller, provider, model }, sums: Sums::default(), cost: 0 };
                self.lines.entry(self.key.as_str().into()).or_insert(line)
            }
        };
        line.sums.add(sums);
        line.cost = line.cost.saturating_add(cost);
    }
}

/// The names of pipelines, callers and providers hold no NUL; a model's may, and stands last.
fn spell(key: &mut String, day: Day, [pipeline, caller, provider, model]: &[&str; 4]) {
    key.clear();
    write!(key, "{}", day.number()).expect("a String takes every write");
    for name in [pipeline, caller, provider, model] {
        key.push('\0');
        key.push_str(name);
    }
}

/// The beginning of a model's name.
pub(super) fn short(model: &str) -> &str {
    &model[..model.floor_char_boundary(MODEL_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(caller: Option<&'a str>, model: &'a str) -> Entry<'a> {
        let usage = Usage { prompt: 10, completion: 5, cached: 4, reasoning: 3 };
        Entry { pipeline: "p", caller, provider: "openai", model, usage, estimated: false }
    }

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn today() -> Day {
        day("2026-11-22")
    }

    fn taken(pending: &mut Pending) -> Vec<(String, u64)> {
        let mut rows: Vec<_> = pending
            .take()
            .into_iter()
            .map(|row| (format!("{} {} {} {} {}", row.day, row.pipeline, row.caller, row.provider, row.model), row.sums.replies))
            .collect();
        rows.sort();
        rows
    }

    #[test]
    fn replies_of_the_same_names_are_one_line_and_leave_it_once() {
        let mut pending = Pending::open(10, today(), &[]);
        pending.add(today(), &entry(Some("a"), "m"), Some(1_500_000));
        pending.add(today(), &Entry { estimated: true, ..entry(Some("a"), "m") }, None);
        let [row] = &pending.take()[..] else { panic!("one row") };
        let sums = Sums { replies: 2, prompt: 20, completion: 10, cached: 8, reasoning: 6, estimated: 1, priced: 1, cost: 1 };
        assert_eq!(row.sums, sums);
        assert_eq!(pending.take(), []);
        pending.add(today(), &entry(Some("a"), "m"), Some(500_000));
        assert_eq!(pending.take()[0].sums.cost, 1, "half a millionth of a dollar was kept for the next time");
    }

    #[test]
    fn what_cannot_be_written_is_kept_to_the_last_token() {
        let mut pending = Pending::open(10, today(), &[]);
        pending.add(today(), &entry(Some("a"), "m"), Some(2_700_000));
        let rows = pending.take();
        pending.add(today(), &entry(Some("a"), "m"), Some(300_000));
        pending.give_back(&rows);
        let [row] = &pending.take()[..] else { panic!("one row") };
        assert_eq!((row.sums.replies, row.sums.prompt, row.sums.cost), (2, 20, 3));
    }

    #[test]
    fn lines_over_the_limit_are_counted_under_other_and_keep_their_caller() {
        let mut pending = Pending::open(2, today(), &[]);
        for model in ["m", "n", "o", "p", "m"] {
            pending.add(today(), &entry(Some("a"), model), None);
        }
        pending.add(today(), &entry(Some("b"), "o"), None);
        let line = |names: &str, replies| (format!("2026-11-22 {names}"), replies);
        let expected = [line("other a other other", 2), line("other b other other", 1), line("p a openai m", 2), line("p a openai n", 1)];
        assert_eq!(taken(&mut pending), expected);
        pending.add(today(), &entry(Some("a"), "q"), None);
        assert_eq!(taken(&mut pending), [line("other a other other", 1)], "lines that were written still count");
    }

    #[test]
    fn lines_of_before_a_restart_count_and_those_of_yesterday_do_not() {
        let mut pending = Pending::open(1, today(), &[]);
        pending.add(today(), &entry(None, "m"), None);
        let rows = pending.take();
        let mut pending = Pending::open(1, today(), &rows);
        assert_eq!(pending.take(), [], "what is on the disk is not written twice");
        pending.add(today(), &entry(None, "n"), None);
        assert_eq!(taken(&mut pending), [("2026-11-22 other  other other".into(), 1)]);
        pending.add(day("2026-11-23"), &entry(None, "n"), None);
        assert_eq!(taken(&mut pending), [("2026-11-23 p  openai n".into(), 1)]);
    }

    #[test]
    fn what_yesterday_left_is_still_written_under_its_day() {
        let mut pending = Pending::open(10, today(), &[]);
        pending.add(today(), &entry(None, "m"), None);
        pending.add(day("2026-11-23"), &entry(None, "m"), None);
        assert_eq!(taken(&mut pending), [("2026-11-22 p  openai m".into(), 1), ("2026-11-23 p  openai m".into(), 1)]);
        assert_eq!(pending.lines.len(), 1);
    }

    #[test]
    fn a_model_s_name_is_cut_at_its_edge_and_never_in_a_letter() {
        let long = "x".repeat(MODEL_BYTES);
        assert_eq!((short(&long), short(&format!("{long}y"))), (&*long, &*long));
        assert_eq!(short(&format!("{}é", "x".repeat(MODEL_BYTES - 1))), "x".repeat(MODEL_BYTES - 1));
    }
}
