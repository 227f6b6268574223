//! Every limit of the room at its edge. Time limits are tiny and meet a silent provider, so no test measures time.

use super::*;
use crate::upstream::{Script, Signal, delta, finish};

const TINY: Duration = Duration::from_millis(50);

#[track_caller]
fn is_timeout(error: &Error, expected: &str) {
    assert!(matches!(error, Error::Timeout { provider, .. } if provider == "a"), "{error}");
    assert_eq!(error.to_string(), format!("provider `a` took longer than 50 ms (limits.providers.{expected})"));
}

/// A listener whose queue is full never answers the next connection: Linux drops its first packet.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn connecting_takes_no_longer_than_connect() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("bound");
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(tokio::net::TcpStream::connect(address).await.expect("room in the queue"));
    }
    let mut config = Config { limits: Limits { connect: TINY, ..once() }, ..Config::default() };
    config.providers.insert("a".into(), ProviderConfig::new(Kind::OpenAi, format!("http://{address}/v1")));
    let llm = Llm::new(config, Arc::new(|_| Err(cofferdam::llm::MissingSecret::NotSet)), Arc::new(())).expect("a URL");
    is_timeout(&failure(&llm, Mode::Whole).await, "connect");
}

#[tokio::test]
async fn the_first_event_takes_no_longer_than_first_byte() {
    for script in [Script::default().hang(), Script::stream().hang(), Script::stream().piece(": ping\n\n").hang()] {
        let upstream = Upstream::start().await;
        upstream.next(script);
        let llm = with_limits(&[&upstream], Limits { first_byte: TINY, ..once() });
        is_timeout(&failure(&llm, Mode::Stream).await, "first_byte");
        upstream.hung_up().await;
    }
}

#[tokio::test]
async fn a_whole_reply_is_not_bound_by_first_byte_or_idle() {
    let (upstream, signal, limits) = (Upstream::start().await, Signal::default(), once());
    upstream.next(Script::default().wait(&signal).raw("HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"choices\":[]}"));
    let llm = with_limits(&[&upstream], Limits { first_byte: Duration::ZERO, idle: Duration::ZERO, ..limits });
    let (chain, exchange) = ([target("a")], exchange());
    let (answer, ()) = tokio::join!(llm.answer(&chain, &exchange, Mode::Whole), async {
        upstream.received().await;
        signal.fire();
    });
    answer.expect("an answer");
}

#[tokio::test]
async fn a_try_takes_no_longer_than_total() {
    for (mode, script) in [
        (Mode::Whole, Script::default().hang()),
        (Mode::Whole, Script::chunked(200, &[]).piece("{").hang()),
        (Mode::Whole, Script::chunked(500, &[]).piece("{").hang()),
        (Mode::Stream, Script::stream().hang()),
        (Mode::Stream, Script::chunked(200, &[("content-type", "application/json")]).piece("{").hang()),
    ] {
        let upstream = Upstream::start().await;
        upstream.next(script);
        is_timeout(&failure(&with_limits(&[&upstream], Limits { total: TINY, ..once() }), mode).await, "total");
        upstream.hung_up().await;
    }
}

#[tokio::test]
async fn a_try_takes_no_longer_than_is_left_to_the_exchange_and_no_fallback_runs_after_it() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.next(Script::default().hang());
    let exchange = Exchange { deadline: Deadline::after(TINY), ..exchange() };
    let error = llm(&[&a, &b]).answer(&[target("a"), target("b")], &exchange, Mode::Stream).await.err().expect("must fail");
    assert!(matches!(&error, Error::Timeout { provider, limit, phase: Phase::Deadline } if provider == "a" && *limit <= TINY), "{error}");
    assert!(error.to_string().ends_with("(limits.http.request_time)"), "{error}");
    assert_eq!(b.connections(), 0);
}

#[tokio::test]
async fn a_stream_takes_no_longer_than_total() {
    let upstream = Upstream::start().await;
    upstream.next(Script::stream().event(&delta("one")).hang());
    let llm = with_limits(&[&upstream], Limits { total: Duration::from_secs(1), ..once() });
    let (text, broken) = drain(streamed(&llm).await).await;
    assert_eq!((text, broken.expect("must break").code), (format!("data: {}\n\n", delta("one")), "deadline"));
    upstream.hung_up().await;
}

#[tokio::test]
async fn a_silent_stream_is_broken_after_idle() {
    let upstream = Upstream::start().await;
    upstream.next(Script::stream().event(&delta("one")).piece("data: {").hang());
    let llm = with_limits(&[&upstream], Limits { idle: TINY, ..once() });
    let (text, broken) = drain(streamed(&llm).await).await;
    assert_eq!((text, broken.expect("must break").code), (format!("data: {}\n\n", delta("one")), "upstream_idle"));
    upstream.hung_up().await;
}

#[tokio::test]
async fn an_event_of_event_bytes_passes_and_one_byte_more_breaks_the_stream() {
    let first = format!("data: {}\n\n", delta("one"));
    let long = |more: usize| format!("data: {}\n\n", delta(&"x".repeat(100 + more)));
    let event_bytes = long(0).len();
    for (more, code) in [(0, None), (1, Some("event_too_large"))] {
        let upstream = Upstream::start().await;
        let large = long(more);
        upstream.next(Script::stream().piece(&first).piece(&large).event(&finish()).event("[DONE]").end());
        let llm = with_limits(&[&upstream], Limits { event_bytes, ..once() });
        let (text, broken) = drain(streamed(&llm).await).await;
        assert_eq!(broken.map(|broken| broken.code), code);
        let expected = if more == 0 { format!("{first}{large}data: {}\n\ndata: [DONE]\n\n", finish()) } else { first.clone() };
        assert_eq!(text, expected);
    }
}

#[tokio::test]
async fn a_first_event_over_event_bytes_is_garbled() {
    let event = format!("data: {}\n\n", delta("one"));
    for (script, event_bytes) in
        [(Script::stream().piece(&event).hang(), event.len() - 1), (Script::stream().piece("data: no end").hang(), 11)]
    {
        let upstream = Upstream::start().await;
        upstream.next(script);
        let error = failure(&with_limits(&[&upstream], Limits { event_bytes, ..once() }), Mode::Stream).await;
        assert!(matches!(&error, Error::InvalidReply { cause, .. } if cause.contains("limits.providers.event_bytes")), "{error}");
        upstream.hung_up().await;
    }
}

#[tokio::test]
async fn a_reply_of_reply_bytes_passes_and_one_byte_more_does_not() {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#;
    let json = [("content-type", "application/json")];
    let announced = Script::reply(200, &json, body);
    let (one, two) = body.split_at(9);
    let unannounced = Script::chunked(200, &json).piece(one).piece(two).end();
    for script in [announced, unannounced] {
        for mode in [Mode::Whole, Mode::Stream] {
            let upstream = Upstream::start().await;
            upstream.always(script.clone());
            let llm = with_limits(&[&upstream], Limits { reply_bytes: body.len(), ..once() });
            llm.answer(&[target("a")], &exchange(), mode).await.expect("an answer");
            let llm = with_limits(&[&upstream], Limits { reply_bytes: body.len() - 1, ..once() });
            let error = failure(&llm, mode).await;
            assert!(matches!(&error, Error::InvalidReply { cause, .. } if cause.contains("limits.providers.reply_bytes")), "{error}");
        }
    }
}

#[tokio::test]
async fn an_endless_error_body_is_read_up_to_its_limit() {
    let upstream = Upstream::start().await;
    let endless = Script::chunked(500, &[]).piece("why ".repeat(8 << 10)).piece("why ".repeat(8 << 10)).hang();
    upstream.next(endless);
    let error = failure(&llm(&[&upstream]), Mode::Whole).await;
    assert!(matches!(&error, Error::Status { status: 500, message, .. } if message.starts_with("why why")), "{error}");
    upstream.hung_up().await;
}

#[tokio::test]
async fn no_more_than_idle_connections_are_kept() {
    for (idle_connections, expected) in [(0, 4), (1, 3), (2, 2)] {
        let upstream = Upstream::start().await;
        let llm = with_limits(&[&upstream], Limits { idle_connections, ..once() });
        for _ in 0..2 {
            let signals = [Signal::default(), Signal::default()];
            for signal in &signals {
                upstream.next(Script::default().wait(signal).raw("HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"choices\":[]}"));
            }
            let (chain, exchange) = ([target("a")], exchange());
            let ask = || llm.answer(&chain, &exchange, Mode::Whole);
            let (one, two, ()) = tokio::join!(ask(), ask(), async {
                upstream.received().await;
                upstream.received().await;
                signals.iter().for_each(Signal::fire);
            });
            assert!(one.is_ok() && two.is_ok());
        }
        assert_eq!(upstream.connections(), expected, "{idle_connections} kept");
    }
}

#[tokio::test]
async fn what_comes_before_the_first_event_takes_no_more_than_event_bytes() {
    let event = format!("data: {}\n\n", delta("one"));
    let event_bytes = 1_024;
    let pings = |bytes: usize| format!("{}: {}\n\n", ": ping\n\n".repeat(100), "x".repeat(bytes - 804));
    let upstream = Upstream::start().await;
    upstream.next(Script::stream().piece(pings(event_bytes)).piece(&event).event(&finish()).event("[DONE]").end());
    let (text, broken) = drain(streamed(&with_limits(&[&upstream], Limits { event_bytes, ..once() })).await).await;
    assert!(broken.is_none() && text.contains(&event), "{text}");
    upstream.next(Script::stream().piece(pings(event_bytes + 1)).hang());
    let error = failure(&with_limits(&[&upstream], Limits { event_bytes, ..once() }), Mode::Stream).await;
    assert!(matches!(&error, Error::InvalidReply { cause, .. } if cause.contains("limits.providers.event_bytes")), "{error}");
    upstream.hung_up().await;
}

#[tokio::test]
async fn a_silent_stream_whose_reply_is_whole_ends_well_after_idle() {
    let upstream = Upstream::start().await;
    upstream.next(Script::stream().event(&delta("one")).event(&finish()).hang());
    let llm = with_limits(&[&upstream], Limits { idle: TINY, ..once() });
    let (text, broken) = drain(streamed(&llm).await).await;
    assert_eq!(
        (text, broken.map(|broken| broken.code)),
        (format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", delta("one"), finish()), None)
    );
    upstream.hung_up().await;
}
