//! Tokens from a scripted endpoint under a clock of their own, and one over the real transport.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::sync::Semaphore;

use super::*;

#[path = "../../../../../tests/support/upstream.rs"]
mod upstream;

use upstream::{Script, Upstream};

const CLIENT_SECRET: &str = "cs-0aZ8~Q&x=1+secret";

/// Gives the scripted answers in turn, each once the test lets it.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<(u16, Value)>>,
    forms: Mutex<Vec<String>>,
    asked: AtomicUsize,
    gate: Option<Semaphore>,
    /// Since the test began.
    passed: Mutex<Duration>,
}

impl Scripted {
    fn advance(&self, time: Duration) {
        *self.passed.lock().unwrap() += time;
    }
}

impl TokenEndpoint for Arc<Scripted> {
    fn post(&self, form: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), Error>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.forms.lock().unwrap().push(String::from_utf8(form.to_vec()).unwrap());
        Box::pin(async move {
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            let (status, json) = self.answers.lock().unwrap().pop_front().expect("one more answer");
            Ok((status, json.to_string().into()))
        })
    }
}

fn config() -> OAuthConfig {
    OAuthConfig { token_url: String::new(), client_id: "app 1".into(), scope: "https://x.example/.default".into() }
}

fn scripted(answers: &[(u16, Value)], gate: Option<Semaphore>) -> (Arc<Scripted>, Arc<OAuth>) {
    let endpoint = Arc::new(Scripted { answers: Mutex::new(answers.iter().cloned().collect()), gate, ..Scripted::default() });
    let (began, clock) = (Instant::now(), Arc::clone(&endpoint));
    let now = move || began + *clock.passed.lock().unwrap();
    let oauth = OAuth::by_clock("azure", config(), Box::new(Arc::clone(&endpoint)), Box::new(now));
    (endpoint, Arc::new(oauth))
}

fn grant(token: &str, seconds: u64) -> (u16, Value) {
    (200, json!({"token_type": "Bearer", "access_token": token, "expires_in": seconds}))
}

async fn token(oauth: &OAuth) -> Result<String, Error> {
    oauth.token(&Secret::new(CLIENT_SECRET).unwrap()).await.map(|secret| secret.expose().to_owned())
}

#[tokio::test]
async fn the_form_is_escaped_and_has_what_the_standard_asks() {
    let (endpoint, oauth) = scripted(&[grant("t", 3600)], None);
    token(&oauth).await.unwrap();
    let form =
        "grant_type=client_credentials&client_id=app%201&client_secret=cs-0aZ8~Q%26x%3D1%2Bsecret&scope=https%3A%2F%2Fx.example%2F.default";
    assert_eq!(*endpoint.forms.lock().unwrap(), [form]);
}

#[tokio::test]
async fn a_token_is_kept_until_a_minute_or_a_tenth_of_its_life_is_left() {
    for (life, kept) in [(3600, 3540), (100, 90)] {
        let (endpoint, oauth) = scripted(&[grant("one", life), grant("two", life)], None);
        assert_eq!(token(&oauth).await.unwrap(), "one");
        endpoint.advance(Duration::from_secs(kept) - Duration::from_millis(1));
        assert_eq!(token(&oauth).await.unwrap(), "one");
        endpoint.advance(Duration::from_millis(1));
        assert_eq!((token(&oauth).await.unwrap(), endpoint.asked.load(Ordering::SeqCst)), ("two".into(), 2));
    }
}

#[tokio::test]
async fn a_life_may_be_a_string_or_left_out_and_is_at_most_a_day() {
    for (expires, life) in [(json!("120"), 120), (Value::Null, 300), (json!(u64::MAX), 86_400), (json!("soon"), 300)] {
        let one = (200, json!({"access_token": "one", "expires_in": expires}));
        let (endpoint, oauth) = scripted(&[one, grant("two", 60)], None);
        token(&oauth).await.unwrap();
        endpoint.advance(Duration::from_secs(life));
        assert_eq!(token(&oauth).await.unwrap(), "two", "{expires}");
    }
}

#[tokio::test]
async fn many_who_need_a_token_ask_once() {
    let (endpoint, oauth) = scripted(&[grant("one", 3600)], Some(Semaphore::new(0)));
    let asking: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let oauth = Arc::clone(&oauth);
                async move { token(&oauth).await }
            })
        })
        .collect();
    tokio::task::yield_now().await;
    endpoint.gate.as_ref().unwrap().add_permits(1);
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap(), "one");
    }
    assert_eq!(endpoint.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn those_who_waited_share_a_failure_and_those_who_come_later_ask_again() {
    let refused = (400, json!({"error": "invalid_client", "error_description": format!("secret {CLIENT_SECRET} is\nwrong")}));
    let (endpoint, oauth) = scripted(&[refused, grant("one", 3600)], Some(Semaphore::new(0)));
    let asking: Vec<_> = (0..5)
        .map(|_| {
            tokio::spawn({
                let oauth = Arc::clone(&oauth);
                async move { token(&oauth).await }
            })
        })
        .collect();
    tokio::task::yield_now().await;
    endpoint.gate.as_ref().unwrap().add_permits(2);
    for asked in asking {
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "provider `azure` answered 401: its token endpoint answered 400: invalid_client secret [hidden] is wrong"
        );
    }
    endpoint.advance(Duration::from_millis(1));
    assert_eq!((token(&oauth).await.unwrap(), endpoint.asked.load(Ordering::SeqCst)), ("one".into(), 2));
}

#[tokio::test]
async fn one_who_leaves_while_asking_hands_the_turn_on() {
    let (endpoint, oauth) = scripted(&[grant("one", 3600)], Some(Semaphore::new(0)));
    let first = tokio::spawn({
        let oauth = Arc::clone(&oauth);
        async move { token(&oauth).await }
    });
    tokio::task::yield_now().await;
    let second = tokio::spawn({
        let oauth = Arc::clone(&oauth);
        async move { token(&oauth).await }
    });
    tokio::task::yield_now().await;
    first.abort();
    endpoint.gate.as_ref().unwrap().add_permits(1);
    assert_eq!((second.await.unwrap().unwrap(), endpoint.asked.load(Ordering::SeqCst)), ("one".into(), 2));
}

#[tokio::test]
async fn a_token_whose_renewal_fails_is_used_to_its_end() {
    let down = (503, json!({}));
    let (endpoint, oauth) = scripted(&[grant("one", 1000), down.clone(), down.clone(), down], None);
    token(&oauth).await.unwrap();
    endpoint.advance(Duration::from_secs(940));
    for _ in 0..3 {
        assert_eq!(token(&oauth).await.unwrap(), "one");
    }
    assert_eq!(endpoint.asked.load(Ordering::SeqCst), 2, "it is not asked again for each request");
    endpoint.advance(RETRIED_AFTER + Duration::from_millis(1));
    assert_eq!((token(&oauth).await.unwrap(), endpoint.asked.load(Ordering::SeqCst)), ("one".into(), 3));
    endpoint.advance(Duration::from_secs(60));
    let error = token(&oauth).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 503, .. }), "{error}");
}

#[tokio::test]
async fn a_token_that_the_provider_refused_is_asked_for_anew() {
    let (_, oauth) = scripted(&[grant("one", 3600), grant("two", 3600)], None);
    token(&oauth).await.unwrap();
    oauth.forget(&Secret::new("another").unwrap());
    assert_eq!(token(&oauth).await.unwrap(), "one");
    oauth.forget(&Secret::new("one").unwrap());
    assert_eq!(token(&oauth).await.unwrap(), "two");
}

#[tokio::test]
async fn an_answer_without_a_token_is_reported_without_repeating_it() {
    for body in [json!({"access_token": ""}), json!({"token": "sesame-open"}), json!("sesame-open"), Value::Null] {
        let (_, oauth) = scripted(&[(200, body)], None);
        let error = token(&oauth).await.unwrap_err();
        assert_eq!(error.to_string(), "provider `azure` sent a reply that cannot be used: its token endpoint gave no access_token");
    }
}

#[tokio::test]
async fn over_the_wire_the_form_is_posted_and_the_token_read() {
    let upstream = Upstream::start().await;
    let (_, granted) = grant("of the wire", 3600);
    upstream.next(Script::json(200, &granted)).next(Script::json(401, &json!({"error": "invalid_client"})));
    let url = format!("{}/oauth2/v2.0/token?a=1", upstream.url());
    let oauth = || OAuth::new("azure", config(), Box::new(Post::new("azure", &url, &Limits::default()).unwrap()));
    assert_eq!(token(&oauth()).await.unwrap(), "of the wire");
    let error = token(&oauth()).await.unwrap_err();
    assert_eq!(error.to_string(), "provider `azure` answered 401: its token endpoint answered 401: invalid_client");
    let request = &upstream.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/oauth2/v2.0/token?a=1"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(request.body.starts_with(b"grant_type=client_credentials&client_id=app%201&"));
}
