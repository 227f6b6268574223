//! The commands: serve, demo, check-config, new-key. Reads the command line, runs the command and returns its exit code.
//! Everything that a command prints for other programs goes to standard output, and every error to standard error.

mod demo;
mod exit;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::{http, sandbox};
use exit::{bad_config, failed};

/// A WebAssembly-sandboxed plugin host for LLM traffic.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Serve),
    /// Build the sample plugins and run a server with them and a sample knowledge base.
    Demo(demo::Demo),
    /// Check a configuration file and print what is in effect, defaults filled in and secrets left out.
    CheckConfig { file: PathBuf },
    /// Make a new random key and print it with the line for the configuration file.
    NewKey {
        /// Who will use it; appears in logs and metrics.
        name: String,
    },
    /// Compile one plugin; the server starts this command as a child process.
    #[command(hide = true)]
    CompileComponent { out: PathBuf, memory_bytes: u64, cpu_seconds: u64, code_bytes: u64 },
}

/// Runs the command that the command line names.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => args.run(),
        Command::Demo(args) => args.run(),
        Command::CheckConfig { file } => check_config(&file),
        Command::NewKey { name } => new_key(&name),
        Command::CompileComponent { out, memory_bytes, cpu_seconds, code_bytes } => {
            let done = sandbox::compile_child(&out, sandbox::ChildLimits { memory_bytes, cpu_seconds, code_bytes });
            done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
        }
    }
}

fn check_config(file: &std::path::Path) -> ExitCode {
    match Config::load(Some(file)) {
        Ok(config) => {
            print!("{}", config.effective());
            ExitCode::SUCCESS
        }
        Err(error) => bad_config(&error),
    }
}

fn new_key(name: &str) -> ExitCode {
    let (key, sha256) = http::keys::generate();
    println!("key (shown once, give it to the client): {key}");
    println!("for cofferdam.toml, under [keys], in `client` or `admin`:");
    println!("    {{ name = {name:?}, sha256 = \"{}\" }}", http::keys::format(&sha256));
    ExitCode::SUCCESS
}
