//! The commands: serve, demo, check-config.

/// Runs the command that argv names.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
