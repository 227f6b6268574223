//! Reading: takes the keys of one table one by one, records what is wrong with each, and reports the keys that nobody took.
//! Must not stop at the first problem, nor know which keys there are.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::json;
use super::problem::Report;

/// One table of the file.
pub(super) struct Section<'a> {
    report: &'a Report<'a>,
    path: String,
    /// Where it begins in the text.
    start: usize,
    entries: Vec<(String, Entry<'a>)>,
    /// The keys that were asked for, to suggest one in place of a typing mistake.
    known: Vec<&'static str>,
}

/// One value of the file and where it stands.
pub(super) struct Entry<'a> {
    report: &'a Report<'a>,
    path: String,
    /// Where its key begins in the text; where it begins itself, in a list.
    start: usize,
    value: DeValue<'a>,
}

/// Reads the whole text: `read` gets the root table unless the text is no TOML.
pub(super) fn root<'a>(report: &'a Report<'a>, read: impl FnOnce(&mut Section<'a>)) {
    let (table, errors) = DeTable::parse_recoverable(report.text());
    for error in &errors {
        let offset = error.span().map_or(usize::MAX, |span| span.start);
        report.problem(offset, "", error.message().lines().collect::<Vec<_>>().join("; "));
    }
    // What was recovered of a broken text would only add problems that are none.
    if errors.is_empty() {
        Section::new(report, String::new(), 0, table.into_inner()).read(read);
    }
}

impl<'a> Section<'a> {
    fn new(report: &'a Report<'a>, path: String, start: usize, table: DeTable<'a>) -> Self {
        let entry = |(key, value): (Spanned<DeString<'a>>, Spanned<DeValue<'a>>)| {
            let (start, name) = (key.span().start, key.into_inner());
            let entry = Entry { report, path: join(&path, &name), start, value: value.into_inner() };
            (name.into_owned(), entry)
        };
        let entries = table.into_iter().map(entry).collect();
        Self { report, path, start, entries, known: Vec::new() }
    }

    fn read(mut self, read: impl FnOnce(&mut Self)) {
        read(&mut self);
        for (key, entry) in &self.entries {
            entry.problem(unknown(key, &self.known));
        }
    }

    /// The value of `key`, which counts as known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// As `take`, for a key that must be there.
    pub(super) fn need(&mut self, key: &'static str, what: &str) -> Option<Entry<'a>> {
        let entry = self.take(key);
        if entry.is_none() {
            self.missing(key, what);
        }
        entry
    }

    /// Records that `key` is not there; `what` says what it would be.
    pub(super) fn missing(&self, key: &str, what: &str) {
        self.report.problem(self.start, &join(&self.path, key), format!("is missing: {what}"));
    }

    /// All entries that nobody took, for tables whose keys are names.
    pub(super) fn rest(&mut self) -> Vec<(String, Entry<'a>)> {
        let mut rest = std::mem::take(&mut self.entries);
        rest.sort_by_key(|(_, entry)| entry.start);
        rest
    }

    /// Answers keys that people try but that cannot stand here.
    pub(super) fn refuse(&mut self, keys: &[&str], why: &str) {
        self.entries.retain(|(name, entry)| {
            let refused = keys.contains(&name.to_ascii_lowercase().as_str());
            if refused {
                entry.problem(why);
            }
            !refused
        });
    }
}

impl<'a> Entry<'a> {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn problem(&self, message: impl Into<String>) {
        self.report.problem(self.start, &self.path, message);
    }

    /// A problem of something inside this value that somebody else read.
    pub(super) fn problem_at(&self, path: &str, message: impl Into<String>) {
        self.report.problem(self.start, path, message);
    }

    /// The value is not what was expected.
    pub(super) fn wrong(&self, expected: &str) {
        self.problem(format!("expected {expected}, found {}", self.found()));
    }

    pub(super) fn text(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// A whole number; none for one that no limit could be.
    pub(super) fn number(&self) -> Option<u64> {
        self.value.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok())
    }

    pub(super) fn flag(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// Any number.
    pub(super) fn fraction(&self) -> Option<f64> {
        let float = || self.value.as_float().and_then(|n| n.as_str().parse().ok());
        self.value.as_integer().map_or_else(float, |_| self.number().map(|n| n as f64))
    }

    /// Reads a table.
    pub(super) fn table(self, read: impl FnOnce(&mut Section<'a>)) {
        match self.value {
            DeValue::Table(table) => Section::new(self.report, self.path, self.start, table).read(read),
            _ => self.wrong("a table"),
        }
    }

    /// The items of a list; none where it is no list.
    pub(super) fn list(self) -> Vec<Entry<'a>> {
        let DeValue::Array(items) = self.value else {
            self.wrong("a list");
            return Vec::new();
        };
        let item = |(i, item): (usize, Spanned<DeValue<'a>>)| Entry {
            report: self.report,
            path: format!("{}[{i}]", self.path),
            start: item.span().start,
            value: item.into_inner(),
        };
        items.into_iter().enumerate().map(item).collect()
    }

    /// The value as JSON.
    pub(super) fn json(&self) -> Option<Value> {
        json::from_toml(&self.value).map_err(|why| self.problem(why)).ok()
    }

    fn found(&self) -> String {
        match &self.value {
            DeValue::String(text) if text.chars().count() > 60 => "a long text".into(),
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(n) => n.to_string(),
            DeValue::Float(n) => n.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Array(_) => "a list".into(),
            DeValue::Table(_) => "a table".into(),
        }
    }
}

/// `path.key`, quoted where TOML would quote it.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn unknown(key: &str, known: &[&'static str]) -> String {
    let nearest = known.iter().map(|k| (distance(key, k), k)).min();
    match nearest {
        // If half of the letters differ it is another word; two letters swapped count as two.
        Some((d, k)) if d <= (k.len() / 2).min(3) => format!("unknown key; did you mean `{k}`?"),
        Some(_) => format!("unknown key; known here are {}", known.join(", ")),
        None => "unknown key".into(),
    }
}

/// Letters to add, drop or change to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
