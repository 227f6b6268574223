//! One stage, one file.
