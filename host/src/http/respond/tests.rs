//! The golden table: every failure, and what its client gets. A line is status, type, code, param, then retry-after and `hopeless` if set,
//! then the message.

use std::fmt::Write as _;
use std::time::Duration;

use super::*;
use crate::chat::codec::Invalid;
use crate::http::reload::ReloadError;
use crate::pipeline::{self, Problem, PutError};
use crate::sandbox::settings::{self, ChangeError};
use crate::sandbox::{DeployError, Exhausted, Fault, FaultKind, Hook, Rejection};
use crate::{ledger, llm, rag};

const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn every_failure_has_its_status_type_code_and_words() {
    let mut table = String::new();
    for failure in failures() {
        let ErrorResponse { status, kind, code, param, message, retry_after, hopeless } = table::response(&failure);
        let retry = retry_after.map(|seconds| format!(" after={seconds}")).unwrap_or_default();
        let hopeless = if hopeless { " hopeless" } else { "" };
        writeln!(table, "{status} {kind} {code} {}{retry}{hopeless} | {message}", param.as_deref().unwrap_or("-")).expect("a string");
    }
    assert!(table == GOLDEN, "the table is now\n{table}");
}

#[test]
fn the_envelope_has_all_four_keys_and_the_headers_go_with_it() {
    let response = written(&Failure::Refused(Refusal::WrongKey));
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    let Content::Whole(body) = response.body() else { panic!("a whole body") };
    let expected =
        r#"{"error":{"message":"the API key is not valid","type":"authentication_error","param":null,"code":"invalid_api_key"}}"#;
    assert_eq!(&body[..], expected.as_bytes());

    let response = written(&Failure::Refused(Refusal::Overloaded { key: "limits.http.requests" }));
    assert_eq!((response.status(), &response.headers()["retry-after"]), (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from_static("1")));
    let response = written(&Failure::Refused(Refusal::Method { path: "/v1/models".into(), allow: "GET, HEAD".into() }));
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    let response = written(&fault(FaultKind::Exhausted(Exhausted::Stack)));
    assert_eq!(response.headers()["x-should-retry"], "false");
}

#[test]
fn no_answer_repeats_more_of_a_client_s_words_than_it_takes_to_recognise_them() {
    let long = || "w".repeat(1 << 20);
    let failures = [
        Failure::Refused(Refusal::NoModel(long().into())),
        Failure::Refused(Refusal::NoEmbedding(long().into())),
        Failure::Refused(Refusal::NoApi(long().into())),
        Failure::Refused(Refusal::NoSuchApi(long().into())),
        Failure::Refused(Refusal::NoDocument(long().into())),
        Failure::Refused(Refusal::NoNamespace(long().into())),
        Failure::Refused(Refusal::NoJob(long().into())),
        Failure::Refused(Refusal::Multipart(long().into())),
        Failure::Refused(Refusal::NoPipe(long().into())),
        Failure::Refused(Refusal::NoComponent { what: long().into() }),
        Failure::Refused(Refusal::NotFetched(long())),
        Failure::Refused(Refusal::NotUtf8 { name: long().into(), at: 3 }),
        Failure::Refused(Refusal::field(long(), long())),
        Failure::Refused(Refusal::ContentType { got: long(), want: "application/json" }),
        Failure::Refused(Refusal::ForeignHost(long())),
        Failure::Invalid(Invalid { param: Some(long()), message: long() }),
        Failure::Put(PutError::Invalid(vec![Problem { path: long(), message: long() }])),
        Failure::Settings(ChangeError::NoPlugin(long())),
        Failure::Settings(ChangeError::Invalid(vec![settings::Problem { path: long(), message: long() }])),
        Failure::Rag(rag::Error::Unsupported { name: long(), what: long() }),
        rejection(long(), long()),
    ];
    for failure in failures {
        let response = written(&failure);
        let Content::Whole(body) = response.body() else { panic!("a whole body") };
        assert!(body.len() < 5_000, "{} bytes", body.len());
    }
}

fn rejection(code: String, message: String) -> Failure {
    let rejection = Rejection { status: 403, code, message, retry_after: None };
    Failure::from(pipeline::Error::Rejected { plugin: "guard".into(), rejection })
}

#[test]
fn the_log_gets_the_code_or_if_that_is_no_plain_word_the_type() {
    let logged = |failure: &Failure| super::failure(failure, openai_envelope).1;
    assert_eq!(logged(&Failure::Refused(Refusal::WrongKey)), "invalid_api_key");
    assert_eq!(logged(&rejection("pii.card-number".into(), "no cards".into())), "pii.card-number");
    assert_eq!(logged(&rejection(String::new(), "no".into())), "rejected");
    for quoting in ["the card 4111 1111 is no secret", "a\nb", &"w".repeat(65)] {
        assert_eq!(logged(&rejection(quoting.into(), "no".into())), "plugin_rejection", "{quoting}");
    }
    assert_eq!(logged(&status_of(400, Some("their_code"))), "their_code");
    assert_eq!(logged(&status_of(400, Some("`Ada` is no model"))), "their_type");
}

#[test]
fn a_provider_s_status_is_the_client_s_only_where_the_client_can_mend_it() {
    let ours = |status: u16| table::response(&status_of(status, Some("their_code"))).status;
    for status in [400, 404, 413, 422, 429] {
        assert_eq!(ours(status), status);
    }
    for status in [300, 401, 402, 403, 405, 408, 409, 418, 499, 500, 502, 504, 520, 599] {
        assert_eq!(ours(status), 502, "{status}");
    }
    assert_eq!((ours(503), ours(529)), (503, 503));
}

#[test]
fn a_rejection_stays_in_the_4xx() {
    let ours = |status| {
        let rejection = Rejection { status, code: String::new(), message: "no".into(), retry_after: None };
        table::response(&pipeline::Error::Rejected { plugin: "guard".into(), rejection }.into()).status
    };
    assert_eq!([399, 400, 451, 499, 500, 0, 65535].map(ours), [403, 400, 451, 499, 403, 403, 403]);
}

fn written(failure: &Failure) -> Response<Content> {
    super::failure(failure, openai_envelope).0
}

fn fault(kind: FaultKind) -> Failure {
    pipeline::Error::Fault(Fault { plugin: "guard".into(), version: "1.2.0".into(), hook: Hook::Pre, kind }).into()
}

fn status_of(status: u16, code: Option<&str>) -> Failure {
    let error = llm::Error::Status {
        provider: "openai".into(),
        status,
        message: "their words".into(),
        kind: code.map(|_| "their_type".into()),
        code: code.map(Into::into),
        param: code.map(|_| "messages".into()),
        retry_after: (status == 429).then_some(Duration::from_millis(1500)),
        exhausted: code == Some("insufficient_quota"),
    };
    pipeline::Error::Llm(error).into()
}

fn failures() -> Vec<Failure> {
    let mut all: Vec<Failure> = refusals().into_iter().map(Failure::Refused).collect();
    all.push(Invalid { param: None, message: "the body is not valid JSON: eof".into() }.into());
    all.push(Invalid { param: Some("messages[0].role".into()), message: "messages[0].role: missing".into() }.into());
    all.push(pipeline::Error::Locked("post_hook").into());
    let rejection = Rejection { status: 451, code: "language".into(), message: "say it in English".into(), retry_after: Some(7) };
    all.push(pipeline::Error::Rejected { plugin: "guard".into(), rejection }.into());
    all.extend(fault_kinds().into_iter().map(fault));
    all.extend(
        [(400, Some("their_code")), (404, None), (413, None), (422, None), (429, Some("insufficient_quota")), (429, None)]
            .map(|(s, c)| status_of(s, c)),
    );
    all.extend([401, 402, 403, 408, 418, 500, 503, 529].map(|status| status_of(status, Some("their_code"))));
    all.push(status_of(502, Some("model_failed")));
    all.extend(provider_errors().into_iter().map(|error| pipeline::Error::Llm(error).into()));
    all.push(pipeline::Error::Deadline.into());
    all.push(pipeline::Error::Rag(rag::Error::Busy).into());
    all.extend(knowledge_errors().into_iter().map(Failure::Rag));
    let problem = |path: &str| Problem { path: path.into(), message: "is wrong".into() };
    all.extend(
        [PutError::Name, PutError::Invalid(vec![problem("pipeline[0].stage"), problem("pipeline")]), PutError::ReadOnly, PutError::Full(9)]
            .map(Failure::Put),
    );
    all.push(Failure::Put(PutError::Store("disk /secret is full".into())));
    let problem = |path: &str| settings::Problem { path: path.into(), message: "is wrong".into() };
    all.extend(
        [
            ChangeError::NoPlugin("redact-pii".into()),
            ChangeError::NoSchema("redact-pii".into()),
            ChangeError::Invalid(vec![problem("/window"), problem("")]),
            ChangeError::Store(settings::StoreError("disk /secret is full".into())),
        ]
        .map(Failure::Settings),
    );
    let wrong = ReloadError::Invalid(vec!["cofferdam.toml:3: limits.http.requests: expected a whole number".into()]);
    all.extend([wrong, ReloadError::Failed("the store failed".into())].map(Failure::Reload));
    all.extend(
        [
            DeployError::Name,
            DeployError::NotFound("guard".into()),
            DeployError::Refused("not a component".into()),
            DeployError::Full(9),
            DeployError::Link("guard.wasm".into()),
            DeployError::ReadOnly,
            DeployError::NoPrevious("guard.wasm".into()),
            DeployError::Busy,
            DeployError::Later("no place became free; it is tried again".into()),
            DeployError::Io("disk /secret is full".into()),
        ]
        .map(Failure::Plugin),
    );
    all.extend([ledger::Error::TooMany { limit: 9 }, ledger::Error::Store("disk /secret is full".into())].map(Failure::Ledger));
    all.push(Failure::Panicked);
    all
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::NotFound { path: "/v2".into() },
        Refusal::Method { path: "/v1/models".into(), allow: "GET, HEAD".into() },
        Refusal::NoKey,
        Refusal::WrongKey,
        Refusal::NotAdmin,
        Refusal::NotManager,
        Refusal::NoAdminKeys,
        Refusal::ForeignHost("evil.example".into()),
        Refusal::ForeignOrigin("https://evil.example".into()),
        Refusal::Overloaded { key: "limits.http.requests" },
        Refusal::JobsFull { key: "limits.http.jobs" },
        Refusal::JobSlow,
        Refusal::Stopping,
        used_up(ledger::Limit::RequestsPerMinute, 1),
        used_up(ledger::Limit::TokensPerMinute, 1_001),
        used_up(ledger::Limit::TokensPerDay, 3_600_000),
        used_up(ledger::Limit::UsdPerDay, 3_600_000),
        used_up(ledger::Limit::UsdPerMonth, 86_400_000),
        Refusal::RateLimited(ledger::Refused { end_user: true, ..refused(ledger::Limit::TokensPerDay, 3_600_000) }),
        Refusal::RateLimited(ledger::Refused { why: ledger::Why::UnderWay, ..refused(ledger::Limit::TokensPerDay, 1_000) }),
        Refusal::RateLimited(ledger::Refused {
            why: ledger::Why::NoPrice { model: "a/gpt".into() },
            ..refused(ledger::Limit::UsdPerDay, 0)
        }),
        Refusal::HeadTooLarge { limit: 10 },
        Refusal::BodyTooLarge { limit: 10, key: "limits.http.body_bytes" },
        Refusal::BodySlow,
        Refusal::BodyBroken,
        Refusal::ContentType { got: "text/plain".into(), want: "application/json" },
        Refusal::ContentEncoding("gzip".into()),
        Refusal::field("pipeline.rag", "must be true or false"),
        Refusal::NoModel("gpt".into()),
        Refusal::NoEmbedding("gpt".into()),
        Refusal::NoApi("support".into()),
        Refusal::NoSuchApi("support".into()),
        Refusal::NoDocument("7".into()),
        Refusal::NoNamespace("docs".into()),
        Refusal::NoJob("7".into()),
        Refusal::Multipart("no boundary".into()),
        Refusal::NoPipe("nobody".into()),
        Refusal::NoValves("echo".into()),
        Refusal::Answered("I answer myself.".into()),
        Refusal::NoComponent { what: "`pipeline.py`".into() },
        Refusal::NotFetched("the server answered 404".into()),
        Refusal::FetchSlow,
        Refusal::NotUtf8 { name: "a.md".into(), at: 3 },
    ]
}

fn used_up(limit: ledger::Limit, millis: u64) -> Refusal {
    Refusal::RateLimited(refused(limit, millis))
}

fn refused(limit: ledger::Limit, millis: u64) -> ledger::Refused {
    let (why, retry_after) = (ledger::Why::UsedUp, Duration::from_millis(millis));
    ledger::Refused { caller: "team-a".into(), end_user: false, limit, allowed: 60, why, retry_after }
}

fn fault_kinds() -> Vec<FaultKind> {
    vec![
        FaultKind::Exhausted(Exhausted::Fuel(1)),
        FaultKind::Exhausted(Exhausted::Memory(2)),
        FaultKind::Exhausted(Exhausted::Table(3)),
        FaultKind::Exhausted(Exhausted::Stack),
        FaultKind::Exhausted(Exhausted::Time(Duration::from_millis(4))),
        FaultKind::Exhausted(Exhausted::Wait(Duration::from_millis(6))),
        FaultKind::Exhausted(Exhausted::Output(5)),
        FaultKind::Trapped("unreachable\nwasm backtrace:\n  0: secret".into()),
        FaultKind::Invalid("status 200".into()),
        FaultKind::Reported("no configuration".into()),
        FaultKind::NotLoaded,
        FaultKind::Loading,
        FaultKind::NoHook,
        FaultKind::NoModel("it has no model `x`; it has `fast`".into()),
        FaultKind::Deadline,
        FaultKind::Busy,
        FaultKind::Host("pool /secret".into()),
    ]
}

fn provider_errors() -> Vec<llm::Error> {
    let provider = || "openai".to_owned();
    let limit = Duration::from_secs(5);
    vec![
        llm::Error::UnsupportedField {
            provider: provider(),
            param: "logit_bias".into(),
            message: "has no equal there; leave it out".into(),
        },
        llm::Error::NoEmbeddings { provider: provider() },
        llm::Error::Unreachable { provider: provider(), cause: "10.0.0.7 refused".into() },
        llm::Error::Timeout { provider: provider(), phase: llm::Phase::FirstByte, limit },
        llm::Error::Timeout { provider: provider(), phase: llm::Phase::Deadline, limit },
        llm::Error::InvalidReply { provider: provider(), cause: "<html>".into() },
        llm::Error::Overloaded { provider: provider() },
        llm::Error::SecretMissing { provider: provider(), name: "OPENAI_API_KEY".into(), cause: llm::MissingSecret::NotSet },
        llm::Error::UnknownProvider { provider: provider() },
        llm::Error::OverBudget { message: "used up".into(), remedy: llm::BudgetRemedy::Wait, retry_after: limit },
        llm::Error::OverBudget { message: "used up".into(), remedy: llm::BudgetRemedy::Later, retry_after: limit },
        llm::Error::OverBudget { message: "no price".into(), remedy: llm::BudgetRemedy::OtherModel, retry_after: limit },
        plugin_failed(FaultKind::Trapped("unreachable".into())),
        plugin_failed(FaultKind::Host("pool /secret".into())),
        llm::Error::Refused { provider: provider(), status: 451, code: "law".into(), message: "not here".into(), retry_after: Some(9) },
        llm::Error::CircuitOpen { provider: provider(), limited: true, retry_after: limit },
        llm::Error::CircuitOpen { provider: provider(), limited: false, retry_after: limit },
    ]
}

/// A plugin that is a model failed: its client gets what it would get of a hook.
fn plugin_failed(kind: FaultKind) -> llm::Error {
    let fault = Fault { plugin: "oracle".into(), version: "1.0".into(), hook: Hook::Answer, kind };
    llm::Error::Plugin { provider: "plugin".into(), trouble: llm::PluginTrouble::Failed, cause: std::sync::Arc::new(fault) }
}

fn knowledge_errors() -> Vec<rag::Error> {
    vec![
        rag::Error::Unsupported { name: "a.pdf".into(), what: "a picture".into() },
        rag::Error::Unreadable { name: "a.pdf".into(), why: "it is nested too deeply".into() },
        rag::Error::Encrypted { name: "a.pdf".into() },
        rag::Error::Scanned { name: "a.pdf".into(), pages: 3 },
        rag::Error::Extractor("no process could be started to read `a.pdf`".into()),
        rag::Error::Empty { name: "a.md".into() },
        rag::Error::TooLarge { what: "the document".into(), limit: 8, key: "limits.rag.document_bytes" },
        rag::Error::Busy,
        rag::Error::EmbedderGone { namespace: "docs".into(), embedder: "far".into(), wanted: "builtin".into() },
        rag::Error::BeingReindexed { namespace: "docs".into() },
        rag::Error::ReindexRuns { namespace: "docs".into() },
        rag::Error::TooManyReindexes { running: 1 },
        rag::Error::Embed("/secret".into()),
        rag::Error::DiskFull,
        rag::Error::Store("/secret".into()),
        rag::Error::Index("/secret".into()),
    ]
}
