//! Tokens of OAuth in place of keys: a scripted token endpoint beside a scripted provider, of a kind whose keys go elsewhere.

use cofferdam::llm::OAuthConfig;
use serde_json::json;

use super::*;
use crate::upstream::{Script, Signal};

/// Provider `a`, whose secrets are those of an OAuth client. Circuits stay closed.
fn guarded(provider: &Upstream, endpoint: &Upstream, kind: Kind) -> Llm {
    guarded_by(Limits { circuit_failures: 0, ..Limits::default() }, provider, endpoint, kind)
}

fn guarded_by(limits: Limits, provider: &Upstream, endpoint: &Upstream, kind: Kind) -> Llm {
    let mut config = Config { limits, ..Config::default() };
    let client = OAuthConfig { token_url: format!("{}/token", endpoint.url()), client_id: "app".into(), scope: String::new() };
    let entry = ProviderConfig { oauth: Some(client), secret_key_name: Some("CLIENT".into()), ..ProviderConfig::new(kind, provider.url()) };
    config.providers.insert("a".into(), entry);
    let secrets = |name: &str| match name {
        "CLIENT" | "OTHER" => Secret::new(&format!("hush-of-{name}")),
        _ => Err(MissingSecret::NotSet),
    };
    Llm::new(config, Arc::new(secrets), Arc::new(())).expect("the upstreams' URLs are fine")
}

fn grant(token: &str) -> Script {
    Script::json(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}))
}

fn bearers(provider: &Upstream) -> Vec<String> {
    let bearer = |request: &crate::upstream::Request| request.header("authorization").unwrap_or_default().to_owned();
    provider.requests().iter().map(bearer).collect()
}

#[tokio::test]
async fn one_token_is_asked_for_and_goes_as_a_bearer_to_any_kind_of_provider() {
    for kind in [Kind::OpenAi, Kind::AzureOpenAi] {
        let (provider, endpoint) = (Upstream::start().await, Upstream::start().await);
        endpoint.next(grant("t-1"));
        provider.always(Script::says("hi"));
        let llm = guarded(&provider, &endpoint, kind);
        for _ in 0..2 {
            assert_eq!(text_of(&llm.answer(&[target("a")], &exchange(), Mode::Whole).await.expect("an answer")), "hi");
        }
        assert_eq!(bearers(&provider), ["Bearer t-1", "Bearer t-1"]);
        assert!(provider.requests().iter().all(|request| request.header("api-key").is_none()), "one header carries it");
        let [asked] = &endpoint.requests()[..] else { panic!("one token") };
        assert_eq!((&*asked.path, asked.header("content-type")), ("/v1/token", Some("application/x-www-form-urlencoded")));
        assert_eq!(String::from_utf8_lossy(&asked.body), "grant_type=client_credentials&client_id=app&client_secret=hush-of-CLIENT");
    }
}

#[tokio::test]
async fn exchanges_that_begin_together_wait_for_the_same_token() {
    let (provider, endpoint, signal) = (Upstream::start().await, Upstream::start().await, Signal::default());
    let body = json!({"access_token": "t-1", "expires_in": 3600}).to_string();
    endpoint.next(Script::chunked(200, &[("content-type", "application/json")]).wait(&signal).piece(body).end());
    provider.always(Script::says("hi"));
    let llm = guarded(&provider, &endpoint, Kind::OpenAi);
    let (chain, exchange) = ([target("a")], exchange());
    let ask = || llm.answer(&chain, &exchange, Mode::Whole);
    let (one, two, ()) = tokio::join!(ask(), ask(), async {
        endpoint.received().await;
        signal.fire();
    });
    assert_eq!((text_of(&one.expect("an answer")), text_of(&two.expect("an answer"))), ("hi".into(), "hi".into()));
    assert_eq!((endpoint.requests().len(), bearers(&provider)), (1, vec!["Bearer t-1".to_owned(); 2]));
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once_unseen() {
    let (provider, endpoint) = (Upstream::start().await, Upstream::start().await);
    endpoint.next(grant("t-1")).next(grant("t-2"));
    provider.next(Script::json(401, &json!({"error": {"message": "revoked"}}))).next(Script::streams(&["hi"]));
    let llm = guarded_by(Limits::default(), &provider, &endpoint, Kind::OpenAi);
    let answer = streamed(&llm).await;
    assert_eq!((answer.attempts, bearers(&provider)), (1, vec!["Bearer t-1".to_owned(), "Bearer t-2".to_owned()]));
    assert!(drain(answer).await.1.is_none() && llm.circuits().is_empty());
}

#[tokio::test]
async fn a_second_refusal_counts_and_shows_no_token() {
    let (provider, endpoint) = (Upstream::start().await, Upstream::start().await);
    endpoint.next(grant("token-number-one")).next(grant("token-number-two")).next(grant("token-number-three"));
    let revoked = |token: &str| Script::json(401, &json!({"error": {"message": format!("revoked: {token}")}}));
    provider.next(revoked("token-number-one")).next(revoked("token-number-two")).next(Script::says("hi"));
    let llm = guarded(&provider, &endpoint, Kind::OpenAi);
    let error = failure(&llm, Mode::Whole).await;
    assert!(matches!(&error, Error::Status { status: 401, message, .. } if message == "revoked: [hidden]"), "{error}");
    assert_eq!(text_of(&llm.answer(&[target("a")], &exchange(), Mode::Whole).await.expect("an answer")), "hi");
    assert_eq!(bearers(&provider), ["Bearer token-number-one", "Bearer token-number-two", "Bearer token-number-three"]);
}

#[tokio::test]
async fn a_refused_key_opens_its_circuit_if_the_endpoint_gives_the_same_token_again() {
    let (provider, endpoint) = (Upstream::start().await, Upstream::start().await);
    endpoint.always(grant("t-1"));
    provider.always(Script::json(401, &json!({"error": {"message": "no"}})));
    let limits = Limits { circuit_failures: 1, ..Limits::default() };
    let llm = guarded_by(limits, &provider, &endpoint, Kind::OpenAi);
    assert!(matches!(failure(&llm, Mode::Whole).await, Error::Status { status: 401, .. }));
    assert_eq!((provider.requests().len(), endpoint.requests().len()), (1, 2));
    let circuits = llm.circuits();
    assert_eq!((circuits[0].key_name.as_deref(), circuits[0].state), (Some("CLIENT"), CircuitPhase::Open));
}

#[tokio::test]
async fn each_secret_has_its_own_token() {
    let (provider, endpoint) = (Upstream::start().await, Upstream::start().await);
    endpoint.next(grant("t-1")).next(grant("t-2"));
    provider.always(Script::says("hi"));
    let llm = guarded(&provider, &endpoint, Kind::OpenAi);
    let other = Target { secret_key_name: Some("OTHER".into()), ..target("a") };
    for target in [target("a"), other.clone(), target("a"), other] {
        llm.answer(&[target], &exchange(), Mode::Whole).await.expect("an answer");
    }
    assert_eq!(bearers(&provider), ["Bearer t-1", "Bearer t-2", "Bearer t-1", "Bearer t-2"]);
    assert!(String::from_utf8_lossy(&endpoint.requests()[1].body).ends_with("client_secret=hush-of-OTHER"));
}

#[tokio::test]
async fn without_a_token_the_provider_is_not_asked_and_the_fallback_is() {
    let (provider, endpoint) = (Upstream::start().await, Upstream::start().await);
    let refused = json!({"error": "invalid_client", "error_description": "hush-of-CLIENT is wrong"});
    endpoint.always(Script::json(400, &refused));
    let llm = guarded(&provider, &endpoint, Kind::OpenAi);
    let error = failure(&llm, Mode::Whole).await;
    let expected = "its token endpoint answered 400: invalid_client [hidden] is wrong";
    assert!(matches!(&error, Error::Status { status: 401, message, .. } if message == expected), "{error}");
    let answer = llm.answer(&[target("a"), target("builtin")], &exchange(), Mode::Whole).await.expect("an answer");
    assert_eq!((&*answer.provider, provider.requests().len()), ("builtin", 0));
}
