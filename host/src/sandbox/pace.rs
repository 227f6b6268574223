//! Whether a plugin's calls are short enough to run where they are asked for. A plugin has to earn that by short calls on the guests' threads, and
//! loses it by one call that has not ended with its first turn, or by some that end in one turn that is long; then it has to make twice as many,
//! up to a bound, and gets back to the first price as slowly. A call that is long by the clock may have been interrupted by other programs, so the
//! first one only has the calls after it measured by the processor's clock. So a plugin that means harm delays a connection by one turn in a
//! thousand calls, and an honest quick one pays for no change of threads, also on a busy machine. A component whose parts copy much for each other
//! never earns it: a single copy of theirs may be longer than any turn.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A call that ran no longer than this was short.
const SHORT: Duration = Duration::from_micros(250);
/// A call that ran inline should take no longer than this. The thread of any one may have been interrupted, so it is lent time that short calls
/// have to make up for before the next one does so.
const INLINE: Duration = Duration::from_micros(500);
/// A call that was handed over and ran for longer than this was long: its first turn may have been charged a millisecond by the clock.
const LONG: Duration = Duration::from_micros(1_250);
/// Short calls for each `INLINE` that a call inline took, and the most that one call has to be made up for by.
const LENT: u32 = 8;
const LENT_MAX: u32 = 256;
/// Short calls in a row that a new plugin has to make, and the most that one has to make that was long.
const FIRST_PRICE: u32 = 16;
const PRICE_MAX: u32 = 4_096;
/// Short calls inline that halve the price again: a busy machine makes some calls of a quick plugin look long.
const FORGIVEN: u32 = 1_024;
/// Calls inline that are measured after one that was long by the clock. To read the processor's clock takes a tenth of a short call, so it is
/// read only as long as there is a doubt.
const DOUBTED: u32 = 1_024;
/// A conversation of more bytes than this is too long to be copied inline, whoever gets it.
const BYTES_MAX: usize = 64 << 10;

/// Where a call ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On the thread that asked for it, in a single turn.
    Inline,
    /// There too, and its time is the processor's.
    Measured,
    /// There for one turn, and then on a thread of the guests'.
    HandedOver,
    /// There too, but it is to be seen at its end whether it was long or only interrupted.
    Doubted,
    /// On a thread of the guests' from the start.
    Apart,
}

/// Deltas that one push of a few holds at most.
const FEW: usize = 8;

/// How the calls of a plugin's stream hook went. An interpreter takes a millisecond to be opened, or for sixty deltas at once, and twenty
/// microseconds for the one delta that most pushes are, so that each kind of call earns its place for itself.
#[derive(Debug)]
pub(super) struct StreamPaces {
    /// Those that are made once for a reply: `open`, `close`.
    pub(super) once: Pace,
    few: Pace,
    many: Pace,
}

/// How one plugin's calls of one kind went.
#[derive(Debug)]
pub(super) struct Pace {
    /// Whether no call ever runs inline.
    apart: bool,
    /// Short calls that are still to be made.
    owed: AtomicU32,
    price: AtomicU32,
    /// Short calls inline since the price last changed.
    kept: AtomicU32,
    /// Short calls inline that are to make up for the last slow one.
    lent: AtomicU32,
    /// Calls inline that are still to be measured.
    doubted: AtomicU32,
}

impl Place {
    /// For metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Inline | Self::Measured => "inline",
            Self::HandedOver | Self::Doubted => "handed_over",
            Self::Apart => "apart",
        }
    }
}

impl StreamPaces {
    /// That of a push of so many deltas.
    pub(super) fn push(&self, deltas: usize) -> &Pace {
        if deltas <= FEW { &self.few } else { &self.many }
    }
}

impl Pace {
    pub(super) fn new() -> Self {
        let [owed, price] = [FIRST_PRICE; 2].map(AtomicU32::new);
        let [kept, lent, doubted] = [0; 3].map(AtomicU32::new);
        Self { apart: false, owed, price, kept, lent, doubted }
    }

    /// Of a plugin whose calls always run on the guests' threads.
    pub(super) fn apart() -> Self {
        Self { apart: true, ..Self::new() }
    }

    /// New ones of the same kind, for the same component's stream hook.
    pub(super) fn of_streams(&self) -> StreamPaces {
        let [once, few, many] = [(); 3].map(|()| Self { apart: self.apart, ..Self::new() });
        StreamPaces { once, few, many }
    }

    /// Whether a call that is handed so many bytes may have its first turn inline, and by which clock.
    pub(super) fn inline(&self, bytes: usize) -> Option<Place> {
        let inline = !self.apart && bytes <= BYTES_MAX && self.owed.load(Ordering::Relaxed) == 0;
        let measured = self.doubted.load(Ordering::Relaxed) > 0;
        inline.then_some(if measured { Place::Measured } else { Place::Inline })
    }

    /// A call at that place has not ended with its first turn, and so goes elsewhere. `ran` is what it ran if that turn was long by the clock and
    /// given up for that.
    pub(super) fn went_on(&self, place: Place, ran: Option<Duration>) -> Place {
        match ran {
            Some(_) if place == Place::Inline => self.doubt(),
            // Other programs had the processor. But it may wait for the kernel so, of which only a little is fair.
            Some(ran) if ran <= SHORT => self.slow_inline(INLINE),
            _ => {
                self.long_inline();
                return Place::HandedOver;
            }
        }
        Place::Doubted
    }

    fn doubt(&self) {
        self.doubted.store(DOUBTED, Ordering::Relaxed);
    }

    fn long_inline(&self) {
        let price = self.price.load(Ordering::Relaxed).saturating_mul(2).min(PRICE_MAX);
        self.price.store(price, Ordering::Relaxed);
        self.owed.store(price, Ordering::Relaxed);
        self.kept.store(0, Ordering::Relaxed);
        self.lent.store(0, Ordering::Relaxed);
    }

    fn slow_inline(&self, took: Duration) {
        let times = u32::try_from(took.as_nanos() / INLINE.as_nanos()).unwrap_or(u32::MAX);
        if self.lent.swap(times.saturating_mul(LENT).min(LENT_MAX), Ordering::Relaxed) > 0 {
            self.long_inline();
        }
    }

    fn short_inline(&self) {
        // Most calls owe nothing, and write nothing then.
        if self.lent.load(Ordering::Relaxed) > 0 {
            let less = |lent: u32| lent.checked_sub(1);
            let _ = self.lent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        let price = self.price.load(Ordering::Relaxed);
        if price > FIRST_PRICE && self.kept.fetch_add(1, Ordering::Relaxed) + 1 >= FORGIVEN {
            self.kept.store(0, Ordering::Relaxed);
            self.price.store((price / 2).max(FIRST_PRICE), Ordering::Relaxed);
        }
    }

    /// A call is over that was handed so many bytes.
    pub(super) fn ran(&self, place: Place, took: Duration, bytes: usize) {
        match place {
            Place::Inline if took > INLINE => self.doubt(),
            Place::Measured if took > INLINE => self.slow_inline(took),
            Place::Inline => self.short_inline(),
            Place::Measured => {
                let less = |doubted: u32| doubted.checked_sub(1);
                let _ = self.doubted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
                self.short_inline();
            }
            // It was counted when it was handed over.
            Place::HandedOver => {}
            Place::Doubted if took > LONG => self.long_inline(),
            Place::Doubted => {}
            // It says nothing about calls that are handed less.
            Place::Apart if bytes > BYTES_MAX => {}
            Place::Apart if took <= SHORT => {
                let less = |owed: u32| owed.checked_sub(1);
                let _ = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            Place::Apart => self.owed.store(self.price.load(Ordering::Relaxed), Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many short calls the plugin makes until it runs inline.
    fn earns(pace: &Pace) -> u32 {
        let mut calls = 0;
        while pace.inline(0).is_none() {
            pace.ran(Place::Apart, SHORT, 0);
            calls += 1;
        }
        calls
    }

    #[test]
    fn a_new_plugin_runs_apart_until_it_has_made_short_calls_in_a_row() {
        let pace = Pace::new();
        for _ in 0..FIRST_PRICE - 1 {
            pace.ran(Place::Apart, SHORT, 0);
        }
        pace.ran(Place::Apart, SHORT + Duration::from_nanos(1), 0);
        assert_eq!(earns(&pace), FIRST_PRICE, "the long one made it begin anew");
        pace.ran(Place::Inline, INLINE, 0);
        assert_eq!(pace.inline(0), Some(Place::Inline));
    }

    #[test]
    fn a_stream_hook_that_is_slow_to_open_and_with_many_deltas_is_handed_few_of_them_inline() {
        let paces = Pace::new().of_streams();
        let long = LONG * 2;
        for _ in 0..FIRST_PRICE {
            paces.once.ran(Place::Apart, long, 0);
            paces.push(FEW + 1).ran(Place::Apart, long, 0);
            paces.push(FEW).ran(Place::Apart, SHORT, 0);
        }
        assert_eq!(paces.push(1).inline(0), Some(Place::Inline));
        assert_eq!([paces.once.inline(0), paces.push(FEW + 1).inline(0)], [None, None]);
        let apart = Pace::apart().of_streams();
        (0..FIRST_PRICE).for_each(|_| apart.push(1).ran(Place::Apart, SHORT, 0));
        assert_eq!(apart.push(1).inline(0), None, "a component of several parts");
    }

    #[test]
    fn each_long_call_inline_doubles_what_is_to_be_earned_up_to_a_bound() {
        let pace = Pace::new();
        let mut prices = vec![earns(&pace)];
        for _ in 0..10 {
            pace.long_inline();
            pace.ran(Place::HandedOver, Duration::from_secs(1), 0);
            prices.push(earns(&pace));
        }
        assert_eq!(prices, [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 4_096, 4_096]);
    }

    #[test]
    fn a_slow_call_inline_is_made_up_for_by_short_ones_according_to_its_length() {
        let long = INLINE + Duration::from_nanos(1);
        for (took, short) in [(long, LENT), (INLINE * 8, 8 * LENT), (Duration::from_secs(9), LENT_MAX)] {
            for (calls, kept) in [(short, true), (short - 1, false)] {
                let pace = Pace::new();
                earns(&pace);
                pace.ran(Place::Measured, took, 0);
                assert!(pace.inline(0).is_some(), "one alone is lent");
                (0..calls).for_each(|_| pace.ran(Place::Measured, INLINE, 0));
                pace.ran(Place::Measured, took, 0);
                assert_eq!(pace.inline(0).is_some(), kept, "{took:?} after {calls} short ones");
            }
        }
    }

    #[test]
    fn a_thousand_short_calls_inline_make_up_for_one_long_one() {
        let pace = Pace::new();
        earns(&pace);
        pace.long_inline();
        assert_eq!(earns(&pace), 2 * FIRST_PRICE);
        for _ in 0..FORGIVEN {
            pace.ran(Place::Inline, SHORT, 0);
        }
        pace.long_inline();
        assert_eq!(earns(&pace), 2 * FIRST_PRICE, "as if it had been the first");
        for _ in 0..FORGIVEN - 1 {
            pace.ran(Place::Inline, SHORT, 0);
        }
        pace.long_inline();
        assert_eq!(earns(&pace), 4 * FIRST_PRICE);
    }

    #[test]
    fn a_long_conversation_runs_apart_and_costs_nothing() {
        let pace = Pace::new();
        earns(&pace);
        assert!(pace.inline(BYTES_MAX).is_some() && pace.inline(BYTES_MAX + 1).is_none());
        pace.ran(Place::Apart, Duration::from_secs(1), BYTES_MAX + 1);
        assert!(pace.inline(0).is_some());
    }

    #[test]
    fn a_plugin_that_is_to_run_apart_does_so_however_quick_it_is() {
        let pace = Pace::apart();
        for _ in 0..10 * PRICE_MAX {
            assert_eq!(pace.inline(0), None);
            pace.ran(Place::Apart, Duration::ZERO, 0);
        }
    }

    #[test]
    fn a_call_that_is_long_by_the_clock_has_a_thousand_measured_and_costs_nothing_more() {
        let long = INLINE + Duration::from_nanos(1);
        let doubts: [fn(&Pace, Duration); 2] =
            [|pace, long| pace.ran(Place::Inline, long, 0), |pace, long| pace.ran(pace.went_on(Place::Inline, Some(long)), LONG, 0)];
        for doubt in doubts {
            let pace = Pace::new();
            earns(&pace);
            for _ in 0..3 {
                doubt(&pace, long);
                for _ in 0..DOUBTED {
                    assert_eq!(pace.inline(0), Some(Place::Measured));
                    pace.ran(Place::Measured, SHORT, 0);
                }
                assert_eq!(pace.inline(0), Some(Place::Inline));
            }
        }
    }

    #[test]
    fn a_measured_call_that_goes_on_is_long_unless_it_was_interrupted_and_that_not_often() {
        let interrupted = |pace: &Pace| pace.ran(pace.went_on(Place::Measured, Some(SHORT)), LONG, 0);
        for (calls, kept) in [(LENT, true), (LENT - 1, false)] {
            let pace = Pace::new();
            earns(&pace);
            interrupted(&pace);
            assert!(pace.inline(0).is_some());
            (0..calls).for_each(|_| pace.ran(Place::Measured, SHORT, 0));
            interrupted(&pace);
            assert_eq!(pace.inline(0).is_some(), kept, "after {calls} short ones");
        }
        // It ran for long, its operators were used up, or it waits for something.
        for ran in [Some(SHORT + Duration::from_nanos(1)), None] {
            let pace = Pace::new();
            earns(&pace);
            pace.went_on(Place::Measured, ran);
            assert_eq!(earns(&pace), 2 * FIRST_PRICE, "{ran:?}");
        }
        let pace = Pace::new();
        earns(&pace);
        pace.went_on(Place::Inline, None);
        assert_eq!(earns(&pace), 2 * FIRST_PRICE, "no clock is needed to know that");
    }

    #[test]
    fn a_call_that_was_doubted_and_is_long_in_the_end_was_long() {
        for place in [Place::Inline, Place::Measured] {
            let pace = Pace::new();
            earns(&pace);
            let place = pace.went_on(place, Some(SHORT));
            assert!(pace.inline(0).is_some());
            pace.ran(place, LONG + Duration::from_nanos(1), 0);
            assert_eq!(earns(&pace), 2 * FIRST_PRICE);
        }
    }
}
