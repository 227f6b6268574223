//! URLs that one reader takes for a granted server and another one for this machine, and names that lead there. Whatever they mean, no connection
//! is made to any address but the granted server's.

use serde_json::json;

use super::asker;
use super::world::{PUBLIC, World, ok, redirect};

/// The granted server, and names that lead inside.
fn names(world: World) -> World {
    ["localhost", "127.0.0.1.nip.example.com", "evilapi.example.com", "api.example.com.evil.example.org", "xn--lcalhost-54a"]
        .into_iter()
        .fold(world.name("api.example.com", &[&[PUBLIC]]), |world, name| world.name(name, &[&["127.0.0.1"]]))
}

/// Each leads to this machine, or nowhere.
const INSIDE: [&str; 27] = [
    "http://api.example.com@127.0.0.1/",
    "http://api.example.com:80@127.0.0.1/",
    "http://api.example.com%2F@127.0.0.1/",
    "http://127.0.0.1\\@api.example.com/",
    "http://127.0.0.1#@api.example.com/",
    "http://127.0.0.1?@api.example.com/",
    "http://127.0.0.1/@api.example.com/",
    "http://%31%32%37.0.0.1/",
    "http://１２７.0.0.1/",
    "http://127。0。0。1/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://LOCALHOST./",
    "http://api.example.com.evil.example.org/",
    "http://evilapi.example.com/",
    "http://127.0.0.1.nip.example.com/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[::1]:80/",
    "http://127.1/",
    "http://0/",
    "http://017700000001/",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "http:\\\\127.0.0.1/",
    "HTTP://127.0.0.1/",
    "http://api.example.com\t@127.0.0.1/",
    "//127.0.0.1/",
];

#[tokio::test]
async fn a_url_that_hides_an_address_inside_leads_nowhere() {
    let world = names(World::new(|_| ok("secrets of the inside")));
    let sandbox = asker(&world, json!({"hosts": ["api.example.com"], "plain": true, "calls": 1000})).await;
    for url in INSIDE {
        let got = sandbox.got(&format!("GET {url}")).await;
        assert!((got.contains("Denied(") || got.contains("Invalid(")) && !got.contains("inside"), "{url}: {got}");
    }
    for url in ["file:///etc/passwd", "data:text/plain,x", "gopher://127.0.0.1/", "unix:/run/docker.sock", "ftp://api.example.com/"] {
        assert!(sandbox.got(&format!("GET {url}")).await.contains("Invalid("), "{url}");
    }
    assert_eq!(world.connections(), Vec::<String>::new());
}

#[tokio::test]
async fn a_wildcard_lets_no_name_inside_and_of_two_addresses_the_one_inside_is_never_asked() {
    let world = World::new(|_| ok("secrets of the inside"))
        .name("127.0.0.1.nip.example.com", &[&["127.0.0.1"]])
        .name("both.example.com", &[&["127.0.0.1", PUBLIC]])
        .name("other.example.com", &[&[PUBLIC, "::1"]]);
    let sandbox = asker(&world, json!({"hosts": ["*.example.com"], "plain": true})).await;
    assert!(sandbox.got("GET http://127.0.0.1.nip.example.com/").await.contains("Denied("));
    for url in ["http://both.example.com/", "http://other.example.com/"] {
        sandbox.got(&format!("GET {url}")).await;
    }
    assert!(world.connections().iter().all(|address| *address == format!("{PUBLIC}:80")), "{:?}", world.connections());
}

#[tokio::test]
async fn a_redirect_that_hides_an_address_inside_leads_nowhere() {
    let all: Vec<&str> =
        INSIDE.into_iter().chain(["/\\127.0.0.1/", "//127.0.0.1:80", "https://127.0.0.1/", "file:///etc/passwd"]).collect();
    let (count, to) = (all.len(), all.clone());
    // The path of the request says where it is sent.
    let number = |request: &str| request.strip_prefix("GET /").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
    let world = names(World::new(move |request| redirect(number(request).and_then(|at| to.get(at)).unwrap_or(&"/"))));
    let sandbox = asker(&world, json!({"hosts": ["api.example.com"], "plain": true, "redirects": 1})).await;
    for (at, to) in all.iter().enumerate() {
        let got = sandbox.got(&format!("GET http://api.example.com/{at}")).await;
        assert!(!got.contains("200"), "{to}: {got}");
    }
    assert!(world.connections().len() >= count);
    assert!(world.connections().iter().all(|address| *address == format!("{PUBLIC}:80")), "{:?}", world.connections());
}
