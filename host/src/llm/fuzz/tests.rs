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
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/llm").join(adapter).join("golden");
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
    check(openai, &recorded(&["shaped"], "events.sse"));
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
    check(framer, &recorded(&["shaped", "anthropic"], "events.sse"));
}

#[test]
fn whole_replies_keep_the_promises_whatever_comes() {
    check(whole, &recorded(&["shaped", "azure", "anthropic", "gemini", "workers"], "reply.json"));
}

#[test]
fn every_dialect_survives_the_streams_of_the_others() {
    for seed in recorded(&["shaped", "azure", "anthropic", "gemini", "workers"], "events.sse") {
        [openai, azure, anthropic, gemini, workers].iter().for_each(|target| target(&seed));
    }
}
