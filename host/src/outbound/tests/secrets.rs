//! Secrets go to their hosts and to nobody else, and a plugin never sees one.

use super::*;

const KEY: &str = "s3cr3t-of-the-key";

fn granted(for_hosts: &[&str]) -> Rules {
    let named = ["KEY", "SHORT", "LINES", "UNSET"].map(|name| (name.to_owned(), hosts(for_hosts)));
    Rules { secrets: named.into(), plain: true, ..rules(&["a.b", "c.d"]) }
}

fn world() -> World {
    World::default().name("a.b", &[&[PUBLIC]]).name("c.d", &[&["93.184.216.35"]])
}

#[tokio::test]
async fn a_secret_is_put_into_headers_and_text_for_its_host() {
    let world = world().ok("");
    let request = post("https://a.b", &[("authorization", "Bearer {{secret:KEY}}")], r#"{"key":"{{secret:KEY}}","and":"{{secret:KEY}}"}"#);
    send(&world.guard(granted(&["a.b"])), request).await.unwrap();
    let sent = &world.requests()[0];
    assert!(sent.contains(&format!("authorization: Bearer {KEY}\r\n")), "{sent}");
    assert!(sent.ends_with(&format!(r#"{{"key":"{KEY}","and":"{KEY}"}}"#)), "{sent}");
}

#[tokio::test]
async fn a_secret_goes_to_no_other_host_and_not_over_http_unless_that_is_granted() {
    let header = |url: &str| post(url, &[("x", "{{secret:KEY}}")], "");
    let body = |url: &str| post(url, &[], "a {{secret:KEY}}");
    for request in [header("https://c.d"), body("https://c.d"), header("http://a.b"), body("http://a.b")] {
        let world = world().ok("");
        let sent = send(&world.guard(granted(&["a.b"])), request).await;
        assert!(matches!(sent, Err(Error::Denied(_))), "{sent:?}");
        assert_eq!(world.connections(), []);
    }
    let world = world().ok("").ok("");
    let guard = world.guard(Rules { plain_secrets: true, ..granted(&["a.b"]) });
    send(&guard, header("http://a.b")).await.unwrap();
    send(&guard, body("http://a.b")).await.unwrap();
    assert!(world.requests().iter().all(|request| request.contains(KEY)));
}

#[tokio::test]
async fn a_body_that_is_sent_on_takes_its_secret_only_to_a_host_of_the_secret() {
    let world = world().redirect(307, "https://c.d/");
    let sent = send(&world.guard(granted(&["a.b"])), post("https://a.b", &[], "{{secret:KEY}}")).await;
    assert!(matches!(sent, Err(Error::Denied(_))), "{sent:?}");
    assert_eq!(world.connections().len(), 1);
}

#[tokio::test]
async fn a_secret_that_comes_back_is_hidden_in_headers_and_body_however_the_bytes_were_cut() {
    for cut in 0..=KEY.len() {
        let (first, second) = KEY.split_at(cut);
        let chunk = |text: &str| if text.is_empty() { String::new() } else { format!("{:x}\r\n{text}\r\n", text.len()) };
        let body = format!("{}{}{}", chunk(&format!("<{first}")), chunk(&format!("{second}>")), chunk(""));
        let world = world().reply(format!("HTTP/1.1 401 x\r\nx-echo: was {KEY}\r\ntransfer-encoding: chunked\r\n\r\n{body}0\r\n\r\n"));
        let request = post("https://a.b", &[("x", "{{secret:KEY}}")], "");
        let response = send(&world.guard(granted(&["a.b"])), request).await.unwrap();
        assert_eq!(response.headers, [("x-echo".into(), "was [hidden]".into())]);
        assert_eq!(response.body, b"<[hidden]>");
    }
}

#[tokio::test]
async fn a_secret_stays_hidden_when_the_reply_comes_from_where_it_was_sent_on_to() {
    let world = world().redirect(302, &format!("https://c.d/?{KEY}")).ok(KEY);
    let response = send(&world.guard(granted(&["a.b"])), post("https://a.b", &[("x", "{{secret:KEY}}")], "")).await.unwrap();
    assert_eq!(response.body, b"[hidden]");
}

#[tokio::test]
async fn a_compressed_reply_to_a_request_with_a_secret_is_refused() {
    let reply = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nab";
    let world = world().reply(reply).reply(reply);
    let guard = world.guard(granted(&["a.b"]));
    let sent = send(&guard, post("https://a.b", &[("x", "{{secret:KEY}}")], "")).await;
    assert!(matches!(sent, Err(Error::Unreachable(_))), "{sent:?}");
    assert_eq!(send(&guard, get("https://a.b")).await.unwrap().body, b"ab");
}

#[tokio::test]
async fn a_secret_that_is_unset_too_short_or_no_header_is_refused_without_its_value() {
    for name in ["UNSET", "SHORT", "LINES", "", "NO SUCH", "../KEY"] {
        let world = world().ok("");
        let sent = send(&world.guard(granted(&["a.b"])), post("https://a.b", &[("x", &format!("{{{{secret:{name}}}}}"))], "")).await;
        let why = sent.unwrap_err().to_string();
        assert!(!why.contains("seven77") && !why.contains("s3cr3t"), "{why}");
        assert_eq!(world.connections(), [], "{name}");
    }
}

#[tokio::test]
async fn a_text_of_a_user_that_looks_like_a_reference_is_sent_as_it_is_unless_it_names_a_secret() {
    for text in
        ["{{secret:", "{{secret:}}", "{{secret:NOBODYS}}", "{{secret:NOBODYS", "{{secret:a b}} {{secret:{{secret:", "{{SECRET:KEY}}"]
    {
        let world = world().ok("");
        send(&world.guard(granted(&["a.b"])), post("https://a.b", &[], text)).await.unwrap();
        assert!(world.requests()[0].ends_with(&format!("\r\n\r\n{text}")), "{text}");
    }
    let world = world().ok("");
    send(&world.guard(granted(&["a.b"])), post("https://a.b", &[], "{{secret:{{secret:KEY}}")).await.unwrap();
    assert!(world.requests()[0].ends_with(&format!("{{{{secret:{KEY}")));
}
