//! The program: all of it is in the library, where tests and benchmarks can reach it. Only the allocator is chosen here.

/// The system's allocator keeps what a crowd of clients took: single objects that live on hold whole pages. This one gives it back in some seconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cofferdam::cli::main()
}
