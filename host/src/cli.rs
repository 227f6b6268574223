//! The commands: serve, demo, check-config, new-key. Reads argv, starts what it names, turns the end into an exit code.
//! Must not know how requests are answered; `app` opens the rooms for it.

mod demo;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Config;
use crate::telemetry::LogFormat;
use crate::{http, sandbox};

/// sysexits.h: the configuration is wrong.
const EXIT_CONFIG: u8 = 64;

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
    Serve(Serve),
    /// Build the sample plugins and run a server with them and a sample knowledge base.
    Demo(demo::Demo),
    /// Check a configuration file and print what is in effect, defaults filled in and secrets left out.
    CheckConfig { file: PathBuf },
    /// Make a new random key and print it with the line for the configuration file.
    NewKey {
        /// Who will use it; appears in logs and metrics.
        name: String,
    },
    /// What the server calls in a child process to compile a plugin.
    #[command(hide = true)]
    CompileComponent { out: PathBuf, memory_bytes: u64, cpu_seconds: u64 },
}

#[derive(Args)]
struct Serve {
    /// Configuration file; ./cofferdam.toml is read where it exists and none is named.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Address to listen on, in place of the file's. Port 0 picks a free port.
    #[arg(long)]
    listen: Option<std::net::SocketAddr>,
    /// Log format.
    #[arg(long, value_enum, default_value = "text")]
    log: Log,
}

#[derive(Clone, Copy, ValueEnum)]
enum Log {
    Text,
    Json,
}

/// Runs the command that argv names.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => {
            let format = match args.log {
                Log::Text => LogFormat::Text,
                Log::Json => LogFormat::Json,
            };
            serve::serve(args, format)
        }
        Command::Demo(args) => args.run(),
        Command::CheckConfig { file } => check_config(&file),
        Command::NewKey { name } => new_key(&name),
        Command::CompileComponent { out, memory_bytes, cpu_seconds } => {
            let done = sandbox::compile_child(&out, memory_bytes, cpu_seconds);
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

fn bad_config(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(EXIT_CONFIG)
}

fn failed(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
