//! Sources as the rules want them: read from the tree, without comments and strings, with the paths that they name.
//! The text is scanned, not parsed. That is enough because rustfmt and the compiler have accepted it before.

use std::path::{Path, PathBuf};

/// One source file.
#[derive(Clone)]
pub(crate) struct Source {
    /// From the repository's root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The text of one file.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file under a directory, in order; none if there is no such directory.
pub(crate) fn under(dir: &str) -> Vec<Source> {
    files(dir, "rs")
}

/// Whether the tree has such a file or directory.
pub(super) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// Every file with that extension under a directory, in order.
pub(super) fn files(dir: &str, extension: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(dir), extension, &mut paths);
    paths.sort();
    let relative = |path: &Path| path.strip_prefix(root()).expect("it is under the root").display().to_string().replace('\\', "/");
    paths.iter().map(|path| relative(path)).map(|path| Source { text: read(&path), path }).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the host's manifest is one level down").to_owned()
}

fn walk(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.map(|entry| entry.expect("the tree holds still").path()) {
        if path.is_dir() {
            // Made by tools, not written by people.
            if !["target", "node_modules", "gen", ".git", ".tools"].iter().any(|name| path.ends_with(name)) {
                walk(&path, extension, found);
            }
        } else if path.extension().is_some_and(|of_file| of_file == extension) {
            found.push(path);
        }
    }
}

impl Source {
    /// The room that a file of the host belongs to; `None` for `lib.rs` and for files elsewhere.
    pub(super) fn room(&self) -> Option<&str> {
        let room = self.path.strip_prefix("host/src/")?.split('/').next()?.trim_end_matches(".rs");
        (room != "lib").then_some(room)
    }

    /// The file's name without `.rs`.
    pub(super) fn stem(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// Whether it is code that users do not run.
    pub(super) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.stem() == "tests" || self.path.contains("/tests/") || self.path.contains("/benches/")
    }

    /// The text before the unit tests at its end, and those tests.
    pub(super) fn split_tests(&self) -> (&str, &str) {
        if self.is_test() {
            return ("", &self.text);
        }
        let tests = self.text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| {
            let after = self.text[*at..].lines().skip(1).find(|line| !line.trim_start().starts_with("#["));
            after.is_some_and(|line| line.trim_start().starts_with("mod "))
        });
        self.text.split_at(tests.unwrap_or(self.text.len()))
    }
}

/// The code with every comment and every string's inside made blank; lines stay where they are.
pub(super) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => find(bytes, at, b"\n"),
            b'/' if bytes.get(at + 1) == Some(&b'*') => comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !follows_word(bytes, at) && raw_string_end(bytes, at).is_some() => raw_string_end(bytes, at).unwrap_or(at + 1),
            b'\'' => char_end(bytes, at),
            _ => {
                at += 1;
                continue;
            }
        };
        out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(out).expect("whole characters were made blank")
}

/// Every path that the code names, such as `a::b::c`; `use a::{b, c::d}` names `a::b` and `a::c::d`. Paths that begin with `::` keep it.
pub(super) fn paths(code: &str) -> Vec<String> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rooted = bytes[at..].starts_with(b"::") && !follows_word(bytes, at) && (at == 0 || bytes[at - 1] != b'>');
        if rooted && bytes.get(at + 2).is_some_and(is_word) {
            at = path(code, at + 2, "::".into(), &mut found);
        } else if is_word(&bytes[at]) {
            at = path(code, at, String::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path, or the group that it ends in, and returns where it ends.
fn path(code: &str, mut at: usize, mut prefix: String, found: &mut Vec<String>) -> usize {
    let bytes = code.as_bytes();
    loop {
        let end = at + bytes[at..].iter().take_while(|byte| is_word(byte)).count();
        prefix.push_str(&code[at..end]);
        let next = end + 2;
        if !bytes[end..].starts_with(b"::") {
            found.push(prefix);
            return end;
        }
        prefix.push_str("::");
        match bytes.get(next) {
            Some(b'{') => return group(code, next + 1, &prefix, found),
            Some(byte) if is_word(byte) => at = next,
            _ => {
                found.push(prefix.trim_end_matches(':').to_owned());
                return next;
            }
        }
    }
}

/// Reads `b, c::d}` with what stands before the brace.
fn group(code: &str, mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    let bytes = code.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'}' => return at + 1,
            byte if is_word(&byte) => at = path(code, at, prefix.to_owned(), found),
            _ => at += 1,
        }
    }
    at
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    // The `b` of `br"…"` belongs to the string.
    at > 0 && is_word(&bytes[at - 1]) && !(bytes[at - 1] == b'b' && (at < 2 || !is_word(&bytes[at - 2])))
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    bytes[from..].windows(what.len()).position(|window| window == what).map_or(bytes.len(), |at| from + at)
}

fn comment_end(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from + 2, 1);
    while at < bytes.len() && depth > 0 {
        let step = match &bytes[at..] {
            [b'/', b'*', ..] => 1,
            [b'*', b'/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
    }
    at.min(bytes.len())
}

fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Where `r"…"` or `r#"…"#` ends; `None` if it is no string.
fn raw_string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let hashes = bytes[from + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = from + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    Some((find(bytes, open + 1, close.as_bytes()) + close.len()).min(bytes.len()))
}

/// Where `'x'` ends; a lifetime is left as it is.
fn char_end(bytes: &[u8], from: usize) -> usize {
    match bytes.get(from + 1) {
        Some(b'\\') => (find(bytes, from + 3, b"'") + 1).min(bytes.len()),
        Some(first) => {
            let width = match first {
                0..0xC0 => 1,
                0xC0..0xE0 => 2,
                0xE0..0xF0 => 3,
                _ => 4,
            };
            if bytes.get(from + 1 + width) == Some(&b'\'') { from + 2 + width } else { from + 1 }
        }
        None => from + 1,
    }
}

#[test]
fn comments_and_strings_are_blank_and_lines_stay() {
    let text = "a // wasmtime::x\n/* b /* c */\n d */ e(\"wasmtime::\\\"y\", r#\"f\"g\"#, br\"h\", '\"', '\\'', 'é', &'static i)";
    let code = code(text);
    assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), "a e( , , b , , , , & static i)");
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn paths_are_spelled_out() {
    let code = "use crate::{llm, rag::{self, Error}, chat::*}; use ::http::Uri; fn f() -> Vec<u8> { Vec::<u8>::new(); tokio::select! {} }";
    let found = paths(code);
    for path in ["crate::llm", "crate::rag::self", "crate::rag::Error", "crate::chat", "::http::Uri", "tokio::select"] {
        assert!(found.iter().any(|p| p == path), "{path} is not in {found:?}");
    }
}
