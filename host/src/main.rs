//! The program: all of it is in the library, where tests and benchmarks can reach it.

fn main() -> std::process::ExitCode {
    cofferdam::cli::main()
}
