//! A secret: its value, which no log line, error or `{:?}` can show by accident, and its name.
//! Names come from pipelines, which admins also write through the API, so a valid name is never a path.

use std::fmt;
use std::sync::Arc;

/// Characters of a secret's name.
pub(super) const NAME_CHARS_MAX: usize = 128;

/// What `is_name` takes, in words.
pub const NAME: &str = "1 to 128 letters, digits, `_`, `-` or `.`, not beginning with `.`";

/// Looks a secret up by its name.
pub type Secrets = Arc<dyn Fn(&str) -> Result<Secret, MissingSecret> + Send + Sync>;

/// A key, a password or a token. It prints as `[hidden]`, and nothing serializes it.
#[derive(Clone)]
pub struct Secret(Arc<str>);

/// Why there is no value for a secret's name. The texts follow that name and hold no value and no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingSecret {
    #[error(
        "is not set; put it into a file of `secret_dir`, hand it over as a systemd credential, or export it in the server's environment"
    )]
    NotSet,
    #[error("cannot be looked up: a secret's name is 1 to 128 letters, digits, `_`, `-` or `.`, and does not begin with `.`")]
    InvalidName,
    #[error("is larger than 64 KiB")]
    TooLarge,
    #[error("is no UTF-8 text")]
    NotText,
    #[error("is no regular file")]
    NotAFile,
    #[error("is in a file that cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
}

impl Secret {
    /// White space around the text is not part of the secret: files end in a newline. Nor are a byte order mark, as editors on Windows write it,
    /// and one pair of quotes, which files of variables keep.
    ///
    /// # Errors
    /// `NotSet` if nothing is left.
    pub fn new(text: &str) -> Result<Self, MissingSecret> {
        let text = trimmed(text);
        match ['"', '\''].iter().find_map(|quote| unquoted(text, *quote)).unwrap_or(text) {
            "" => Err(MissingSecret::NotSet),
            text => Ok(Self(text.into())),
        }
    }

    /// The value, for what is sent to a provider, or to another server that the operator named for it, and for nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// Without white space and the marks that nobody sees.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\u{2060}'))
}

/// What stands between quotes; none if there are not exactly these two.
fn unquoted(text: &str, quote: char) -> Option<&str> {
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains(quote)).then(|| trimmed(inner))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Whether this can be a secret's name: it works as the name of a file, without leading out of its directory, and of a variable.
pub fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.')
}
