//! Every recorded stream, and hundreds of mutations of each, through the targets that fuzzers use; and the first items of the conformance list,
//! which are about bytes and so hold for every dialect.

use std::fs;
use std::path::Path;

use proptest::prelude::{ProptestConfig, any, prop};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;

/// Mutations of each seed. More are for `just fuzz`.
const MUTATIONS: u32 = 120;

/// What turns one field into another, a number into nothing, an event into two.
const WORDS: &[&str] = &[
    "null",
    "0",
    "-1",
    "1e999",
    "\"\"",
    "[]",
    "{}",
    "true",
    "\"stop\"",
    "\"\\ud800\"",
    "4294967296",
    "\n\n",
    "\r\n\r\n",
    "\r",
    "data: ",
    "data:\n",
    ": ping\n\n",
    "data: [DONE]\n\n",
    "\"usage\":{\"prompt_tokens\":1},",
    "\"finish_reason\":\"stop\",",
    "\"index\":1,",
    "\"id\":\"x\",",
    "[{}]",
    "\"delta\":null,",
    "\"choices\":[],",
    "{\"index\":0},",
    "\u{feff}",
    "漢",
];

/// The recorded files of that name below these adapters' folders.
fn recorded(adapters: &[&str], file: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for adapter in adapters {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/llm/providers").join(adapter).join("golden");
        let cases = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let mut paths: Vec<_> = cases.map(|case| case.expect("a readable folder").path().join(file)).collect();
        paths.sort();
        found.extend(paths.iter().filter_map(|path| fs::read(path).ok()));
    }
    assert!(!found.is_empty(), "no {file} below {adapters:?}");
    found
}

/// One change to the text: of bytes, of words, or of whole events.
fn mutate(text: &mut Vec<u8>, kind: u8, at: usize, with: usize) {
    let place = at % (text.len() + 1);
    let blank =
        |from: usize, text: &[u8]| text[from..].windows(2).position(|two| two == b"\n\n").map_or(text.len(), |found| from + found + 2);
    match kind % 7 {
        0 if place < text.len() => text[place] = u8::try_from(with % 256).expect("below 256"),
        1 => drop(text.drain(place..(place + with % 40).min(text.len()))),
        2 => drop(text.splice(place..place, WORDS[with % WORDS.len()].bytes())),
        // The value of a field.
        3 => {
            let Some(colon) = text[place..].iter().position(|byte| *byte == b':') else { return };
            let begin = place + colon + 1;
            let end = text[begin..].iter().position(|byte| matches!(byte, b',' | b'}' | b'\n')).map_or(text.len(), |end| begin + end);
            drop(text.splice(begin..end, WORDS[with % WORDS.len()].bytes()));
        }
        // An event again, somewhere else, or no more.
        kind => {
            let (begin, target) = (blank(place, text), blank(with % (text.len() + 1), text));
            let end = blank(begin, text);
            let event = text[begin..end].to_vec();
            if kind != 4 {
                text.drain(begin..end);
            }
            if kind != 5 {
                let target = target.min(text.len());
                text.splice(target..target, event);
            }
        }
    }
}

/// Every seed as it is, and mutated; the same mutations in every run.
fn check(target: fn(&[u8]), seeds: &[Vec<u8>]) {
    seeds.iter().for_each(|seed| target(seed));
    let config = ProptestConfig { cases: MUTATIONS, failure_persistence: None, ..ProptestConfig::default() };
    let changes = prop::collection::vec((any::<u8>(), any::<usize>(), any::<usize>()), 1..6);
    for seed in seeds {
        let mut runner = TestRunner::new_with_rng(config.clone(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let ran = runner.run(&changes, |changes| {
            let mut text = seed.clone();
            changes.iter().for_each(|(kind, at, with)| mutate(&mut text, *kind, *at, *with));
            let shown = String::from_utf8_lossy(&text).into_owned();
            let fine = std::panic::catch_unwind(|| target(&text));
            fine.map_err(|panic| {
                let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                proptest::test_runner::TestCaseError::fail(format!("{why}\n--- input\n{shown}"))
            })
        });
        ran.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn openai_streams_keep_the_promises_whatever_comes() {
    check(openai, &recorded(&["openai"], "events.sse"));
}

#[test]
fn azure_streams_keep_the_promises_whatever_comes() {
    check(azure, &recorded(&["azure"], "events.sse"));
}

#[test]
fn anthropic_streams_keep_the_promises_whatever_comes() {
    check(anthropic, &recorded(&["anthropic"], "events.sse"));
}

#[test]
fn gemini_streams_keep_the_promises_whatever_comes() {
    check(gemini, &recorded(&["gemini"], "events.sse"));
}

#[test]
fn workers_streams_keep_the_promises_whatever_comes() {
    check(workers, &recorded(&["workers"], "events.sse"));
}

#[test]
fn no_bytes_confuse_the_framer() {
    check(framer, &recorded(&["openai", "anthropic"], "events.sse"));
}

#[test]
fn whole_replies_keep_the_promises_whatever_comes() {
    check(whole, &recorded(&["openai", "azure", "anthropic", "gemini", "workers"], "reply.json"));
}

#[test]
fn every_dialect_survives_the_streams_of_the_others() {
    for seed in recorded(&["openai", "azure", "anthropic", "gemini", "workers"], "events.sse") {
        [openai, azure, anthropic, gemini, workers].iter().for_each(|target| target(&seed));
    }
}

/// What clients cannot read, in shapes that mutations hardly find.
#[test]
fn choices_that_are_none_reach_nobody() {
    for choices in [
        r#"[[0,{"role":"assistant","content":"x"},null,"stop",null]]"#,
        r#"[{"index":0,"delta":{"role":"assistant","tool_calls":[[0,"a",{"name":"f","arguments":""},null,null]]}}]"#,
        r#"[{},{"delta":{"content":"x"}}]"#,
        r#"[{"index":0,"delta":{"content":"x"}},{"logprobs":null}]"#,
        r#"[{"index":-1,"delta":[]},{"index":1.5,"finish_reason":7}]"#,
        r#"[{"index":0,"index":1,"delta":{"content":"x"}}]"#,
        r#"[{"index":0,"delta":{"role":"assistant","tool_calls":[{},{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]"#,
        r#"[{"index":0,"delta":{"tool_calls":[{}, {},{"id":"a","function":{"name":"f"}} , {}, {"id":"b","function":{"name":"g"}},{},{}]}}]"#,
    ] {
        for end in ["", ",\"usage\":{\"prompt_tokens\":1}"] {
            let input = format!("data: {{\"choices\":{choices}{end}}}\n\ndata: [DONE]\n\n");
            [openai, azure, workers].iter().for_each(|target| target(input.as_bytes()));
        }
        for begin in ["\"usage\":null", "\"usage\":{\"prompt_tokens\":1}", "\"obfuscation\":\"x\""] {
            let input = format!("data: {{{begin},\"choices\":{choices}}}\n\ndata: [DONE]\n\n");
            [openai, azure, workers].iter().for_each(|target| target(input.as_bytes()));
        }
    }
}

#[test]
fn an_event_in_several_lines_goes_on_in_one_or_as_it_came() {
    let input = "data: {\"choices\":\ndata: [{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n";
    for target in [openai, azure, workers] {
        target(input.as_bytes());
    }
    let found = decoded(reading(&like_openai(), PLAIN, false), named(), false, input.as_bytes(), &[]);
    assert_eq!((found.ended, events(&found.out).count()), (Ended::Well, 3));
}

#[test]
fn bytes_that_are_no_text_reach_nobody() {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":\"stop\"}]}";
    let input = [b": \xff\n\nevent: \xff\n", event.as_bytes(), b"\n\ndata: [DONE]\n\n"].concat();
    let found = decoded(reading(&like_openai(), PLAIN, false), named(), false, &input, &[]);
    let text = String::from_utf8(found.out).expect("UTF-8");
    assert!(text.starts_with("data: {") && text.ends_with("data: [DONE]\n\n"), "{text}");
}

const TEXT: &str = "漢字 é 😀";

/// A stream of every dialect that says [`TEXT`].
fn spoken() -> [(&'static str, Box<dyn Dialect>, String); 6] {
    let openai = format!(
        "data: {{\"id\":\"a\",\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"{TEXT}\"}},\"finish_reason\":null}}]}}\n\n\
         data: {{\"id\":\"a\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
    );
    let anthropic = format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"a\",\"model\":\"m\"}}}}\n\n\
         event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"\"}}}}\n\n\
         event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{TEXT}\"}}}}\n\n\
         event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
    );
    let gemini = format!(
        "data: {{\"candidates\":[{{\"index\":0,\"content\":{{\"parts\":[{{\"text\":\"{TEXT}\"}}]}}}}]}}\n\n\
         data: {{\"candidates\":[{{\"index\":0,\"finishReason\":\"STOP\"}}]}}\n\n"
    );
    let native = format!("data: {{\"response\":\"{TEXT}\"}}\n\ndata: [DONE]\n\n");
    [
        ("openai", Box::new(like_openai()), openai.clone()),
        ("azure", Box::new(like_azure()), openai.clone()),
        ("anthropic", Box::new(anthropic::Anthropic::new(&anthropic::AnthropicOptions::default())), anthropic),
        ("gemini", Box::new(gemini::Gemini::new()), gemini),
        ("workers", Box::new(workers::Workers { native: true }), native),
        ("workers, compatible", Box::new(workers::Workers { native: false }), openai),
    ]
}

/// The text that a client reads of `input` cut at `cuts`; the stream keeps the promises and ends well.
fn read(dialect: &dyn Dialect, input: &[u8], cuts: &[usize]) -> String {
    let found = decoded(reading(dialect, PLAIN, true), named(), true, input, cuts);
    assert_eq!(found.ended, Ended::Well);
    let kind = if matches!(reading(dialect, PLAIN, true), Decoding::OpenAi(_)) { Kind::Forwarded } else { Kind::Written };
    let chunks = judge(&found, kind, true).into_iter().filter(|data| data != "[DONE]");
    let chunks = chunks.map(|data| serde_json::from_str::<serde_json::Value>(&data).expect("a chunk"));
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[test]
fn c01_a_character_split_over_two_reads_stays_one_in_every_dialect() {
    for (name, dialect, stream) in spoken() {
        for cut in 0..=stream.len() {
            assert_eq!(read(&*dialect, stream.as_bytes(), &[cut]), TEXT, "{name} cut at {cut}");
        }
    }
}

#[test]
fn c02_an_event_split_over_five_reads_is_one_event_in_every_dialect() {
    for (name, dialect, stream) in spoken() {
        let at = stream.find(TEXT).expect("it is there") - 8;
        for width in 1..8 {
            let cuts: Vec<usize> = (0..4).map(|cut| at + cut * width).collect();
            assert_eq!(read(&*dialect, stream.as_bytes(), &cuts), TEXT, "{name} in reads of {width}");
        }
    }
}

#[test]
fn c03_lines_that_end_in_crlf_are_lines_in_every_dialect() {
    for (name, dialect, stream) in spoken() {
        for end in ["\r\n", "\r"] {
            let stream = stream.replace('\n', end);
            let every: Vec<usize> = (1..stream.len()).collect();
            for cuts in [&[][..], &every] {
                assert_eq!(read(&*dialect, stream.as_bytes(), cuts), TEXT, "{name} with {end:?}");
            }
        }
    }
}

#[test]
fn c04_data_needs_no_space_before_it_in_any_dialect() {
    for (name, dialect, stream) in spoken() {
        assert_eq!(read(&*dialect, stream.replace("data: ", "data:").as_bytes(), &[]), TEXT, "{name}");
    }
}

#[test]
fn c05_comments_and_pings_say_nothing_in_any_dialect() {
    let between = "\n\n: keep-alive\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: lonely\n\ndata:\n\n";
    for (name, dialect, stream) in spoken() {
        assert_eq!(read(&*dialect, stream.replace("\n\n", between).as_bytes(), &[]), TEXT, "{name}");
    }
}
