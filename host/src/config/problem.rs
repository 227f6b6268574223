//! What is wrong with the operator's file: every problem with its line and key path.
//! Reading goes on after a problem, so that one run reports all of them, in the order of the lines.

use std::cell::RefCell;
use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1; `None` if the problem belongs to no line.
    pub line: Option<usize>,
    /// For example `plugins.redact-pii.limits.time`; empty if the text is not TOML.
    pub path: String,
    pub message: String,
}

/// Everything that is wrong with one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file's path as the operator gave it.
    pub file: String,
    pub list: Vec<Problem>,
}

/// Collects the problems while a text is read.
pub(super) struct Report<'a> {
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            match problem.line {
                Some(line) => write!(f, "{newline}{}:{line}: {problem}", self.file)?,
                None => write!(f, "{newline}{}: {problem}", self.file)?,
            }
        }
        Ok(())
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, problems: RefCell::default() }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Records a problem at `offset` bytes into the text.
    pub(super) fn problem(&self, offset: usize, path: &str, message: impl Into<String>) {
        let line = self.text.get(..offset).map(|before| 1 + before.matches('\n').count());
        self.problems.borrow_mut().push(Problem { line, path: path.to_owned(), message: message.into() });
    }

    /// Gives `value` if no problem was recorded.
    pub(super) fn result<T>(self, file: &str, value: T) -> Result<T, Problems> {
        let mut list = self.problems.into_inner();
        if list.is_empty() {
            return Ok(value);
        }
        list.sort_by_key(|problem| problem.line);
        Err(Problems { file: file.to_owned(), list })
    }
}
