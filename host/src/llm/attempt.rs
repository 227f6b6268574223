//! Watching one try at a provider, and whether its failure lets a fallback run.
//! Must not know how a provider is asked.

use tokio::time::Instant;

use super::{Error, Mode, Target};
use crate::telemetry::{Operation, llm_done, llm_span};

/// Told about each try when it ends: for a stream that is its first event.
pub trait Observer: Send + Sync {
    /// `outcome` is `ok`, `cancelled` or an [`Error::outcome`]; the time is in seconds.
    fn attempt(&self, provider: &str, model: &str, outcome: &'static str, seconds: f64);

    /// The same try in the convention's words; `error` is none where it went well.
    fn operation(&self, _of: Operation<'_>, _error: Option<&'static str>, _seconds: f64) {}

    /// The first event of a stream was there after so many seconds.
    fn first_chunk(&self, _of: Operation<'_>, _seconds: f64) {}
}

/// Nobody watches.
impl Observer for () {
    fn attempt(&self, _: &str, _: &str, _: &'static str, _: f64) {}
}

/// Why a try gave no reply.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// The error came inside a reply that began as a success.
    pub(super) in_band: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, in_band: false }
    }
}

/// A try under way; one that is dropped without an end was cancelled.
pub(super) struct Watch<'a> {
    pub(super) observer: &'a dyn Observer,
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) span: tracing::Span,
    system: &'static str,
    begun: Instant,
    outcome: &'static str,
    /// Of a provider that refused.
    status: Option<u16>,
    streamed: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(observer: &'a dyn Observer, system: &'static str, provider: &'a str, model: &'a str, attempt: u32) -> Self {
        let span = llm_span(system, provider, model, attempt);
        Self { observer, provider, model, span, system, begun: Instant::now(), outcome: "cancelled", status: None, streamed: false }
    }

    pub(super) fn ends(mut self, error: Option<&Error>, mode: Mode) {
        self.outcome = error.map_or("ok", Error::outcome);
        self.streamed = error.is_none() && mode == Mode::Stream;
        if let Some(Error::Status { status, .. }) = error {
            self.status = Some(*status);
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        llm_done(&self.span, self.outcome, self.status, seconds);
        self.observer.attempt(self.provider, self.model, self.outcome, seconds);
        let of = Operation { name: "chat", system: self.system, model: self.model };
        if self.streamed {
            self.observer.first_chunk(of, seconds);
        }
        self.observer.operation(of, (self.outcome != "ok").then_some(self.outcome), seconds);
    }
}

/// Whether `fallback` runs after `failure` of the try at `before`.
pub(super) fn runs(fallback: &Target, before: &Target, failure: &Failure) -> bool {
    let Error::Status { status, .. } = &failure.error else { return true };
    if failure.in_band {
        return true;
    }
    let elsewhere = fallback.provider != before.provider || fallback.secret_key_name != before.secret_key_name;
    match &fallback.on_status {
        // 529 is how some vendors say that they are overloaded.
        Some(listed) => listed.contains(status) || (*status == 529 && listed.contains(&503)),
        None => match status {
            408 | 409 | 425 | 429 | 500..=599 => true,
            // The key, the account or the model are wrong at that place, not the request.
            401..=404 => elsewhere,
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(provider: &str, secret: &str, on_status: Option<&[u16]>) -> Target {
        Target {
            provider: provider.into(),
            model: "m".into(),
            secret_key_name: Some(secret.into()),
            on_status: on_status.map(<[u16]>::to_vec),
        }
    }

    fn status(status: u16) -> Failure {
        let (kind, code, param, retry_after) = (None, None, None, None);
        Error::Status { provider: "a".into(), status, message: "m".into(), kind, code, param, retry_after }.into()
    }

    #[test]
    fn by_default_the_try_elsewhere_decides_for_keys_and_models_and_the_request_for_none() {
        let (before, same) = (target("a", "A", None), target("a", "A", None));
        for fallback in [target("b", "A", None), target("a", "B", None)] {
            for (number, here, elsewhere) in [
                (400, false, false),
                (401, false, true),
                (402, false, true),
                (403, false, true),
                (404, false, true),
                (405, false, false),
                (408, true, true),
                (409, true, true),
                (413, false, false),
                (422, false, false),
                (425, true, true),
                (429, true, true),
                (499, false, false),
                (500, true, true),
                (529, true, true),
                (599, true, true),
            ] {
                assert_eq!(runs(&same, &before, &status(number)), here, "{number} at the same provider");
                assert_eq!(runs(&fallback, &before, &status(number)), elsewhere, "{number} elsewhere");
            }
        }
    }

    #[test]
    fn a_list_of_statuses_replaces_the_default() {
        let before = target("a", "A", None);
        let fallback = target("b", "B", Some(&[400, 503]));
        for (number, expected) in [(400, true), (503, true), (529, true), (500, false), (429, false), (401, false)] {
            assert_eq!(runs(&fallback, &before, &status(number)), expected, "{number}");
        }
        assert!(runs(&target("b", "B", Some(&[529])), &before, &status(529)));
        assert!(!runs(&target("b", "B", Some(&[529])), &before, &status(503)));
        assert!(!runs(&target("b", "B", Some(&[])), &before, &status(503)));
    }

    #[test]
    fn what_is_no_status_runs_every_fallback() {
        let (before, fallback) = (target("a", "A", None), target("a", "A", Some(&[])));
        let provider = || "a".to_owned();
        for error in [
            Error::Unreachable { provider: provider(), cause: "refused".into() },
            Error::Timeout { provider: provider(), phase: super::super::Phase::Total, limit: std::time::Duration::ZERO },
            Error::Garbled { provider: provider(), cause: "no JSON".into() },
            Error::SecretMissing { provider: provider(), name: "A".into(), cause: super::super::Lacking::NotSet },
            Error::UnknownProvider { provider: provider() },
        ] {
            assert!(runs(&fallback, &before, &error.into()));
        }
        assert!(runs(&fallback, &before, &Failure { in_band: true, ..status(400) }));
    }
}
