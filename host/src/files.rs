//! Files that others may exchange while they are opened, files that others must not read, and directories that are there whole or not at all.
//! No call here waits for another program, follows a link that was not resolved first, or leaves open to others what it made.

mod private;
mod publish;
mod untrusted;

pub use private::{Exposed, directory as private_directory, file as private_file, is_ours, tighten};
pub use publish::{rename_new, sync_directory};
pub use untrusted::{Refused, open, open_within, read};
