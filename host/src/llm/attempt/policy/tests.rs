//! The documented table of retries and circuits line by line, and the order of targets.

use super::*;

const BUDGET: Duration = Duration::from_secs(5);

fn target(on_status: Option<&[u16]>) -> Target {
    Target { provider: "b".into(), model: "m".into(), secret_key_name: None, on_status: on_status.map(<[u16]>::to_vec) }
}

fn status(status: u16) -> Failure {
    refusal(status, None, None, false)
}

fn refusal(status: u16, code: Option<&str>, retry_after: Option<Duration>, exhausted: bool) -> Failure {
    let code = code.map(str::to_owned);
    let (provider, message) = ("a".into(), "m".into());
    Error::Status { provider, status, message, kind: None, code, param: None, retry_after, exhausted }.into()
}

/// Everything that is no status.
fn others() -> Vec<(Failure, Retry, Verdict)> {
    let provider = || "a".to_owned();
    let timeout = |phase| Error::Timeout { provider: provider(), phase, limit: Duration::ZERO }.into();
    let at_once = Retry::After(Duration::ZERO);
    vec![
        (Error::Unreachable { provider: provider(), cause: "refused".into() }.into(), at_once, Verdict::Failure),
        (Error::InvalidReply { provider: provider(), cause: "no JSON".into() }.into(), at_once, Verdict::Failure),
        (timeout(Phase::Connect), Retry::AfterOthers, Verdict::Failure),
        (timeout(Phase::FirstByte), Retry::AfterOthers, Verdict::Failure),
        (timeout(Phase::Idle), Retry::AfterOthers, Verdict::Failure),
        (timeout(Phase::Total), Retry::Never, Verdict::Failure),
        (timeout(Phase::Deadline), Retry::Never, Verdict::Neutral),
        (
            Error::SecretMissing { provider: provider(), name: "A".into(), cause: crate::llm::MissingSecret::NotSet }.into(),
            Retry::Never,
            Verdict::Neutral,
        ),
        (Error::UnknownProvider { provider: provider() }.into(), Retry::Never, Verdict::Neutral),
        (plugin(PluginTrouble::Failed), Retry::Never, Verdict::Failure),
        (plugin(PluginTrouble::Slow), Retry::AfterOthers, Verdict::Failure),
        (plugin(PluginTrouble::Busy), at_once, Verdict::Neutral),
        (plugin(PluginTrouble::Missing), Retry::Never, Verdict::Neutral),
        (plugin(PluginTrouble::Host), Retry::Never, Verdict::Neutral),
        (Error::CircuitOpen { provider: provider(), limited: true, retry_after: BUDGET }.into(), Retry::Never, Verdict::Neutral),
    ]
}

fn plugin(trouble: PluginTrouble) -> Failure {
    Error::Plugin { provider: "plugin".into(), trouble, cause: std::sync::Arc::new(std::fmt::Error) }.into()
}

#[test]
fn what_a_plugin_refused_is_asked_of_nobody_else_and_its_failures_are() {
    let refused = Error::Refused { provider: "a".into(), status: 429, code: "c".into(), message: "m".into(), retry_after: None }.into();
    judged(&refused, Retry::Never, Verdict::Success);
    for listed in [None, Some(&[429, 403, 500][..])] {
        assert!(!falls_back(&target(listed), true, "m", &refused));
        assert!(falls_back(&target(listed), true, "m", &plugin(PluginTrouble::Failed)));
    }
}

#[track_caller]
fn judged(failure: &Failure, retry: Retry, verdict: Verdict) {
    assert_eq!(judge(failure, BUDGET), Judgment { retry, verdict }, "{failure:?}");
}

#[test]
fn transient_failures_are_retried_and_others_are_not() {
    let at_once = Retry::After(Duration::ZERO);
    for (number, retry, verdict) in [
        (400, Retry::Never, Verdict::Success),
        (401, Retry::Never, Verdict::Refused),
        (402, Retry::Never, Verdict::Refused),
        (403, Retry::Never, Verdict::Refused),
        (404, Retry::Never, Verdict::Success),
        (405, Retry::Never, Verdict::Success),
        (408, at_once, Verdict::Failure),
        (409, at_once, Verdict::Success),
        (413, Retry::Never, Verdict::Success),
        (422, Retry::Never, Verdict::Success),
        (425, at_once, Verdict::Success),
        (429, at_once, Verdict::Failure),
        (499, Retry::Never, Verdict::Success),
        (500, at_once, Verdict::Failure),
        (529, at_once, Verdict::Failure),
        (599, at_once, Verdict::Failure),
    ] {
        judged(&status(number), retry, verdict.clone());
        judged(&Failure { in_band: true, ..status(number) }, retry, verdict);
    }
    for (failure, retry, verdict) in others() {
        judged(&failure, retry, verdict);
    }
}

#[test]
fn a_lack_of_room_for_the_reply_says_nothing_of_the_provider_and_runs_no_fallback_whatever_its_list_says() {
    let failure = Failure::from(Error::Overloaded { provider: "a".into() });
    judged(&failure, Retry::Never, Verdict::Neutral);
    for listed in [None, Some(&[429, 503][..])] {
        assert!(!falls_back(&target(listed), true, "m", &failure));
    }
}

#[test]
fn a_wait_within_the_budget_is_waited_and_a_longer_one_makes_the_provider_unavailable() {
    for (number, limited) in [(429, true), (408, false), (500, false), (503, false), (529, false)] {
        for (time, waits) in [(BUDGET, true), (BUDGET + Duration::from_millis(1), false)] {
            let failure = refusal(number, None, Some(time), false);
            match waits {
                true => judged(&failure, Retry::After(time), Verdict::Failure),
                false => judged(&failure, Retry::Never, Verdict::Unavailable { limited, retry_after: Some(time) }),
            }
        }
    }
}

#[test]
fn what_is_used_up_is_never_retried_however_short_the_wait() {
    for number in [400, 402, 403, 429, 500] {
        for after in [None, Some(Duration::from_secs(1))] {
            judged(&refusal(number, None, after, true), Retry::Never, Verdict::Unavailable { limited: true, retry_after: after });
        }
    }
}

#[test]
fn a_model_that_spoils_its_answer_is_asked_again_and_opens_no_circuit() {
    let failure = Failure { in_band: true, ..refusal(502, Some(MODEL_FAILED), None, false) };
    judged(&failure, Retry::After(Duration::ZERO), Verdict::Success);
    assert!(falls_back(&target(None), false, "m", &failure));
}

#[test]
fn a_request_that_is_too_long_or_filtered_runs_a_fallback_only_if_that_lists_400() {
    let codes = ["context_length_exceeded", CONTENT_FILTER, "content_policy_violation"];
    for (number, code) in [400, 403, 413, 422, 500].into_iter().flat_map(|number| codes.map(|code| (number, code))) {
        let failure = refusal(number, Some(code), None, false);
        judged(&failure, Retry::Never, Verdict::Success);
        for failure in [failure.clone(), Failure { in_band: true, ..failure }] {
            assert!(falls_back(&target(Some(&[400])), true, "m", &failure), "{number}");
            assert!(falls_back(&target(Some(&[number])), true, "m", &failure), "{number}");
            assert!(!falls_back(&target(Some(&[429])), true, "m", &failure), "{number}");
            assert!(!falls_back(&target(None), true, "m", &failure), "{number}");
        }
    }
}

#[test]
fn by_default_a_refused_key_or_model_runs_fallbacks_elsewhere_and_a_refused_request_none() {
    let fallback = target(None);
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
        assert_eq!(falls_back(&fallback, false, "m", &status(number)), here, "{number} at the same provider");
        assert_eq!(falls_back(&fallback, true, "m", &status(number)), elsewhere, "{number} elsewhere");
    }
}

#[test]
fn a_model_that_is_not_there_lets_another_model_of_the_same_provider_run() {
    let same = target(None);
    assert!(falls_back(&same, false, "chosen by a hook", &status(404)));
    assert!(!falls_back(&same, false, "m", &status(404)));
}

#[test]
fn a_list_of_statuses_replaces_the_default() {
    let fallback = target(Some(&[400, 503]));
    for (number, expected) in [(400, true), (503, true), (529, true), (500, false), (429, false), (401, false)] {
        assert_eq!(falls_back(&fallback, true, "m", &status(number)), expected, "{number}");
    }
    assert!(falls_back(&target(Some(&[529])), true, "m", &status(529)));
    assert!(!falls_back(&target(Some(&[529])), true, "m", &status(503)));
    assert!(!falls_back(&target(Some(&[])), true, "m", &status(503)));
}

#[test]
fn what_is_no_status_runs_every_fallback() {
    let fallback = target(Some(&[]));
    for (failure, ..) in others() {
        assert!(falls_back(&fallback, false, "m", &failure), "{failure:?}");
    }
    assert!(falls_back(&fallback, false, "m", &Failure { in_band: true, ..status(400) }));
}

#[test]
fn fallbacks_keep_their_order_after_the_equals() {
    let mut rng = Rng::with_seed(3);
    assert_eq!(order(&[], 3, &mut rng), [0, 1, 2]);
    assert_eq!(order(&[1], 3, &mut rng), [0, 1, 2]);
    assert_eq!(order(&[7], 0, &mut rng), [0_usize; 0]);
    for _ in 0..100 {
        let mut order = order(&[1, 2, 3], 5, &mut rng);
        assert_eq!(order[3..], [3, 4]);
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn each_equal_is_first_as_often_as_its_weight_says() {
    let mut rng = Rng::with_seed(3);
    let mut first = [0; 3];
    (0..10_000).for_each(|_| first[order(&[1, 2, 7], 3, &mut rng)[0]] += 1);
    for (count, expected) in first.into_iter().zip([1_000, 2_000, 7_000]) {
        assert!((expected - 200..expected + 200).contains(&count), "{first:?}");
    }
}

#[test]
fn a_weight_of_0_comes_after_all_others_in_the_order_it_was_written() {
    let mut rng = Rng::with_seed(3);
    for _ in 0..100 {
        let order = order(&[0, 5, 0, 1], 4, &mut rng);
        assert_eq!(order[2..], [0, 2]);
    }
    assert_eq!(order(&[0, 0, 0], 3, &mut rng), [0, 1, 2]);
}

#[test]
fn the_largest_weights_do_not_overflow() {
    assert_eq!(order(&[1_000; 9], 9, &mut Rng::with_seed(3)).len(), 9);
}

#[test]
fn a_seed_gives_the_same_order_and_pauses_and_another_seed_others() {
    let draws = |mut rng: Rng| (0..8).map(|_| (order(&[1; 9], 9, &mut rng), jitter(Duration::from_secs(1), &mut rng))).collect::<Vec<_>>();
    assert_eq!(draws(Rng::with_seed(7)), draws(Rng::with_seed(7)));
    assert_ne!(draws(Rng::with_seed(7)), draws(Rng::with_seed(8)));
    assert_ne!(draws(Rng::new()), draws(Rng::new()));
}

#[test]
fn equal_weights_are_chosen_equally_often() {
    let mut rng = Rng::with_seed(1);
    let mut seen = [0; 5];
    (0..5_000).for_each(|_| seen[order(&[1; 5], 5, &mut rng)[0]] += 1);
    assert!(seen.iter().all(|count| (850..1_150).contains(count)), "{seen:?}");
    assert_eq!(order(&[1], 1, &mut rng), [0]);
}

#[test]
fn pauses_lie_between_nothing_and_the_most() {
    let (mut rng, most) = (Rng::with_seed(1), Duration::from_millis(200));
    let times: Vec<_> = (0..1_000).map(|_| jitter(most, &mut rng)).collect();
    assert!(times.iter().all(|time| *time <= most));
    assert!(times.iter().min() < Some(&(most / 20)) && times.iter().max() > Some(&(most / 20 * 19)));
    assert_eq!(jitter(Duration::ZERO, &mut rng), Duration::ZERO);
}

#[test]
fn of_several_targets_of_a_provider_the_one_of_the_chosen_model_is_taken() {
    let target =
        |provider: &str, model: &str| Target { provider: provider.into(), model: model.into(), secret_key_name: None, on_status: None };
    let targets = [target("a", "small"), target("b", "x"), target("a", "large"), target("a", "huge")];
    let chain = Chain { targets: &targets, weights: &[1, 1], hedge_after: None };
    let order = |provider: &str, model: Option<&str>| chosen_first(chain, provider, model);
    assert_eq!(order("a", None), [0, 2, 3]);
    assert_eq!(order("a", Some("large")), [2, 3]);
    assert_eq!(order("a", Some("another")), [0, 2, 3]);
    assert_eq!(order("b", Some("large")), [1, 2, 3]);
    assert_eq!(order("c", None), [0_usize; 0]);
    let alone = Chain { weights: &[], ..chain };
    assert_eq!(chosen_first(alone, "a", Some("large")), [2, 1, 3], "a primary alone has no weight");
}
