//! Golden cases of the adapters: what goes in and what must come out, as files that are written from the vendors' documents.
//! A case is a folder `host/src/llm/<adapter>/golden/<case>/` with at least one of three pairs; files that are not there are passed over:
//! `ask.json` (an OpenAI body) and `wire.json` (`path`, `headers`, `body`); `reply.json` and `completion.json`; `events.sse` and `chunks.json`.
//! Without `ask.json` a reply answers a plain question. The string `<any>` in what is expected stands for any string.
//! Must not know any vendor. Tests only.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::{ProptestConfig, prop};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::adapter::{CompletionRequest, Decoding, Dialect, HttpRequest, Unsupported};
use super::providers::openai::Verdict;
use crate::chat::codec::{ChatRequest, parse_request, to_json};
use crate::chat::sse::{Framer, events};
use crate::chat::{ChunkWriter, Delta, Name, Whole};

/// The names that a case may use for its files.
const FILES: [&str; 6] = ["ask.json", "wire.json", "reply.json", "completion.json", "events.sse", "chunks.json"];

/// What a case asks that has no `ask.json`.
const PLAIN: &str =
    r#"{"model": "some-model", "messages": [{"role": "user", "content": "Hi"}], "stream_options": {"include_usage": true}}"#;

/// The id and the time that a reply gets where the vendor gives none.
const ID: &str = "chatcmpl-golden";
const CREATED: u64 = 1_700_000_000;

const EVENT_BYTES: usize = 4 << 20;

/// Checks every case of `adapter`, a folder beside this file, and fails with all differences.
#[track_caller]
pub(super) fn check(dialect: &dyn Dialect, adapter: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/llm/providers").join(adapter).join("golden");
    let cases = listed(&dir);
    assert!(!cases.is_empty(), "{} holds no case", dir.display());
    let findings: Vec<String> = cases.iter().flat_map(|case| Case::open(case).check(dialect)).collect();
    assert!(findings.is_empty(), "{} differences\n{}", findings.len(), findings.join("\n"));
}

fn listed(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    paths
}

/// One case: its name, and the request that its reply answers.
struct Case {
    dir: PathBuf,
    name: String,
    request: ChatRequest,
}

/// What was made of a stream.
struct Decoded {
    /// Deltas or chunks in a form that can be compared.
    compared: String,
    /// What a client gets.
    chunks: Vec<Value>,
    /// Each choice has its finish reason.
    finished: bool,
    complete: bool,
}

impl Case {
    fn open(dir: &Path) -> Self {
        let name = |path: &Path| path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        for file in listed(dir) {
            assert!(FILES.contains(&&*name(&file)), "{}: a case has only {FILES:?}", file.display());
        }
        let ask = fs::read(dir.join("ask.json")).unwrap_or_else(|_| PLAIN.into());
        let request = parse_request(&ask).unwrap_or_else(|error| panic!("{}: ask.json: {error}", dir.display()));
        Self { dir: dir.to_owned(), name: name(dir), request }
    }

    /// All that is not as the files say.
    fn check(&self, dialect: &dyn Dialect) -> Vec<String> {
        let mut findings = Vec::new();
        let mut pairs = 0;
        if let Some(expected) = self.json("wire.json") {
            assert!(self.dir.join("ask.json").exists(), "{}: wire.json without ask.json", self.name);
            pairs += 1;
            findings.extend(self.compare("wire.json", &expected, &written(&self.asked(dialect).0)));
        }
        if let Some((reply, expected)) = self.bytes("reply.json").zip(self.json("completion.json")) {
            pairs += 1;
            let whole = match self.asked(dialect).1 {
                Decoding::Translated(mut reader) => reader.whole(&reply).map(Whole::Parsed),
                Decoding::OpenAi(mut normalizer) => normalizer.whole(&reply.into()),
            };
            let found = match whole.unwrap_or_else(|bad| panic!("{}: reply.json: {bad:?}", self.name)) {
                Whole::Parsed(completion) => to_json(&completion),
                Whole::Raw(bytes) => bytes,
            };
            let found = serde_json::from_slice(&found).expect("a completion is JSON");
            findings.extend(self.compare("completion.json", &expected, &found));
        }
        if let Some((stream, expected)) = self.bytes("events.sse").zip(self.json("chunks.json")) {
            pairs += 1;
            let decoded = self.streamed(dialect, &stream, &[]);
            assert!(decoded.complete, "{}: events.sse does not come to its end", self.name);
            findings.extend(self.compare("chunks.json", &expected, &Value::Array(decoded.chunks)));
            self.grows(dialect, &stream);
            self.survives_splits(dialect, &stream, &decoded.compared);
        }
        assert!(pairs > 0, "{}: a case needs one of its pairs whole: {FILES:?}", self.name);
        findings
    }

    fn bytes(&self, file: &str) -> Option<Vec<u8>> {
        fs::read(self.dir.join(file)).ok()
    }

    fn json(&self, file: &str) -> Option<Value> {
        let bytes = self.bytes(file)?;
        Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {file}: {error}", self.name)))
    }

    fn named(&self) -> Name {
        Name { id: ID.into(), model: self.request.model.clone(), created: CREATED }
    }

    fn asked(&self, dialect: &dyn Dialect) -> (HttpRequest, Decoding) {
        let ChatRequest { model, messages, params, stream, .. } = &self.request;
        let (stream, name, unsupported) = (*stream, self.named(), Unsupported::Refuse);
        let asked = dialect.encode_chat(&CompletionRequest { model, messages, params, stream, unsupported, name });
        asked.unwrap_or_else(|unfit| panic!("{}: ask.json is refused: {unfit:?}", self.name))
    }

    /// What is made of `stream`, read in pieces cut at `cuts`.
    fn streamed(&self, dialect: &dyn Dialect, stream: &[u8], cuts: &[usize]) -> Decoded {
        let mut bounds: Vec<usize> = cuts.iter().copied().chain([0, stream.len()]).collect();
        bounds.sort_unstable();
        let mut framer = Framer::new(EVENT_BYTES);
        let reads = bounds.windows(2).map(|bound| Bytes::copy_from_slice(&stream[bound[0]..bound[1]]));
        let whole: Vec<Bytes> = reads.filter_map(|read| framer.push(read)).collect();
        let datas: Vec<_> = whole.iter().flat_map(|whole| datas(whole)).collect();
        self.read(dialect, &datas)
    }

    fn read(&self, dialect: &dyn Dialect, events: &[impl AsRef<[u8]>]) -> Decoded {
        let unread = |at: usize, bad| panic!("{}: event {at} of events.sse: {bad:?}", self.name);
        let mut normalizer = match self.asked(dialect).1 {
            Decoding::OpenAi(normalizer) => normalizer,
            Decoding::Translated(mut reader) => {
                let mut deltas = Vec::new();
                for (at, data) in events.iter().enumerate() {
                    reader.event(data.as_ref(), &mut deltas).unwrap_or_else(|bad| unread(at, bad));
                }
                let complete = reader.end(&mut deltas);
                let (chunks, finished) = self.chunks(&deltas);
                return Decoded { compared: format!("{deltas:?}"), chunks, finished, complete };
            }
        };
        let mut texts = Vec::new();
        let mut done = false;
        for (at, data) in events.iter().map(AsRef::as_ref).enumerate() {
            done |= data == b"[DONE]";
            match if done { Ok(Verdict::Dropped) } else { normalizer.event(data) } {
                Ok(Verdict::AsIs) => texts.push(data.to_vec()),
                Ok(Verdict::Rewritten(text)) => texts.push(text),
                Ok(Verdict::Dropped) => {}
                Err(bad) => unread(at, bad),
            }
        }
        let complete = done || normalizer.finished();
        if complete {
            texts.extend(std::iter::from_fn(|| normalizer.end()));
        }
        let chunks = texts.iter().map(|text| serde_json::from_slice(text).expect("a chunk is JSON")).collect();
        Decoded { compared: format!("{texts:?}"), chunks, finished: normalizer.finished(), complete }
    }

    /// The chunks that a client gets, and whether each choice has finished.
    fn chunks(&self, deltas: &[Delta]) -> (Vec<Value>, bool) {
        let options = self.request.params.iter().find(|(name, _)| name == "stream_options");
        let options: Option<Value> = options.and_then(|(_, options)| serde_json::from_str(options.get()).ok());
        let mut writer = ChunkWriter::new(self.named(), options.is_some_and(|options| options["include_usage"] == true));
        let mut chunks = Vec::new();
        let mut sink = |json: &str| chunks.push(serde_json::from_str(json).expect("a chunk is JSON"));
        for delta in deltas {
            writer.write(delta.clone(), &mut sink);
        }
        writer.end(&mut sink);
        let finished = writer.finished();
        (chunks, finished)
    }

    /// A stream that breaks off behind any of its events is no complete one unless its choices have finished.
    fn grows(&self, dialect: &dyn Dialect, stream: &[u8]) {
        let datas: Vec<_> = datas(stream).collect();
        for until in 0..=datas.len() {
            let decoded = self.read(dialect, &datas[..until]);
            assert!(decoded.finished || !decoded.complete, "{}: taken for complete after {until} of {} events", self.name, datas.len());
        }
    }

    /// Whatever the reads and the line ends look like, the same is decoded.
    fn survives_splits(&self, dialect: &dyn Dialect, stream: &[u8], expected: &str) {
        let text = std::str::from_utf8(stream).expect("golden files are UTF-8");
        let ends: Vec<Vec<u8>> = ["\n", "\r\n", "\r"].map(|end| text.replace('\n', end).into_bytes()).into();
        for stream in &ends {
            for cut in 0..=stream.len() {
                let decoded = self.streamed(dialect, stream, &[cut]);
                assert!(decoded.complete && decoded.compared == expected, "{}: other deltas when cut at byte {cut}", self.name);
            }
        }
        let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
        let cases = (0..ends.len(), prop::collection::vec(0..=stream.len(), 0..12));
        let ran = TestRunner::new(config).run(&cases, |(ends_at, cuts)| {
            let decoded = self.streamed(dialect, &ends[ends_at], &cuts);
            proptest::prop_assert!(decoded.complete);
            proptest::prop_assert_eq!(decoded.compared, expected);
            Ok(())
        });
        ran.unwrap_or_else(|failure| panic!("{}: {failure}", self.name));
    }

    fn compare(&self, file: &str, expected: &Value, found: &Value) -> Vec<String> {
        let mut findings = Vec::new();
        differences(&format!("{}/{file}", self.name), expected, found, &mut findings);
        findings
    }
}

/// The data of every event that has some.
fn datas(stream: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    events(stream).filter_map(|event| event.data)
}

/// A request in the form of `wire.json`.
fn written(wire: &HttpRequest) -> Value {
    let headers: serde_json::Map<String, Value> = wire.headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    let body: Value = serde_json::from_slice(&wire.body).expect("a body is JSON");
    json!({"path": wire.path, "headers": headers, "body": body})
}

/// One line for each place where `found` is not as expected.
fn differences(path: &str, expected: &Value, found: &Value, out: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, value) in expected {
                match found.get(name) {
                    Some(found) => differences(&format!("{path}.{name}"), value, found, out),
                    None => out.push(format!("{path}.{name}: missing, expected {value}")),
                }
            }
            let strange = found.iter().filter(|(name, _)| !expected.contains_key(*name));
            out.extend(strange.map(|(name, value)| format!("{path}.{name}: not expected, found {value}")));
        }
        (Value::Array(expected), Value::Array(found)) => {
            for at in 0..expected.len().max(found.len()) {
                let path = format!("{path}[{at}]");
                match (expected.get(at), found.get(at)) {
                    (Some(expected), Some(found)) => differences(&path, expected, found, out),
                    (Some(expected), None) => out.push(format!("{path}: missing, expected {expected}")),
                    (None, found) => out.push(format!("{path}: not expected, found {}", found.unwrap_or(&Value::Null))),
                }
            }
        }
        (Value::String(any), Value::String(_)) if any == "<any>" => {}
        (expected, found) if expected == found => {}
        (expected, found) => out.push(format!("{path}: expected {expected}, found {found}")),
    }
}

#[test]
fn each_difference_is_named_with_its_place() {
    let expected = json!({"a": [1, {"b": "x"}, 3], "same": "<any>", "gone": null});
    let found = json!({"a": [1, {"b": "y", "c": 0}], "same": "whatever", "new": true});
    let mut lines = Vec::new();
    differences("case", &expected, &found, &mut lines);
    let named = [
        "case.a[1].b: expected \"x\", found \"y\"",
        "case.a[1].c: not expected, found 0",
        "case.a[2]: missing, expected 3",
        "case.gone: missing, expected null",
        "case.new: not expected, found true",
    ];
    assert_eq!(lines, named);
    let mut none = Vec::new();
    differences("case", &found, &found, &mut none);
    assert!(none.is_empty());
}
