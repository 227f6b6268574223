//! Secrets by name: where they are looked for, and a value that no log line, error or `{:?}` can show by accident.
//! Names come from pipelines, which admins also write through the API, so a name can never be a path. Must not know who uses a secret.

mod files;
mod oauth;
mod redact;
mod tokens;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use files::Files;
pub use oauth::OAuthConfig;
pub(super) use redact::Redactor;
pub(super) use tokens::Tokens;

/// Characters of a secret's name.
const NAME_CHARS_MAX: usize = 128;

/// What `is_name` takes, in words.
pub const NAME: &str = "1 to 128 letters, digits, `_`, `-` or `.`, not beginning with `.`";

/// A secret's value by its name.
pub type Secrets = Arc<dyn Fn(&str) -> Result<Secret, MissingSecret> + Send + Sync>;

/// A key, a password or a token. It prints as `[hidden]`, and nothing serializes it.
#[derive(Clone)]
pub struct Secret(Arc<str>);

/// Why a secret cannot be had. The texts go after the secret's name and hold no value and no path.
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
    /// White space around it is no part of it: files end in a newline.
    ///
    /// # Errors
    /// `NotSet` where nothing is left.
    pub fn new(text: &str) -> Result<Self, MissingSecret> {
        match text.trim() {
            "" => Err(MissingSecret::NotSet),
            text => Ok(Self(text.into())),
        }
    }

    /// The value, for what is sent to a provider and for nothing else.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
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

/// The places of a running server, in the order in which they are asked: systemd's credentials, `secret_dir`, the environment. Files come
/// first because they can be replaced while the server runs.
///
/// # Errors
/// `secret_dir` is no directory that can be read.
pub fn sources(secret_dir: Option<PathBuf>) -> std::io::Result<Secrets> {
    if let Some(dir) = &secret_dir {
        std::fs::read_dir(dir)?;
    }
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    Ok(chain([credentials, secret_dir].into_iter().flatten().collect(), |name| std::env::var_os(name)))
}

/// A file that is there decides, even if it cannot be used: to go on with an older value from elsewhere would hide the mistake.
fn chain(dirs: Vec<PathBuf>, environment: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Secrets {
    let dirs: Vec<Files> = dirs.into_iter().map(Files::new).collect();
    Arc::new(move |name| {
        if !is_name(name) {
            return Err(MissingSecret::InvalidName);
        }
        let now = Instant::now();
        let variable = || Some(environment(name)?.into_string().map_err(|_| MissingSecret::NotText).and_then(|text| Secret::new(&text)));
        dirs.iter().find_map(|dir| dir.get(name, now)).or_else(variable).unwrap_or(Err(MissingSecret::NotSet))
    })
}

/// Whether this can be a secret's name: fit for a file's name without leading out of its directory, and for a variable's.
pub fn is_name(name: &str) -> bool {
    let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(fit) && !name.starts_with('.')
}

#[cfg(test)]
mod tests;
