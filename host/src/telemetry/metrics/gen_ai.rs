//! The figures that OpenTelemetry's conventions name for clients of generative AI, with the buckets they recommend.
//! A model is a label, and pipelines, hooks and clients choose models: the first ones that answer have a label of their own, the rest are
//! `other`. Source: semantic conventions for generative AI, metrics (status: development).

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::family::{Histograms, histograms, plain, with_unit};
use crate::telemetry::handles::{Handles, Named};

const OPERATION_SECONDS: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKENS: [f64; 14] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];
const FIRST_CHUNK_SECONDS: [f64; 16] = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Models with a label of their own; each is about fifty lines of `/metrics` until the program ends.
const MODELS_MAX: usize = 64;

/// Which operation of which model.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// `chat` or `embeddings`.
    pub name: &'static str,
    /// The convention's name of the provider's kind: `openai`, `anthropic`, `gcp.gemini`, `azure.ai.openai`; ours are
    /// `cloudflare.workers_ai` and `cofferdam.builtin`.
    pub system: &'static str,
    pub model: &'a str,
}

pub(super) struct GenAi {
    /// Without our prefix.
    pub(super) registry: Registry,
    seconds: Histograms<4>,
    first_chunk: Histograms<3>,
    tokens: Histograms<4>,
    models: Named<Model>,
}

/// The handles of one model.
struct Model {
    name: String,
    /// Operations, systems and errors.
    seconds: Handles<(&'static str, &'static str, &'static str), Histogram, 32>,
    first_chunk: Handles<(&'static str, &'static str), Histogram, 8>,
    /// Operations, systems and types of token.
    tokens: Handles<(&'static str, &'static str, &'static str), Histogram, 16>,
}

impl GenAi {
    pub(super) fn new() -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        let new: fn() -> Histogram = || Histogram::new(OPERATION_SECONDS);
        let seconds = with_unit(r, "gen_ai_client_operation_duration", "Time of a try at a model", Unit::Seconds, histograms(new));
        let new: fn() -> Histogram = || Histogram::new(FIRST_CHUNK_SECONDS);
        let help = "Time to the first event of a stream";
        let first_chunk = with_unit(r, "gen_ai_client_operation_time_to_first_chunk", help, Unit::Seconds, histograms(new));
        let tokens = plain(r, "gen_ai_client_token_usage", "Tokens of a reply", histograms(|| Histogram::new(TOKENS)));
        Self { registry, seconds, first_chunk, tokens, models: Named::new(MODELS_MAX) }
    }

    /// `error` is none if it succeeded. A model that never answered gets no label of its own, because anybody can name one.
    pub(super) fn operation(&self, of: Operation<'_>, error: Option<&'static str>, seconds: f64) {
        let act = |model: &Model| {
            let error = error.unwrap_or_default();
            let labels = || [label(OPERATION, of.name), label(SYSTEM, of.system), label(MODEL, &model.name), label("error_type", error)];
            let find = || self.seconds.get_or_create_owned(&labels());
            model.seconds.with((of.name, of.system, error), find, |histogram| histogram.observe(seconds));
        };
        if error.is_none() { self.models.with(of.model, Model::new, act) } else { self.models.with_known(of.model, Model::new, act) }
    }

    pub(super) fn first_chunk(&self, of: Operation<'_>, seconds: f64) {
        self.models.with(of.model, Model::new, |model| {
            let labels = || [label(OPERATION, of.name), label(SYSTEM, of.system), label(MODEL, &model.name)];
            let find = || self.first_chunk.get_or_create_owned(&labels());
            model.first_chunk.with((of.name, of.system), find, |histogram| histogram.observe(seconds));
        });
    }

    pub(super) fn tokens(&self, of: Operation<'_>, input: u64, output: u64) {
        self.models.with(of.model, Model::new, |model| {
            for (kind, count) in [("input", input), ("output", output)] {
                let labels =
                    || [label(OPERATION, of.name), label(SYSTEM, of.system), label(MODEL, &model.name), label("gen_ai_token_type", kind)];
                let find = || self.tokens.get_or_create_owned(&labels());
                model.tokens.with((of.name, of.system, kind), find, |histogram| histogram.observe(count as f64));
            }
        });
    }
}

const OPERATION: &str = "gen_ai_operation_name";
const SYSTEM: &str = "gen_ai_provider_name";
const MODEL: &str = "gen_ai_request_model";

fn label(key: &'static str, value: &str) -> (&'static str, String) {
    (key, value.to_owned())
}

impl Model {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), seconds: Handles::new(), first_chunk: Handles::new(), tokens: Handles::new() }
    }
}
