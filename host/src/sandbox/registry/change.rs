//! Changes of the plugin directory that the API asks for, and why one is not made. They wait for the loader, which alone changes files.
//! Invariant: no more of them wait than `WAITING_MAX`, because each may hold a component.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::chat::NAME_RULE;

/// Changes that may wait for the loader.
const WAITING_MAX: usize = 16;

/// What the loader is asked for.
pub(super) enum Change {
    Put {
        file: String,
        bytes: Bytes,
    },
    Remove {
        file: String,
    },
    /// The version before the one that serves, or the one that serves in place of a bad file.
    Rollback {
        file: String,
    },
    /// Nothing is changed; the directory is read.
    Read,
}

/// Why a change was not made, or came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error("a plugin's name must be {NAME_RULE}, and not begin with a dot or a dash")]
    Name,
    #[error("there is no plugin `{0}`; GET /api/v1/plugins lists them")]
    NotFound(String),
    /// Nothing was written, or what is there is refused.
    #[error("the plugin is refused: {0}")]
    Refused(String),
    /// It was written, and the machine could not try it.
    #[error("the plugin is there and could not be tried now: {0}; GET /api/v1/plugins tells what comes of it")]
    Later(String),
    #[error("the plugin directory holds as many files as it may ({0}, `limits.plugins.files`)")]
    Full(usize),
    /// A mounted volume keeps its files like this, and would undo the change.
    #[error("{0} is a link or no regular file, which something else put there; change it where it comes from")]
    Link(String),
    #[error("the plugin directory cannot be written; deploy by other means")]
    ReadOnly,
    #[error("the plugin directory could not be changed: {0}")]
    Io(String),
    #[error(
        "no version before the one that serves is kept of `{0}`: there was none, or it found no room (`limits.plugins.last_good_bytes`)"
    )]
    NoPrevious(String),
    /// The loader has too much to do, or takes long.
    #[error("other changes are under way; GET /api/v1/plugins tells whether this one was made; try again shortly")]
    Busy,
}

/// A change, and where its outcome is told.
pub(super) struct Asked {
    pub(super) change: Change,
    pub(super) made: oneshot::Sender<Result<(), DeployError>>,
}

/// Where changes are handed in.
pub(super) struct Desk(pub(super) mpsc::Sender<Asked>);

impl Desk {
    pub(super) fn open() -> (Self, mpsc::Receiver<Asked>) {
        let (changes, asked) = mpsc::channel(WAITING_MAX);
        (Self(changes), asked)
    }
}
