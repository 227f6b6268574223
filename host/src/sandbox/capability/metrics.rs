//! The capability `metrics`: counters and histograms of a plugin's own. It needs no grant. How many there are, and what their names, labels
//! and values may be, is for `telemetry` to say; what is too much is dropped there and counted.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

use crate::sandbox::Hook;
use crate::sandbox::bindings::metrics::{self, Host, Label};
use crate::sandbox::env::CallEnv;

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/metrics@0.2.0";

/// Adds its functions.
pub(in crate::sandbox) fn link<T: Send + 'static>(linker: &mut Linker<T>, env: fn(&mut T) -> &Arc<CallEnv>) -> wasmtime::Result<()> {
    metrics::add_to_linker::<T, HasEnv>(linker, env)
}

struct HasEnv;

impl HasData for HasEnv {
    type Data<'a> = &'a Arc<CallEnv>;
}

impl Host for &Arc<CallEnv> {
    fn count(&mut self, name: String, by: f64, labels: Vec<Label>) -> wasmtime::Result<()> {
        if self.hook != Hook::Describe {
            self.figures.count(&name, by, labels.into_iter().map(pair).collect());
        }
        Ok(())
    }

    fn observe(&mut self, name: String, value: f64, labels: Vec<Label>) -> wasmtime::Result<()> {
        if self.hook != Hook::Describe {
            self.figures.observe(&name, value, labels.into_iter().map(pair).collect());
        }
        Ok(())
    }
}

fn pair(label: Label) -> (String, String) {
    (label.name, label.value)
}
