//! What a hostile plugin, name server or server tries: to reach what is not granted, to be sent there, to speak out of turn.

use super::*;

/// URLs that mean this machine, a private network or a metadata service, however they are spelt.
const INSIDE: [&str; 26] = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://[fd00:ec2::254]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://100.100.100.200/",
];

#[tokio::test]
async fn no_spelling_of_an_inner_address_is_reached_even_if_the_operator_grants_it_as_a_host() {
    for url in INSIDE {
        let host = url.trim_start_matches("http://").split('/').next().unwrap();
        let world = World::default().ok("");
        let rules = Rules { plain: true, ..rules(&["a.b", host]) };
        let sent = send(&world.guard(rules), get(url)).await;
        assert!(matches!(sent, Err(Error::Denied(_))), "{url}: {sent:?}");
        assert_eq!((world.connections().len(), world.lookups().len()), (0, 0), "{url}");
    }
}

#[tokio::test]
async fn with_private_networks_allowed_a_metadata_service_is_still_refused_unless_its_address_is_granted() {
    let private = |patterns: &[&str]| Rules { plain: true, private: true, ..rules(patterns) };
    let world = World::default().name("inner", &[&["169.254.169.254"]]).ok("").ok("");
    for (patterns, url, reached) in [
        (&["127.0.0.1"][..], "http://127.0.0.1", true),
        (&["169.254.169.254"][..], "http://169.254.169.254", true),
        (&["169.254.169.254", "inner"][..], "http://inner", false),
        (&["inner"][..], "http://inner", false),
        (&["0.0.0.0"][..], "http://0", false),
    ] {
        let sent = send(&world.guard(private(patterns)), get(url)).await;
        assert_eq!(sent.is_ok(), reached, "{patterns:?} {url}: {sent:?}");
    }
    assert_eq!(world.addresses(), ["127.0.0.1:80", "169.254.169.254:80"]);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_and_of_its_addresses_only_those_outside_are_asked() {
    for address in ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a00:1", "0.0.0.0", "fe80::1"] {
        let world = World::default().name("a.b", &[&[address]]).ok("");
        let sent = send(&world.guard(rules(&["a.b"])), get("https://a.b")).await;
        assert!(matches!(&sent, Err(Error::Denied(why)) if !why.contains(address)), "{address}: {sent:?}");
        assert_eq!(world.connections(), [], "{address}");
        let world = World::default().name("a.b", &[&[address, PUBLIC, address]]).ok("");
        send(&world.guard(rules(&["a.b"])), get("https://a.b")).await.unwrap();
        assert_eq!(world.addresses(), [format!("{PUBLIC}:443")], "{address}");
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_between_the_check_and_the_connection_has_no_chance_to() {
    let world = World::default().name("a.b", &[&[PUBLIC], &["127.0.0.1"]]).ok("");
    let guard = world.guard(rules(&["a.b"]));
    send(&guard, get("https://a.b")).await.unwrap();
    assert_eq!((world.lookups().len(), world.addresses()), (1, vec![format!("{PUBLIC}:443")]));
    let second = send(&guard, get("https://a.b")).await;
    assert!(matches!(second, Err(Error::Denied(_))), "{second:?}");
    assert_eq!(world.connections().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_checked_like_a_request() {
    for (to, reached) in [
        ("https://b.c/x", true),
        ("//b.c/x", true),
        ("/x", true),
        ("?x", true),
        ("https://evil.com/", false),
        ("https://127.0.0.1/", false),
        ("https://169.254.169.254/", false),
        ("https://[::ffff:127.0.0.1]/", false),
        ("https://inside.b/", false),
        ("https://b.c:8443/", false),
        ("http://b.c/", false),
        ("http://a.b/", false),
        ("https://u:p@b.c/", false),
        ("file:///etc/passwd", false),
        ("javascript:alert(1)", false),
        ("https://", false),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let world = World::default().name("a.b", &[&[PUBLIC]]).name("b.c", &[&["93.184.216.35"]]).name("inside.b", &[&["127.0.0.1"]]);
            let world = world.name("evil.com", &[&[PUBLIC]]).redirect(status, to).ok("there");
            // Even if http is granted, nothing goes from https to it.
            let rules = Rules { plain: true, ..rules(&["a.b", "b.c", "inside.b", "127.0.0.1"]) };
            let sent = send(&world.guard(rules), get("https://a.b/")).await;
            assert_eq!((sent.is_ok(), world.connections().len()), (reached, 1 + usize::from(reached)), "{status} {to}: {sent:?}");
        }
    }
}

#[tokio::test]
async fn a_redirect_keeps_or_changes_the_method_as_browsers_do() {
    for (status, method, then) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (301, "PUT", "PUT"),
        (307, "POST", "POST"),
        (308, "DELETE", "DELETE"),
    ] {
        let world = World::default().name("a.b", &[&[PUBLIC]]).redirect(status, "/next").ok("");
        let request = Request { method: method.into(), ..post("https://a.b/", &[("content-type", "text/plain"), ("x-own", "1")], "body") };
        send(&world.guard(rules(&["a.b"])), request).await.unwrap();
        let second = &world.requests()[1];
        assert!(second.starts_with(&format!("{then} /next HTTP/1.1\r\n")) && second.contains("x-own: 1"), "{second}");
        let kept = then == method;
        assert_eq!((second.ends_with("body"), second.contains("content-type")), (kept, kept), "{status} {method}");
    }
}

#[tokio::test]
async fn what_proves_who_asks_stays_with_its_server() {
    let headers = [("authorization", "Bearer own"), ("cookie", "a=b"), ("x-key", "{{secret:KEY}}"), ("x-other", "1")];
    for (to, kept) in [("https://a.b/next", true), ("https://c.d/next", false), ("https://a.b:8443/next", false)] {
        let world = World::default().name("a.b", &[&[PUBLIC]]).name("c.d", &[&[PUBLIC]]).redirect(307, to).ok("");
        let secrets = [("KEY".to_owned(), hosts(&["a.b", "c.d"]))].into();
        let rules = Rules { secrets, ports: vec![443, 8443], ..rules(&["a.b", "c.d"]) };
        send(&world.guard(rules), post("https://a.b/", &headers, "")).await.unwrap();
        let [first, second] = &world.requests()[..] else { panic!("two requests") };
        for line in ["authorization: Bearer own", "cookie: a=b", "x-key: s3cr3t-of-the-key"] {
            assert!(first.contains(line), "{first}");
            assert_eq!(second.contains(line), kept, "{to}: {second}");
        }
        assert!(second.contains("x-other: 1"));
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_asked() {
    let world = World::default().name("a.b", &[&[PUBLIC]]);
    let guard = world.guard(rules(&["a.b"]));
    let mut requests: Vec<Request> = [
        "a.b",
        "/x",
        "",
        "https://",
        "ftp://a.b",
        "data:,x",
        "https://u@a.b",
        "https://u:p@a.b",
        "https://a.b/{{secret:KEY}}",
        "https://a b",
    ]
    .map(get)
    .into();
    requests.push(get(&format!("https://a.b/{}", "x".repeat(8 << 10))));
    requests
        .extend(["CONNECT", "TRACE", "get", "GET x", "", "PROPFIND"].map(|method| Request { method: method.into(), ..get("https://a.b") }));
    requests.extend(["host", "Connection", "transfer-encoding", "upgrade"].map(|name| post("https://a.b", &[(name, "x")], "")));
    for request in requests {
        let sent = send(&guard, request.clone()).await;
        assert!(matches!(sent, Err(Error::Invalid(_))), "{request:?}: {sent:?}");
    }
    assert_eq!((world.connections(), world.lookups().len()), (Vec::new(), 0));
}

#[tokio::test]
async fn a_path_cannot_begin_another_request() {
    let world = World::default().name("a.b", &[&[PUBLIC]]).ok("");
    send(&world.guard(rules(&["a.b"])), get("https://a.b/x HTTP/1.1\r\nhost: evil\r\n\r\nGET /y")).await.unwrap();
    let request = &world.requests()[0];
    assert_eq!((request.matches("\r\nhost:").count(), request.matches("\r\n\r\n").count()), (1, 1), "{request}");
}

#[tokio::test]
async fn a_server_that_answers_nonsense_is_unreachable() {
    for reply in [
        "",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let world = World::default().name("a.b", &[&[PUBLIC]]).reply(if reply.is_empty() { "\r\n\r\n" } else { reply });
        let sent = send(&world.guard(rules(&["a.b"])), get("https://a.b")).await;
        assert!(matches!(sent, Err(Error::Unreachable(_))), "{reply:?}: {sent:?}");
    }
    for header in [format!("x: {}", "y".repeat(256 << 10)), "x: y\r\n".repeat(101)] {
        let world = World::default().name("a.b", &[&[PUBLIC]]).reply(format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n"));
        let sent = send(&world.guard(rules(&["a.b"])), get("https://a.b")).await;
        assert!(matches!(sent, Err(Error::Unreachable(_))), "{} bytes", header.len());
    }
}
