//! What is asked, and what each answer comes to.

use cofferdam_guest::http::{Failure, Response};
use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, testing};

use crate::Webhook;

const CONFIG: &str = r#"{"url": "https://hooks.example.com/ask", "authorization": "Bearer {{secret:TOKEN}}", "timeout_ms": 800}"#;

fn answered(response: Result<Response, Failure>) -> Result<PreOutcome, HookError> {
    testing::set_config(CONFIG);
    testing::set_http(move |_| response.clone());
    Webhook::on_request(testing::request(vec![Message::user("hello")]))
}

#[test]
fn the_server_is_told_whose_request_it_is_and_the_last_message_and_gets_the_secret_by_reference_only() {
    testing::set_config(CONFIG);
    testing::set_http(|request| {
        assert_eq!((request.method(), request.url()), ("POST", "https://hooks.example.com/ask"));
        assert_eq!(request.header_value("authorization"), Some("Bearer {{secret:TOKEN}}"));
        let text = std::str::from_utf8(request.body()).unwrap();
        assert!(!text.contains("{{secret:"), "a user's text fills in nothing: {text}");
        let body: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            (&body["message"], &body["request_id"], &body["pipeline"]),
            (&"{{secret:TOKEN}}".into(), &"test-request".into(), &"test".into())
        );
        Ok(Response::new(204, ""))
    });
    let messages = vec![Message::system("be short"), Message::user("first"), Message::user("{{secret:TOKEN}}")];
    assert_eq!(Webhook::on_request(testing::request(messages)).unwrap(), PreOutcome::unchanged());
}

#[test]
fn an_answer_lets_pass_adds_metadata_or_refuses() {
    assert_eq!(answered(Ok(Response::new(200, "{}"))).unwrap(), PreOutcome::unchanged());
    let Ok(PreOutcome::Proceed(changes)) = answered(Ok(Response::new(200, r#"{"metadata": {"plan": "gold", "n": [1]}}"#))) else {
        panic!("it did not proceed")
    };
    let metadata: Vec<_> = changes.metadata.iter().map(|field| (field.name.as_str(), field.value.as_deref().unwrap())).collect();
    assert_eq!(metadata, [("n", "[1]"), ("plan", "\"gold\"")]);
    let refusal = Response::new(402, r#"{"error": "No credit left.", "code": "no_credit"}"#).with_header("Retry-After", "60");
    let Ok(PreOutcome::Reject(rejection)) = answered(Ok(refusal)) else { panic!("it did not refuse") };
    assert_eq!((rejection.status, rejection.code.as_str(), rejection.message.as_str()), (402, "no_credit", "No credit left."));
    assert_eq!(rejection.retry_after, Some(60));
}

#[test]
fn what_is_no_clear_answer_is_a_failure_of_the_hook() {
    for response in [
        Ok(Response::new(200, "fine!")),
        Ok(Response::new(404, "<html>no such page</html>")),
        Ok(Response::new(302, "")),
        Ok(Response::new(503, r#"{"error": "later"}"#)),
        Err(Failure::Timeout("it took longer".into())),
        Err(Failure::Denied("`grants.http.hosts`".into())),
    ] {
        assert!(answered(response.clone()).is_err(), "{response:?}");
    }
}

#[test]
fn a_configuration_without_a_url_is_told_to_the_operator() {
    testing::set_config("{}");
    let outcome = Webhook::on_request(testing::request(vec![Message::user("hello")]));
    assert!(matches!(outcome, Err(HookError::Unavailable(why)) if why.contains("url")));
}
