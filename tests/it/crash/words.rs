//! The texts of the crash tests and a model that tells each of them from every other, in microseconds: a static one, for which a word is the sum
//! of its pairs of letters. Invariant: every chunk of a version has the version's word, and no other text has it.

use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

const CONSONANTS: [char; 18] = ['b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 't', 'v', 'w', 'x'];
/// What the pairs of a word begin with, place by place, so that no two words have the same pairs.
const FIRST: [[char; 6]; 3] = [['B', 'C', 'D', 'F', 'G', 'H'], ['J', 'K', 'L', 'M', 'N', 'P'], ['Q', 'R', 'T', 'V', 'W', 'X']];
const PARTS: [char; 3] = ['Z', 'Y', 'S'];
const PAIRS: u32 = 6 * 18;
const WORDS: u32 = PAIRS * PAIRS * PAIRS;
const DIMENSIONS: usize = 32;

/// One form of a document, unlike every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    pub number: u32,
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    pub sections: u32,
    pub markdown: bool,
}

/// The word of a number below `WORDS`; two numbers that follow each other have little in common.
pub fn word(number: u32) -> String {
    assert!(number < WORDS, "there is a word for each number");
    let mut rest = u64::from(number) * 48_271 % u64::from(WORDS);
    let mut word = String::new();
    for first in FIRST {
        let pair = (rest % u64::from(PAIRS)) as usize;
        rest /= u64::from(PAIRS);
        word.extend([first[pair / CONSONANTS.len()], CONSONANTS[pair % CONSONANTS.len()]]);
    }
    word
}

fn part(section: u32) -> String {
    let digits = [section % 18, section / 18 % 18, section / 324];
    PARTS.iter().zip(digits).flat_map(|(first, digit)| [*first, CONSONANTS[digit as usize]]).collect()
}

impl Version {
    pub fn word(self) -> String {
        word(self.number)
    }

    /// Sections, each long enough that two do not fit into one chunk.
    pub fn text(self) -> String {
        let word = self.word();
        let section = |section: u32| {
            let part = part(section);
            let text = format!("{word} says that gauge {part} stood high that day. ").repeat(6);
            if self.shape.markdown { format!("# Part {part} of {word}\n\n{text}\n\n") } else { format!("{text}\n\n") }
        };
        (0..self.shape.sections).map(section).collect()
    }

    /// Of its text, as the list of documents has it.
    pub fn sha256(self) -> String {
        Sha256::digest(self.text()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Of a server with one API `kb`, whose folder has the model in `model`.
pub fn config(folder: &Path) -> String {
    let model = folder.join("model");
    format!(
        r#"
        [rag]
        embedder = "fast"
        [rag.embedders.fast]
        kind = "static"
        path = {model:?}
        [[pipelines]]
        id = "kb"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }} ]
        "#
    )
}

/// Writes the model into a folder.
pub fn model(folder: &Path) {
    let pairs = FIRST.into_iter().flatten().chain(PARTS).flat_map(|first| CONSONANTS.map(|second| format!("{first}{second}")));
    let mut vocabulary: Map<String, Value> = Map::from_iter([("[UNK]".to_owned(), 0.into())]);
    vocabulary.extend(pairs.zip(1..).map(|(pair, at)| (pair, at.into())));
    let count = vocabulary.len();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "post_processor": null, "decoder": null,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[A-Z][a-z]"}, "behavior": "Isolated", "invert": false},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    let mut random = fastrand::Rng::with_seed(7);
    let numbers: Vec<u8> = (0..count * DIMENSIONS).flat_map(|_| (random.f32() - 0.5).to_le_bytes()).collect();
    // The format of safetensors: the length of a head of JSON, the head, the numbers.
    let head = json!({"embeddings": {"dtype": "F32", "shape": [count, DIMENSIONS], "data_offsets": [0, numbers.len()]}}).to_string();
    let file = [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &numbers].concat();
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).expect("written");
    std::fs::write(folder.join("model.safetensors"), file).expect("written");
}

#[test]
fn no_two_numbers_have_one_word() {
    let words: std::collections::HashSet<String> = (0..20_000).chain(WORDS - 20_000..WORDS).map(word).collect();
    assert_eq!(words.len(), 40_000);
}
