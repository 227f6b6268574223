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
async fn a_secret_that_a_server_kept_is_hidden_from_the_request_that_reads_it() {
    let world = world().ok("stored").ok(&format!("the note: {KEY}")).ok(&format!("the note: {KEY}"));
    let guard = world.guard(granted(&["a.b"]));
    send(&guard, post("https://a.b/note", &[], "{{secret:KEY}}")).await.unwrap();
    assert_eq!(send(&guard, get("https://a.b/note")).await.unwrap().body, b"the note: [hidden]");
    // From wherever it comes.
    assert_eq!(send(&guard, get("https://c.d/note")).await.unwrap().body, b"the note: [hidden]");
    assert!(world.requests()[0].ends_with(KEY) && !world.requests()[1].contains(KEY));
}

#[tokio::test]
async fn a_reply_in_which_a_secret_could_not_be_found_is_refused_to_a_plugin_that_has_any() {
    for head in [
        "200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nab",
        "200 OK\r\ncontent-encoding: identity\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\nab",
        "200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        // Asked for piece by piece, a secret would be in none of them.
        "206 x\r\ncontent-range: bytes 0-1/9\r\ncontent-length: 2\r\n\r\nab",
    ] {
        let reply = format!("HTTP/1.1 {head}");
        let world = world().reply(&reply).reply(&reply).reply(&reply);
        let guard = world.guard(granted(&["a.b"]));
        for request in [post("https://a.b", &[("x", "{{secret:KEY}}")], ""), get("https://a.b")] {
            let sent = send(&guard, request).await;
            assert!(matches!(sent, Err(Error::Unreachable(_))), "{head}: {sent:?}");
        }
        let without = world.guard(rules(&["a.b"]));
        assert_eq!(send(&without, get("https://a.b")).await.unwrap().body, b"ab", "{head}");
    }
}

#[tokio::test]
async fn no_error_behind_a_redirect_names_what_the_server_sent() {
    let lower = KEY.to_lowercase();
    for to in [
        format!("https://{KEY}.evil.com/"),
        format!("https://a.b:443/{KEY}?{KEY}"),
        format!("https://{KEY}:x@a.b/"),
        format!("ftp://{KEY}/"),
        format!("https://unknown.{KEY}.c.d/"),
        "https://a.b:4711/".to_owned(),
        "https://inside.c.d/".to_owned(),
    ] {
        let world = world().name("inside.c.d", &[&["10.0.0.1"]]).redirect(302, &to);
        let rules = Rules { hosts: hosts(&["a.b", "*.c.d"]), ..granted(&["a.b"]) };
        let why = send(&world.guard(rules), post("https://a.b", &[("x", "{{secret:KEY}}")], "")).await.unwrap_err();
        let known = match &why {
            Error::Denied(why) => why == "the server redirects to what `grants.http` does not allow",
            Error::Unreachable(why) => why == "the server that it was redirected to cannot be asked",
            _ => false,
        };
        let text = why.to_string().to_lowercase();
        assert!(known || text.contains("never followed"), "{to}: {why:?}");
        assert!(!text.contains(&lower) && !text.contains("4711") && !text.contains("inside"), "{to}: {why}");
    }
}

#[tokio::test]
async fn no_error_tells_how_long_a_secret_is() {
    let tell = async |most: usize| {
        let guard = world().guard(Rules { request_bytes: most, ..granted(&["a.b"]) });
        send(&guard, post("https://a.b", &[], "{{secret:KEY}}")).await.unwrap_err().to_string()
    };
    let why = tell(KEY.len() - 1).await;
    assert!(why.contains("grants.http.request_bytes") && !why.contains(&KEY.len().to_string()), "{why}");
}

#[tokio::test]
async fn every_secret_is_looked_up_once_for_a_request() {
    let counted = Arc::new(Mutex::new(Vec::new()));
    let count = counted.clone();
    let look_up = Arc::new(move |name: &str| {
        count.lock().unwrap().push(name.to_owned());
        Ok(SecretValue::new(KEY))
    });
    let world = Arc::new(world().redirect(307, "/next").ok(""));
    let guard = Guard::new(granted(&["a.b"]), world.clone(), world, look_up);
    send(&guard, post("https://a.b", &[("x", "{{secret:KEY}}{{secret:KEY}}")], &"{{secret:KEY}}".repeat(1_000))).await.unwrap();
    assert_eq!(counted.lock().unwrap().len(), granted(&[]).secrets.len());
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
