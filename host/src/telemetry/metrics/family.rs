//! What all figures are made of: families by labels, their registration, and how many names are kept apart.
//! Every name ends in its unit, as OpenMetrics wants it.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// Names with labels of their own. They come from files and from plugins themselves, and every name is a dozen lines of `/metrics` until
/// the program ends.
pub(super) const NAMES_MAX: usize = 512;

pub(super) type Labels<const N: usize> = [(&'static str, String); N];
pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;
pub(super) type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
pub(super) type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

pub(super) fn histograms<const N: usize>(new: fn() -> Histogram) -> Histograms<N> {
    Family::new_with_constructor(new)
}

pub(super) fn plain<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// The unit becomes the end of the name.
pub(super) fn with_unit<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, unit: Unit, metric: M) -> M {
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}
