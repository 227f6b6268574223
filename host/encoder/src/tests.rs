//! Our vectors against those of other implementations of the same models, and folders that are refused.

mod agreement;
mod folders;
mod levels;
