//! argv → config → app → exit code.

fn main() -> std::process::ExitCode {
    cofferdam::cli::main()
}
