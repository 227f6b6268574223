//! Figures of plugins' own: two families, told apart by `plugin` and `name`, so that no plugin can name a figure of the host's or of another
//! plugin's. Each plugin has so many series until the program ends; what is over that, or has no fit name, label or value, is dropped and
//! counted.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::family::{Counters, plain};

/// Counters and histograms of one plugin, each set of labels counted.
pub(super) const SERIES_MAX: usize = 64;
/// Labels of one series, beside `plugin` and `name`.
const LABELS_MAX: usize = 8;
/// Bytes of a name of a figure or a label.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of a label's value.
const VALUE_BYTES_MAX: usize = 128;
/// Labels that are the host's, or the format's.
const RESERVED: [&str; 3] = ["plugin", "name", "le"];
/// Seconds from a millisecond on, and numbers up to a hundred thousand.
const BUCKETS: [f64; 15] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 10_000.0, 100_000.0];

/// A series by its labels, `plugin` and `name` included.
type Labels = Vec<(String, String)>;
type Sum = Counter<f64, AtomicU64>;

/// The families that series are made from.
pub(super) struct Families {
    counts: Family<Labels, Sum>,
    values: Family<Labels, Histogram, fn() -> Histogram>,
    dropped: Counters<1>,
}

/// The figures that one plugin brings.
pub(super) struct Custom {
    plugin: String,
    families: Arc<Families>,
    series: Mutex<HashMap<(Kind, Labels), Series>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Count,
    Value,
}

#[derive(Clone)]
enum Series {
    Count(Sum),
    Value(Histogram),
}

impl Families {
    /// What plugins name goes to `own`, and the host's count of what was dropped to `r`.
    pub(super) fn register(r: &mut Registry, own: &mut Registry) -> Self {
        let values: Family<Labels, Histogram, fn() -> Histogram> = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        Self {
            counts: plain(own, "plugin_custom", "What a plugin counts", Family::default()),
            values: plain(own, "plugin_custom_values", "What a plugin observes", values),
            dropped: plain(r, "plugin_custom_dropped", "What a plugin counted or observed and is not shown", Family::default()),
        }
    }
}

impl Custom {
    pub(super) fn new(plugin: &str, families: Arc<Families>) -> Self {
        Self { plugin: plugin.to_owned(), families, series: Mutex::default() }
    }

    /// Adds to a counter.
    pub(super) fn count(&self, name: &str, by: f64, labels: Vec<(String, String)>) {
        // A counter never falls.
        let series = (by.is_finite() && by >= 0.0).then(|| self.find(Kind::Count, name, labels)).flatten();
        match series {
            Some(Series::Count(counter)) => drop(counter.inc_by(by)),
            _ => self.drop_one(),
        }
    }

    /// Adds a value to a histogram.
    pub(super) fn observe(&self, name: &str, value: f64, labels: Vec<(String, String)>) {
        let series = value.is_finite().then(|| self.find(Kind::Value, name, labels)).flatten();
        match series {
            Some(Series::Value(histogram)) => histogram.observe(value),
            _ => self.drop_one(),
        }
    }

    fn drop_one(&self) {
        self.families.dropped.get_or_create(&[("plugin", self.plugin.clone())]).inc();
    }

    /// The series of these labels; none if they are not fit to be shown, or are one too many.
    fn find(&self, kind: Kind, name: &str, mut labels: Labels) -> Option<Series> {
        labels.sort();
        let twice = labels.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if !is_name(name) || labels.len() > LABELS_MAX || twice || !labels.iter().all(is_label) {
            return None;
        }
        labels.splice(0..0, [("plugin".to_owned(), self.plugin.clone()), ("name".to_owned(), name.to_owned())]);
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let full = series.len() >= SERIES_MAX;
        let key = (kind, labels);
        if let Some(known) = series.get(&key) {
            return Some(known.clone());
        }
        if full {
            return None;
        }
        let new = match kind {
            Kind::Count => Series::Count(self.families.counts.get_or_create_owned(&key.1)),
            Kind::Value => Series::Value(self.families.values.get_or_create_owned(&key.1)),
        };
        series.insert(key, new.clone());
        Some(new)
    }
}

/// `[a-z_][a-z0-9_]*`, and not one of those that the format keeps for itself.
fn is_name(name: &str) -> bool {
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let goes_on = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    begins && goes_on && name.len() <= NAME_BYTES_MAX && !name.starts_with("__")
}

fn is_label((name, value): &(String, String)) -> bool {
    is_name(name) && !RESERVED.contains(&name.as_str()) && value.len() <= VALUE_BYTES_MAX && !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    /// What is shown after these measurements of a plugin `p`.
    fn shown(measure: impl FnOnce(&Custom)) -> String {
        let mut registry = Registry::with_prefix("cofferdam");
        let mut own = Registry::with_prefix("cofferdam");
        measure(&Custom::new("p", Arc::new(Families::register(&mut registry, &mut own))));
        let mut out = String::new();
        text::encode_registry(&mut out, &own).unwrap();
        text::encode(&mut out, &registry).unwrap();
        out
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[track_caller]
    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|of| of == line), "no line `{line}` in\n{text}");
    }

    #[test]
    fn a_plugin_counts_and_observes_under_its_own_name_whatever_the_order_of_its_labels() {
        let text = shown(|custom| {
            custom.count("hits", 2.0, labels(&[("b", "2"), ("a", "1")]));
            custom.count("hits", 0.5, labels(&[("a", "1"), ("b", "2")]));
            custom.observe("hits", 0.3, Vec::new());
        });
        has(&text, r#"cofferdam_plugin_custom_total{plugin="p",name="hits",a="1",b="2"} 2.5"#);
        has(&text, r#"cofferdam_plugin_custom_values_count{plugin="p",name="hits"} 1"#);
        has(&text, r#"cofferdam_plugin_custom_values_bucket{le="0.5",plugin="p",name="hits"} 1"#);
        assert!(!text.contains("dropped_total{"));
    }

    #[test]
    fn the_last_series_is_kept_and_the_one_after_it_is_dropped_and_counted() {
        let text = shown(|custom| {
            for value in 0..SERIES_MAX * 3 {
                custom.count("bomb", 1.0, labels(&[("id", &value.to_string())]));
            }
            custom.observe("late", 1.0, Vec::new());
            custom.count("bomb", 1.0, labels(&[("id", "0")]));
        });
        assert_eq!(text.lines().filter(|line| line.starts_with("cofferdam_plugin_custom_total{")).count(), SERIES_MAX);
        has(&text, r#"cofferdam_plugin_custom_total{plugin="p",name="bomb",id="0"} 2.0"#);
        has(&text, &format!(r#"cofferdam_plugin_custom_dropped_total{{plugin="p"}} {}"#, SERIES_MAX * 2 + 1));
    }

    #[test]
    fn names_labels_and_values_are_checked_at_their_edges() {
        let long = |bytes: usize| "x".repeat(bytes);
        let many = |count: usize| (0..count).map(|i| (format!("l{i}"), String::new())).collect::<Labels>();
        let text = shown(|custom| {
            custom.count(&long(NAME_BYTES_MAX), 1.0, many(LABELS_MAX));
            custom.count("_", 0.0, labels(&[("a", &long(VALUE_BYTES_MAX))]));
        });
        assert!(!text.contains("dropped_total{"), "{text}");
        let unfit = |custom: &Custom| {
            for name in ["", "A", "a-b", "1a", "__a", "é", "a b", &long(NAME_BYTES_MAX + 1)] {
                custom.count(name, 1.0, Vec::new());
                custom.observe("fine", 1.0, labels(&[(name, "")]));
            }
            for reserved in RESERVED {
                custom.count("fine", 1.0, labels(&[(reserved, "host")]));
            }
            custom.count("fine", 1.0, many(LABELS_MAX + 1));
            custom.count("fine", 1.0, labels(&[("a", "1"), ("a", "2")]));
            for value in [&*long(VALUE_BYTES_MAX + 1), "a\rb", "a\nb", "\0"] {
                custom.count("fine", 1.0, labels(&[("a", value)]));
            }
            for by in [-1.0, f64::NAN, f64::INFINITY] {
                custom.count("fine", by, Vec::new());
            }
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                custom.observe("fine", value, Vec::new());
            }
        };
        let text = shown(unfit);
        has(&text, r#"cofferdam_plugin_custom_dropped_total{plugin="p"} 31"#);
        assert!(!text.contains("fine"), "{text}");
    }

    #[test]
    fn a_value_cannot_end_its_line_or_pass_for_another_series() {
        let text = shown(|custom| custom.count("a", 1.0, labels(&[("b", "\"} 1 x{\\")])));
        has(&text, r#"cofferdam_plugin_custom_total{plugin="p",name="a",b="\"} 1 x{\\"} 1.0"#);
    }
}
