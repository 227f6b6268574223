//! Reads one table: takes its keys one by one, records what is wrong with each, and reports the keys that nobody took.
//! So a key is either read or reported as unknown, and a typing mistake never passes in silence.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::json;
use super::problem::Report;

/// One table of the file.
pub(super) struct Section<'a> {
    report: &'a Report<'a>,
    path: String,
    /// Offset of the table in the text.
    start: usize,
    entries: Vec<(String, Entry<'a>)>,
    /// The keys that were asked for, to suggest one for a typing mistake.
    known: Vec<&'static str>,
}

/// One value of the file, with its path and position.
pub(super) struct Entry<'a> {
    report: &'a Report<'a>,
    path: String,
    /// Offset of its key in the text; for an item of a list, of the item itself.
    start: usize,
    value: DeValue<'a>,
}

/// Parses the whole text. `read` gets the root table, unless the text is not TOML.
pub(super) fn root<'a>(report: &'a Report<'a>, read: impl FnOnce(&mut Section<'a>)) {
    let (table, errors) = DeTable::parse_recoverable(report.text());
    for error in &errors {
        let offset = error.span().map_or(usize::MAX, |span| span.start);
        report.problem(offset, "", error.message().lines().collect::<Vec<_>>().join("; "));
    }
    // After a syntax error the recovered tables are incomplete, and checking them would report problems that do not exist.
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

    /// Takes the value of `key` if it is there. The key counts as known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// As `take`, for a key that is required; `what` describes the value in the message if it is missing.
    pub(super) fn need(&mut self, key: &'static str, what: &str) -> Option<Entry<'a>> {
        let entry = self.take(key);
        if entry.is_none() {
            self.missing(key, what);
        }
        entry
    }

    /// Records that `key` is missing; `what` describes its value.
    pub(super) fn missing(&self, key: &str, what: &str) {
        self.report.problem(self.start, &join(&self.path, key), format!("is missing: {what}"));
    }

    /// Takes all entries that are left, for tables whose keys are names.
    pub(super) fn rest(&mut self) -> Vec<(String, Entry<'a>)> {
        let mut rest = std::mem::take(&mut self.entries);
        rest.sort_by_key(|(_, entry)| entry.start);
        rest
    }

    /// Records a problem, with the reason, for keys that people try but that are not allowed here.
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

    /// Records a problem inside this value, under its own path, for a value that another reader checked.
    pub(super) fn problem_at(&self, path: &str, message: impl Into<String>) {
        self.report.problem(self.start, path, message);
    }

    /// Records that the value is not what was expected.
    pub(super) fn wrong(&self, expected: &str) {
        self.problem(format!("expected {expected}, found {}", self.found()));
    }

    pub(super) fn text(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// The value as a whole number; `None` for a negative number, one beyond 64 bits, or another kind of value.
    pub(super) fn number(&self) -> Option<u64> {
        self.value.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok())
    }

    pub(super) fn flag(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// The value as any number that is not negative if it is whole.
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

    /// The items of a list. If the value is no list, that is recorded and there are none.
    pub(super) fn list(self) -> Vec<Entry<'a>> {
        match self.items() {
            Some(items) => items,
            None => {
                self.wrong("a list");
                Vec::new()
            }
        }
    }

    fn entries(&self, items: DeArray<'a>) -> Vec<Entry<'a>> {
        let item = |(i, item): (usize, Spanned<DeValue<'a>>)| Entry {
            report: self.report,
            path: format!("{}[{i}]", self.path),
            start: item.span().start,
            value: item.into_inner(),
        };
        items.into_iter().enumerate().map(item).collect()
    }

    /// The items of a list, for a key whose value may be one; none if it is another value.
    pub(super) fn items(&self) -> Option<Vec<Entry<'a>>> {
        let DeValue::Array(items) = &self.value else { return None };
        Some(self.entries(items.clone()))
    }

    /// The value as JSON. If JSON cannot hold it, that is recorded.
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

/// `path.key`, with the key quoted if TOML would quote it.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn unknown(key: &str, known: &[&'static str]) -> String {
    let nearest = known.iter().map(|k| (distance(key, k), k)).min();
    match nearest {
        // A key of which half of the letters differ is another word. Two swapped letters count as two differences.
        Some((d, k)) if d <= (k.len() / 2).min(3) => format!("unknown key; did you mean `{k}`?"),
        Some(_) => format!("unknown key; known here are {}", known.join(", ")),
        None => "unknown key".into(),
    }
}

/// The edit distance: how many letters must be added, dropped or changed to get from one word to the other.
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
