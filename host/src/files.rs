//! Files that others may exchange while they are opened, and files that others must not read.
//! No call here waits for another program, follows a link that was not resolved first, or leaves open to others what it made.

mod private;
mod untrusted;

pub use private::{Exposed, directory as private_directory, file as private_file, is_ours, tighten};
pub use untrusted::{Refused, open, open_within, read};
