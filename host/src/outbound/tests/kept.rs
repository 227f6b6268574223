//! Connections that are kept: for whom, for what, for how long, and what becomes of a request when the server hung up on one.

use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::time::advance;

use super::*;

/// What a server does with one request.
#[derive(Clone)]
enum Act {
    Answer(&'static str),
    /// And hangs up after it.
    Last(&'static str),
    HangUp,
    Never,
}
use Act::{Answer, HangUp, Last, Never};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const OTHER: &str = "93.184.216.35";

/// Servers that keep their connections. They answer with one act after the other, and then with 200.
#[derive(Clone, Default)]
struct Town(Arc<Streets>);

#[derive(Default)]
struct Streets {
    names: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    acts: Mutex<VecDeque<Act>>,
    lookups: AtomicUsize,
    /// Where each connection leads.
    opened: Mutex<Vec<String>>,
    open: AtomicUsize,
    /// The number of the connection and the request's method and path.
    requests: Mutex<Vec<(usize, String)>>,
}

impl Town {
    fn new(acts: &[Act]) -> Self {
        let town = Self::default();
        *town.0.acts.lock().unwrap() = acts.iter().cloned().collect();
        town.name("a.b", &[&[PUBLIC]]).name("c.d", &[&[PUBLIC]])
    }

    fn name(self, name: &str, answers: &[&[&str]]) -> Self {
        let answers = answers.iter().map(|addresses| addresses.iter().map(|address| address.parse().unwrap()).collect()).collect();
        self.0.names.lock().unwrap().insert(name.into(), answers);
        self
    }

    fn guard(&self, rules: Rules) -> Guard {
        let secret = |_: &str| Ok(SecretValue::new("s3cr3t-of-the-key"));
        Guard::new(rules, Arc::new(self.clone()), Arc::new(self.clone()), Arc::new(secret))
    }

    fn opened(&self) -> Vec<String> {
        self.0.opened.lock().unwrap().clone()
    }

    /// Over which connection each request came.
    fn ways(&self) -> Vec<usize> {
        self.0.requests.lock().unwrap().iter().map(|(connection, _)| *connection).collect()
    }

    fn requests(&self) -> Vec<String> {
        self.0.requests.lock().unwrap().iter().map(|(_, line)| line.clone()).collect()
    }

    /// Connections on which nobody has hung up, once all that can happen has.
    async fn open(&self) -> usize {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.0.open.load(Ordering::Relaxed)
    }

    async fn serve(self, number: usize, mut stream: DuplexStream) {
        loop {
            let request = request(&mut stream).await;
            let Some((line, _)) = request.split_once(" HTTP/1.1\r\n") else { break };
            self.0.requests.lock().unwrap().push((number, line.to_owned()));
            let bodiless = line.starts_with("HEAD ").then_some(Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"));
            let act = self.0.acts.lock().unwrap().pop_front().or(bodiless).unwrap_or(Answer(OK));
            match act {
                Answer(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                Last(text) => {
                    stream.write_all(text.as_bytes()).await.unwrap();
                    break;
                }
                HangUp => break,
                Never => {}
            }
        }
        drop(stream);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Resolve for Town {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.0.lookups.fetch_add(1, Ordering::Relaxed);
        let mut names = self.0.names.lock().unwrap();
        let answers = names.get_mut(name).unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(ready(Ok(answer.unwrap())))
    }
}

impl Connect for Town {
    fn connect<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let mut opened = self.0.opened.lock().unwrap();
        tokio::spawn(self.clone().serve(opened.len(), theirs));
        opened.push(peer.address.to_string());
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Box::pin(ready(Ok(Box::new(ours) as Box<dyn Stream>)))
    }
}

fn all() -> Rules {
    Rules { plain: true, ports: vec![80, 443, 8443], calls: 10_000, ..rules(&["a.b", "c.d"]) }
}

/// As many requests with that method, each of which is answered.
async fn asked(guard: &Guard, method: &str, urls: &[&str]) {
    for url in urls {
        let sent = send(guard, Request { method: method.into(), ..get(url) }).await;
        assert_eq!(sent.map(|response| response.status), Ok(200), "{method} {url}");
    }
}

#[tokio::test]
async fn requests_to_one_server_go_over_one_connection_and_each_looks_its_name_up() {
    let town = Town::new(&[]);
    let guard = town.guard(all());
    asked(&guard, "GET", &["https://a.b/1", "https://a.b/2", "https://a.b/3"]).await;
    assert_eq!((town.ways(), town.opened()), (vec![0, 0, 0], vec![format!("{PUBLIC}:443")]));
    assert_eq!(town.requests(), ["GET /1", "GET /2", "GET /3"]);
    assert_eq!(town.0.lookups.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_connection_is_kept_for_its_scheme_name_and_port_alone() {
    let town = Town::new(&[]);
    let guard = town.guard(all());
    let urls = ["https://a.b/", "http://a.b/", "https://a.b:8443/", "http://a.b:443/", "https://c.d/", "https://93.184.216.34/"];
    let guard_of_all = || town.guard(Rules { hosts: hosts(&["a.b", "c.d", PUBLIC]), ..all() });
    let other = guard_of_all();
    for guard in [&other, &other] {
        asked(guard, "GET", &urls).await;
    }
    assert_eq!(town.ways(), [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
    asked(&guard, "GET", &urls[..1]).await;
    assert_eq!(town.ways()[12], 6, "what another guard keeps is for that one");
}

#[tokio::test]
async fn a_connection_is_used_only_if_its_address_is_among_those_that_the_name_has_now_and_that_are_allowed() {
    let town = Town::new(&[]).name("a.b", &[&[PUBLIC], &[OTHER], &[OTHER, PUBLIC], &["10.0.0.1", PUBLIC], &["127.0.0.1"], &[OTHER]]);
    let guard = town.guard(all());
    asked(&guard, "GET", &["https://a.b/"; 4]).await;
    let inside = send(&guard, get("https://a.b/")).await;
    assert!(matches!(inside, Err(Error::Denied(_))), "{inside:?}");
    asked(&guard, "GET", &["https://a.b/"]).await;
    assert_eq!(town.ways(), [0, 1, 1, 0, 1], "the newest that fits, and never one to an address that is refused now");
    assert_eq!(town.opened(), [format!("{PUBLIC}:443"), format!("{OTHER}:443")]);
}

#[tokio::test]
async fn what_may_not_be_sent_twice_opens_its_own_connection_and_leaves_none() {
    let town = Town::new(&[]);
    let guard = town.guard(all());
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        asked(&guard, method, &["https://a.b/"]).await;
    }
    assert_eq!((town.ways(), town.open().await), (vec![0; 5], 1));
    for method in ["POST", "PATCH", "POST"] {
        asked(&guard, method, &["https://a.b/"]).await;
    }
    assert_eq!((town.ways()[5..].to_vec(), town.open().await), (vec![1, 2, 3], 1));
    send(&guard, post("https://a.b/", &[("Idempotency-Key", "\"1\"")], "x")).await.unwrap();
    assert_eq!(town.ways()[8], 0, "a server knows by the key that it got the request before");
}

#[tokio::test]
async fn a_server_that_hung_up_meanwhile_makes_no_request_fail_and_none_come_twice() {
    for method in ["GET", "PUT", "POST", "PATCH"] {
        let town = Town::new(&[Last(OK), Last(OK)]);
        let guard = town.guard(all());
        asked(&guard, "GET", &["https://a.b/1"]).await;
        assert_eq!(town.open().await, 0);
        asked(&guard, method, &["https://a.b/2"]).await;
        assert_eq!((town.ways(), town.requests()), (vec![0, 1], vec!["GET /1".to_owned(), format!("{method} /2")]));
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_on_a_kept_connection_is_asked_once_more_on_a_new_one_if_the_method_allows_that() {
    // In the middle of a head, too; and a server that hangs up for want of a request says so as it does.
    for act in [HangUp, Last("HTTP/1.1 20"), Last("HTTP/1.1 408 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")] {
        let town = Town::new(&[Answer(OK), act]);
        let guard = town.guard(all());
        asked(&guard, "GET", &["https://a.b/1", "https://a.b/2", "https://a.b/3"]).await;
        assert_eq!(
            (town.ways(), town.requests()),
            (vec![0, 0, 1, 1], vec!["GET /1".into(), "GET /2".into(), "GET /2".into(), "GET /3".into()])
        );
    }
    // Not for ever, and never over a connection that was opened for it.
    for (acts, came) in [(vec![HangUp], 1), (vec![Answer(OK), HangUp, HangUp], 3)] {
        let town = Town::new(&acts);
        let guard = town.guard(all());
        if came > 1 {
            asked(&guard, "GET", &["https://a.b/"]).await;
        }
        let sent = send(&guard, get("https://a.b/")).await;
        assert!(matches!(sent, Err(Error::Unreachable(_))), "{sent:?}");
        assert_eq!(town.requests().len(), came);
    }
    let town = Town::new(&[Answer(OK), HangUp]);
    let guard = town.guard(all());
    asked(&guard, "GET", &["https://a.b/"]).await;
    let sent = send(&guard, post("https://a.b/", &[], "once")).await;
    assert!(matches!(sent, Err(Error::Unreachable(_))), "{sent:?}");
    assert_eq!(town.ways(), [0, 1]);
}

#[tokio::test]
async fn of_several_connections_on_which_the_server_hung_up_none_costs_a_request() {
    let town = Town::new(&[Last(OK), Last(OK), Last(OK)]);
    let guard = town.guard(all());
    let calls = calls();
    let three = (0..3).map(|_| guard.send(&calls, ready(()), get("https://a.b/")));
    let sent = futures_util::future::join_all(three).await;
    assert!(sent.iter().all(Result::is_ok) && town.open().await == 0);
    asked(&guard, "GET", &["https://a.b/"]).await;
    assert_eq!(town.ways(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_or_breaks_off_is_not_asked_for_again_and_its_connection_is_not_kept() {
    for act in [
        Answer("SSH-2.0-x\r\n\r\n"),
        Last("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
        Answer("HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
        Answer("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"),
    ] {
        let town = Town::new(&[Answer(OK), act]);
        let guard = town.guard(Rules { response_bytes: 50, ..all() });
        asked(&guard, "GET", &["https://a.b/"]).await;
        send(&guard, get("https://a.b/")).await.unwrap_err();
        assert_eq!(town.open().await, 0);
        asked(&guard, "GET", &["https://a.b/"]).await;
        assert_eq!(town.ways(), [0, 0, 1]);
    }
}

#[tokio::test]
async fn a_connection_is_not_kept_if_its_server_closes_it_or_says_more_than_it_was_asked_for() {
    for (text, kept) in [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", false),
    ] {
        let town = Town::new(&[Answer(text)]);
        let guard = town.guard(all());
        send(&guard, get("https://a.b/")).await.unwrap();
        assert_eq!(send(&guard, get("https://a.b/")).await.unwrap().body, b"ok");
        assert_eq!(town.ways()[1], usize::from(!kept), "{text}");
    }
}

#[tokio::test]
async fn what_proves_who_asks_for_all_that_follows_on_a_connection_neither_takes_one_nor_leaves_one() {
    let town = Town::new(&[]);
    let guard = town.guard(all());
    asked(&guard, "GET", &["https://a.b/"]).await;
    for (value, way) in [("NTLM TlRMTVNTUAAB", 1), ("negotiate YII", 2), ("Bearer x", 0), ("Basic eDp5", 0)] {
        let headers = vec![("Authorization".to_owned(), value.to_owned())];
        send(&guard, Request { headers, ..get("https://a.b/") }).await.unwrap();
        assert_eq!(town.ways().last(), Some(&way), "{value}");
    }
    assert_eq!(town.open().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_takes_its_connection_along() {
    let town = Town::new(&[Answer(OK), Never]);
    let guard = town.guard(all());
    asked(&guard, "GET", &["https://a.b/1"]).await;
    let late = send(&guard, Request { time: Some(Duration::from_secs(1)), ..get("https://a.b/2") }).await;
    assert!(matches!(late, Err(Error::Timeout(_))), "{late:?}");
    assert_eq!(town.open().await, 0);
    asked(&guard, "GET", &["https://a.b/3"]).await;
    assert_eq!(town.ways(), [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_its_time_and_then_closed_though_nobody_asks() {
    let town = Town::new(&[]);
    let time = Duration::from_secs(4);
    let guard = town.guard(Rules { idle_time: time, ..all() });
    asked(&guard, "GET", &["https://a.b/"]).await;
    // Each use begins its time anew.
    for _ in 0..3 {
        advance(time - Duration::from_millis(2)).await;
        asked(&guard, "GET", &["https://a.b/"]).await;
    }
    assert_eq!((town.ways(), town.open().await), (vec![0; 4], 1));
    advance(Duration::from_secs(1)).await;
    asked(&guard, "GET", &["https://c.d/"]).await;
    assert_eq!(town.open().await, 2);
    advance(time - Duration::from_millis(999)).await;
    assert_eq!(town.open().await, 1, "each has its own time");
    advance(Duration::from_secs(1)).await;
    assert_eq!(town.open().await, 0);
    asked(&guard, "GET", &["https://a.b/"]).await;
    assert_eq!(town.ways(), [0, 0, 0, 0, 1, 2]);
}

#[tokio::test]
async fn so_many_are_kept_for_a_plugin_and_the_oldest_makes_room() {
    for (idle_connections, ways) in [(0, [0, 1, 2, 3, 4]), (1, [0, 1, 2, 3, 3]), (2, [0, 1, 0, 2, 2])] {
        let town = Town::new(&[]);
        let guard = town.guard(Rules { idle_connections, ..all() });
        asked(&guard, "GET", &["https://a.b/", "https://c.d/", "https://a.b/", "http://a.b/", "http://a.b/"]).await;
        assert_eq!((town.ways(), town.open().await), (ways.to_vec(), idle_connections), "{idle_connections}");
    }
}

#[tokio::test]
async fn so_many_are_kept_for_all_plugins_together_and_each_has_its_share() {
    let town = Town::new(&[]);
    let common = Common::new(1 << 20, 1);
    let guard = |plugin| town.guard(all()).sharing(common.clone(), Arc::new(Own::new(plugin, 8)));
    let (first, second) = (guard("first"), guard("second"));
    asked(&first, "GET", &["https://a.b/"; 2]).await;
    asked(&second, "GET", &["https://a.b/"; 2]).await;
    assert_eq!((town.ways(), town.open().await), (vec![0, 0, 1, 2], 1), "the one place is taken");
    // Whoever has a place may use it for another server.
    asked(&first, "GET", &["https://c.d/"; 2]).await;
    assert_eq!((town.ways()[4..].to_vec(), town.open().await), (vec![3, 3], 1));
    drop(first);
    asked(&second, "GET", &["https://a.b/"; 2]).await;
    assert_eq!((town.ways()[6..].to_vec(), town.open().await), (vec![4, 4], 1));
    common.resize(1 << 20, 0);
    drop(second);
    let third = guard("third");
    asked(&third, "GET", &["https://a.b/"; 2]).await;
    assert_eq!((town.ways()[8..].to_vec(), town.open().await), (vec![5, 6], 0));
    common.resize(1 << 20, 8);
    let urls = [80, 443, 8443].map(|port| format!("http://a.b:{port}/"));
    let urls: Vec<&str> = urls
        .iter()
        .map(String::as_str)
        .chain(["https://a.b/", "https://a.b:80/", "https://a.b:8443/", "http://c.d/", "https://c.d/"])
        .collect();
    asked(&third, "GET", &urls).await;
    assert_eq!(town.open().await, 6, "one plugin leaves room for the others");
}

#[tokio::test]
async fn no_connection_is_used_under_other_settings_and_none_outlives_its_guard() {
    let town = Town::new(&[]);
    let common = Common::new(1 << 20, 8);
    let own = Arc::new(Own::new("p", 8));
    let guard = |rules| town.guard(rules).sharing(common.clone(), own.clone());
    let before = guard(all());
    let under = |settings: &UnderSettings| Request { settings: settings.clone(), ..get("https://a.b/") };
    let (one, two): (UnderSettings, UnderSettings) = (Arc::new(1), Arc::new(1));
    for settings in [&one, &one, &two, &two, &one] {
        send(&before, under(settings)).await.unwrap();
    }
    assert_eq!((town.ways(), town.open().await), (vec![0, 0, 1, 1, 2], 1));
    // As after a reload that narrows the grant: the guard of the next grant, while a call of the one before still runs.
    let after = guard(Rules { hosts: hosts(&["c.d"]), ..all() });
    let denied = send(&after, under(&one)).await;
    assert!(matches!(denied, Err(Error::Denied(_))), "{denied:?}");
    let same = guard(all());
    send(&same, under(&one)).await.unwrap();
    assert_eq!(town.ways()[5], 3, "the same grant again is another one");
    drop((before, after));
    assert_eq!(town.open().await, 1);
    drop(same);
    assert_eq!((town.open().await, common.idle.held()), (0, 0));
}

#[tokio::test]
async fn a_redirect_goes_over_what_is_kept_of_its_own_server() {
    let redirect = Answer("HTTP/1.1 302 x\r\nlocation: https://c.d/\r\ncontent-length: 0\r\n\r\n");
    let town = Town::new(&[redirect.clone(), Answer(OK), redirect]);
    asked(&town.guard(all()), "GET", &["https://a.b/"; 2]).await;
    assert_eq!((town.ways(), town.requests().len()), (vec![0, 1, 0, 1], 4));
}
