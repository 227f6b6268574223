//! `cofferdam.toml`: raw file → checked `Config`.
