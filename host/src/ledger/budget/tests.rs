//! A million schedules of requests at the same moment, hang-ups, kills, midnights and ends of months, against what the provider counts. The
//! provider counts of each request anything up to what it reserved, also of one whose client hung up or whose server was killed.

use std::time::Duration;

use super::*;
use crate::ledger::account::Account;
use crate::ledger::allowance::Allowance;
use crate::ledger::clock::Moment;
use crate::ledger::price::PICO;

const SCHEDULES: u64 = 1_000_000;
const STEPS: u64 = 10;
const LIMITS: [Limit; 3] = [Limit::TokensPerDay, Limit::UsdPerDay, Limit::UsdPerMonth];

/// A small generator of its own, so that a schedule is its number.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % most
    }
}

/// A server that keeps one account, its disk, and the provider behind it.
struct World {
    allowance: Allowance,
    /// Those that the allowance has.
    limits: Vec<Limit>,
    parts: u64,
    now: Moment,
    account: Account,
    /// What is on the disk.
    disk: Vec<Cover>,
    /// What is being written.
    writing: Option<Vec<Cover>>,
    running: Vec<Held>,
    counted: Vec<Counted>,
}

/// What the provider counted in one period of a limit, and the largest request that there was.
struct Counted {
    limit: Limit,
    begun: Day,
    sum: u128,
    largest: u128,
}

impl World {
    fn new(random: &mut Random) -> Self {
        let dollars = |n: u64| Some(n).filter(|n| *n > 0);
        let allowance = Allowance {
            tokens_per_day: Some(1 + random.below(200)),
            usd_per_day: dollars(random.below(200)),
            usd_per_month: dollars(random.below(400)),
            ..Allowance::default()
        };
        // The 29th of October.
        let now = Moment { steady: Duration::ZERO, unix: Duration::from_secs(20_025 * 86_400 + 80_000) };
        let parts = 1 + random.below(20);
        let account = Account::new(allowance, parts, now, |_| 0);
        let limits = LIMITS.into_iter().filter(|limit| allowance.of(*limit).is_some()).collect();
        Self { allowance, limits, parts, now, account, disk: Vec::new(), writing: None, running: Vec::new(), counted: Vec::new() }
    }

    fn step(&mut self, random: &mut Random) {
        match random.below(16) {
            0..6 => self.begin(random),
            6..10 => self.end(random, false),
            10 => self.end(random, true),
            11 => self.begin_to_write(),
            12 | 13 => self.written(random.below(8) == 0),
            14 => self.now.unix += Duration::from_secs(1 + random.below(2 * 86_400)),
            _ => self.kill(random),
        }
    }

    fn begin(&mut self, random: &mut Random) {
        // Dear and cheap models.
        let tokens = 1 + random.below(120);
        let amount = Amount { tokens, cost: u128::from(tokens) * u128::from(random.below(4)) * PICO };
        if self.account.check(self.now).is_err() {
            return;
        }
        if !self.account.covers(&amount) {
            // It waits for the disk, unless somebody else is being waited for.
            self.begin_to_write();
            self.written(false);
            if self.account.check(self.now).is_err() || !self.account.covers(&amount) {
                return;
            }
        }
        // What is left may be less than it may use; if it is left, all of that is charged nevertheless.
        let granted = part_of(&amount, random);
        let held = self.account.reserve(amount, granted, self.now);
        for limit in self.limits.clone() {
            let counted = self.counted(limit, held.day);
            counted.largest = counted.largest.max(amount.of(limit));
        }
        self.running.push(held);
    }

    /// One request ends; with `hung_up` nobody learns what the provider counted.
    fn end(&mut self, random: &mut Random, hung_up: bool) {
        if self.running.is_empty() {
            return;
        }
        let held = self.running.swap_remove(random.below(self.running.len() as u64) as usize);
        let counted = part_of(&held.amount, random);
        self.count(&held, &counted);
        if hung_up {
            self.account.lose(&held, &held.granted, self.now);
        } else {
            self.account.settle(&held, &counted, self.now);
        }
    }

    fn begin_to_write(&mut self) {
        if self.writing.is_none() {
            self.account.roll(self.now);
            self.writing = Some(self.account.begin_cover(false).collect());
        }
    }

    fn written(&mut self, failed: bool) {
        for cover in self.writing.take().filter(|_| !failed).into_iter().flatten() {
            self.put(cover);
            self.account.end_cover(&cover);
        }
    }

    fn put(&mut self, cover: Cover) {
        self.disk.retain(|row| row.limit != cover.limit);
        self.disk.push(cover);
    }

    /// What is under way is lost, and what is being written is on the disk or is not.
    fn kill(&mut self, random: &mut Random) {
        for held in std::mem::take(&mut self.running) {
            let counted = part_of(&held.amount, random);
            self.count(&held, &counted);
        }
        let writing = self.writing.take();
        if random.below(2) == 0 {
            writing.into_iter().flatten().for_each(|cover| self.put(cover));
        }
        let (disk, today) = (&self.disk, self.now.day());
        let row = |limit: Limit| disk.iter().find(|row| row.limit == limit && row.begun >= first_day(limit, today));
        self.account = Account::new(self.allowance, self.parts, self.now, |limit| row(limit).map_or(0, |row| row.units));
    }

    fn count(&mut self, held: &Held, counted: &Amount) {
        for limit in self.limits.clone() {
            self.counted(limit, held.day).sum += counted.of(limit);
        }
    }

    fn counted(&mut self, limit: Limit, day: Day) -> &mut Counted {
        let begun = first_day(limit, day);
        let at = self.counted.iter().position(|counted| counted.limit == limit && counted.begun == begun).unwrap_or_else(|| {
            self.counted.push(Counted { limit, begun, sum: 0, largest: 0 });
            self.counted.len() - 1
        });
        &mut self.counted[at]
    }

    /// Nowhere does the provider count more than the limit and one request.
    fn check(&self, schedule: u64) {
        for &Counted { limit, begun, sum, largest } in &self.counted {
            let Some(allowed) = self.allowance.of(limit) else { continue };
            let unit = if limit == Limit::TokensPerDay { 1 } else { PICO };
            let most = u128::from(allowed) * unit + largest;
            assert!(sum <= most, "schedule {schedule}: {sum} of {limit:?} from {begun} on, allowed are {most}");
        }
    }
}

fn part_of(amount: &Amount, random: &mut Random) -> Amount {
    let tokens = match random.below(3) {
        0 => amount.tokens,
        _ => random.below(amount.tokens + 1),
    };
    Amount { tokens, cost: amount.cost / u128::from(amount.tokens) * u128::from(tokens) }
}

fn play(schedules: std::ops::Range<u64>) {
    for schedule in schedules {
        let mut random = Random(schedule.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut world = World::new(&mut random);
        let steps = STEPS + random.below(STEPS);
        (0..steps).for_each(|_| world.step(&mut random));
        world.kill(&mut random);
        world.check(schedule);
    }
}

#[test]
fn over_a_million_schedules_nobody_overdraws_by_more_than_one_reservation() {
    let half = SCHEDULES / 2;
    std::thread::scope(|scope| {
        let halves = [scope.spawn(move || play(0..half)), scope.spawn(move || play(half..SCHEDULES))];
        halves.into_iter().for_each(|half| half.join().expect("no schedule fails"));
    });
}

#[test]
fn a_budget_is_written_down_in_parts_and_never_past_its_limit() {
    let mut budget = Budget::new(Limit::TokensPerDay, 160, 16, Day::default(), 0);
    let tokens = |tokens| Amount { tokens, cost: 0 };
    assert!(budget.wants_cover() && !budget.covers(&tokens(3)));
    let cover = budget.begin_cover(false);
    assert_eq!(cover.units, 13, "what was asked for, and a part");
    assert!(!budget.covers(&tokens(3)), "not before it is written");
    budget.end_cover(&cover);
    assert!(budget.covers(&tokens(3)) && !budget.covers(&tokens(14)));
    budget.reserve(&tokens(150));
    let cover = budget.begin_cover(false);
    assert_eq!((cover.units, budget.left()), (167, 10), "what is needed and asked for is written, also past the limit");
    budget.end_cover(&cover);
    budget.settle(&Held { amount: tokens(150), ..Held::default() }, &tokens(5));
    assert!(budget.wants_cover(), "far more is written down than is needed");
    let cover = budget.begin_cover(false);
    assert_eq!((cover.units, budget.covers(&tokens(11))), (15, false));
    budget.end_cover(&cover);
    assert_eq!(budget.begin_cover(true).units, 16, "what was asked for and no more");
    assert_eq!(budget.begin_cover(true).units, 5);
}

#[test]
fn a_cover_of_yesterday_covers_nothing_today() {
    let mut budget = Budget::new(Limit::TokensPerDay, 100, 1, Day::default(), 0);
    let cover = budget.begin_cover(false);
    let tomorrow = Moment { unix: Duration::from_secs(86_400), ..Moment::default() }.day();
    budget.roll(tomorrow);
    budget.end_cover(&cover);
    assert!(!budget.covers(&Amount { tokens: 1, cost: 0 }));
}
