//! Any split of the bytes gives the same events, and no cut leaves half an event.

use proptest::prelude::*;

use super::*;

/// What comes out of a framer that reads `bytes` in pieces cut at `cuts`, and how it ended.
fn framed(bytes: &[u8], cuts: &[usize], event_bytes: usize) -> (Vec<Bytes>, Option<End>) {
    let mut framer = Framer::new(event_bytes);
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    bounds.sort_unstable();
    let reads = bounds.windows(2).map(|w| Bytes::copy_from_slice(&bytes[w[0]..w[1]]));
    let pieces = reads.filter_map(|read| framer.push(read)).collect();
    (pieces, framer.end())
}

fn data(bytes: &[u8]) -> Vec<Vec<u8>> {
    events(bytes).filter_map(|event| event.data).map(Cow::into_owned).collect()
}

/// Text in, the data of its events out, by the plain reading of the standard.
fn by_the_book(text: &str) -> Vec<Vec<u8>> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let mut out = Vec::new();
    let mut data: Vec<&str> = Vec::new();
    for line in lines {
        if line.is_empty() && !data.is_empty() {
            out.push(data.join("\n").into_bytes());
            data.clear();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        }
    }
    out
}

/// Pieces of event streams, so that random strings are dense in what matters.
fn streams() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "data: ",
        "data:",
        "data",
        "{\"a\":1}",
        "[DONE]",
        "[DONE",
        "\n",
        "\n",
        "\r",
        "\r\n",
        "\r\n\r\n",
        "\n\n",
        ": ping",
        "event: x",
        "id:1",
        "é",
        "漢字",
        " ",
        "x",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(text in streams(), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let (whole, whole_end) = framed(text.as_bytes(), &[], usize::MAX);
        let (split, split_end) = framed(text.as_bytes(), &cuts, usize::MAX);
        prop_assert_eq!(split_end, whole_end);
        let expected = data(&whole.concat());
        let got: Vec<Vec<u8>> = split.iter().flat_map(|piece| data(piece)).collect();
        prop_assert_eq!(&got, &expected);
        prop_assert_eq!(data(&split.concat()), expected);
        prop_assert!(text.as_bytes().starts_with(&split.concat()));
        prop_assert!(split.iter().all(|piece| matches!(piece.last(), Some(b'\n' | b'\r'))));
    }

    #[test]
    fn events_are_those_of_the_standard(text in streams()) {
        prop_assert_eq!(data(text.as_bytes()), by_the_book(&text));
        let mut until_done = by_the_book(&text);
        let done = until_done.iter().position(|data| data.trim_ascii() == b"[DONE]");
        until_done.truncate(done.map_or(usize::MAX, |at| at + 1));
        let (pieces, end) = framed(text.as_bytes(), &[], usize::MAX);
        prop_assert_eq!(data(&pieces.concat()), until_done);
        prop_assert_eq!(end, done.map(|_| End::Done));
    }

    #[test]
    fn the_size_limit_does_not_depend_on_the_split(
        text in streams(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        limit in 0_usize..30,
    ) {
        let (whole, whole_end) = framed(text.as_bytes(), &[], limit);
        let (split, split_end) = framed(text.as_bytes(), &cuts, limit);
        prop_assert_eq!(split_end, whole_end);
        prop_assert_eq!(data(&split.concat()), data(&whole.concat()));
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let bytewise: Vec<usize> = (0..text.len()).collect();
    for cuts in [&[][..], &bytewise] {
        let (pieces, _) = framed(text.as_bytes(), cuts, usize::MAX);
        let got: Vec<Vec<u8>> = pieces.iter().flat_map(|piece| data(piece)).collect();
        assert_eq!(got, expected.iter().map(|e| e.as_bytes().to_vec()).collect::<Vec<_>>(), "{text:?}");
    }
}

#[test]
fn every_line_end_and_field_form_is_read() {
    check("data: a\n\ndata:b\n\n", &["a", "b"]);
    check("data: a\r\n\r\ndata:  b\r\n\r\n", &["a", " b"]);
    check("data: a\r\rdata: b\r\r", &["a", "b"]);
    check("data: a\r\n\ndata: b\n\r\n", &["a", "b"]);
    check(": ping\n\nevent: x\nid: 7\ndata: a\n\n\n\n", &["a"]);
    check("data: one\ndata: two\ndata\n\n", &["one\ntwo\n"]);
    check("dataset: no\n\ndata: 漢字é\n\n", &["漢字é"]);
    check("data: never ended\n", &[]);
}

#[test]
fn bytes_behind_the_last_event_end_are_held_back() {
    let mut framer = Framer::new(100);
    assert_eq!(framer.push(Bytes::from_static(b"data: 1\n\ndata: 2\n\ndata: {\"half")).as_deref(), Some(&b"data: 1\n\ndata: 2\n\n"[..]));
    assert_eq!(framer.push(Bytes::from_static(b"\":1}\n")), None);
    assert_eq!(framer.push(Bytes::from_static(b"\n")).as_deref(), Some(&b"data: {\"half\":1}\n\n"[..]));
}

#[test]
fn whole_events_are_forwarded_without_a_copy() {
    let read = Bytes::from_static(b"data: 1\n\n");
    let piece = Framer::new(100).push(read.clone()).expect("one event");
    assert_eq!(piece.as_ptr(), read.as_ptr());
}

#[test]
fn done_ends_the_stream_only_as_the_whole_data_of_an_event() {
    for text in ["data: [DONE]\n\n", "data:[DONE]\r\n\r\n", "event: end\ndata: [DONE] \n\n", "data\ndata: [DONE]\n: ping\ndata: \n\n"] {
        assert_eq!(framed(text.as_bytes(), &[], 100).1, Some(End::Done), "{text:?}");
    }
    for text in
        ["data: [DONE]\n", ": [DONE]\n\n", "data: [DONE]\ndata: x\n\n", "data: x\ndata: [DONE]\n\n", "data: \"[DONE]\"\n\n", "[DONE]\n\n"]
    {
        assert_eq!(framed(text.as_bytes(), &[], 100).1, None, "{text:?}");
    }
    let (pieces, _) = framed(b"data: [DONE]\n\ndata: late\n\n", &[], 100);
    assert_eq!(pieces.concat(), b"data: [DONE]\n\n");
}

#[test]
fn an_event_of_the_limit_passes_and_one_byte_more_does_not() {
    let small = "data: 0\n\n";
    let event = "data: 12345678\n\n";
    let text = [small, event].concat();
    assert_eq!(framed(text.as_bytes(), &[], event.len()), (vec![Bytes::from(text.clone())], None));
    let over = (vec![Bytes::from(small)], Some(End::TooLarge));
    assert_eq!(framed(text.as_bytes(), &[], event.len() - 1), over);
    let endless = [small, "data: 123456789"].concat();
    assert_eq!(framed(endless.as_bytes(), &[], 14), over);
    assert_eq!(framed(endless.as_bytes(), &[], 15), (over.0, None));
}

#[test]
fn an_event_is_one_data_line_and_a_blank_one() {
    assert_eq!(&event(None, br#"{"a":1}"#)[..], b"data: {\"a\":1}\n\n");
    assert_eq!(&event(Some("a.b"), b"{}")[..], b"event: a.b\ndata: {}\n\n");
    assert_eq!(&event(None, b"{\n\r\n\"a\\n\":1}\n")[..], b"data: {   \"a\\n\":1} \n\n");
}

#[test]
fn the_end_mark_is_seen_with_any_line_ends() {
    let ends = |text: &str| events(text.as_bytes()).filter_map(|event| event.data).any(|data| is_done(&data));
    for piece in ["data: [DONE]\n\n", "data: {}\r\n\r\ndata:[DONE]\r\n\r\n", "data: [DONE]\n\r\n"] {
        assert!(ends(piece), "{piece}");
    }
    assert!(!ends("data: {}\n\n"));
    assert_eq!(framed(DONE, &[], 100).1, Some(End::Done));
}
