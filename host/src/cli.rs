//! The commands: serve, demo, check-config, new-key, ingest, backup, restore. Reads the command line, runs the command and returns its exit code.
//! Everything that a command prints for other programs goes to standard output, and every error to standard error.

mod backup;
mod demo;
mod exit;
mod ingest;
mod output;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::subprocess::Confinement;
use crate::{http, rag, sandbox};
use exit::{bad_config, failed};
use output::{answer, ended};

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
    /// Check a configuration file and print what is in effect, defaults filled in; keys and secrets are left out, and what stands in
    /// `config` of a plugin is shown.
    CheckConfig { file: PathBuf },
    /// Make a new random key and print it with the line for the configuration file.
    NewKey {
        /// Who will use it; appears in logs and metrics.
        name: String,
    },
    /// Upload files and folders to a running server, as documents of its knowledge.
    Ingest(ingest::Ingest),
    /// Back up what data_dir holds into a new directory; the server may run.
    Backup(backup::Arguments),
    /// Put a backup in the place of what data_dir holds, which is moved aside; the server must be stopped.
    Restore(backup::Arguments),
    /// Compile one plugin; the server starts this command as a child process.
    #[command(hide = true)]
    CompileComponent { out: PathBuf, memory_bytes: u64, cpu_seconds: u64, code_bytes: u64 },
    /// Read one document; the server starts this command as a child process.
    #[command(hide = true)]
    ExtractDocument { format: String, memory_bytes: u64, cpu_seconds: u64, text_bytes: usize, pages: usize, expansion: usize },
}

/// Runs the command that the command line names.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        // A wrong command line, of which standard error says what is wrong, or a question for help.
        Err(error) if error.use_stderr() => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
        Err(help) => return ended(help.print()),
    };
    match command {
        Command::Serve(args) => args.run(),
        Command::Demo(args) => args.run(),
        Command::CheckConfig { file } => check_config(&file),
        Command::NewKey { name } => new_key(&name),
        Command::Ingest(args) => args.run(),
        Command::Backup(args) => args.back_up(),
        Command::Restore(args) => args.restore(),
        Command::CompileComponent { out, memory_bytes, cpu_seconds, code_bytes } => {
            let done = sandbox::compile_child(&out, Confinement { memory_bytes, cpu_seconds, file_bytes: code_bytes });
            done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
        }
        Command::ExtractDocument { format, memory_bytes, cpu_seconds, text_bytes, pages, expansion } => {
            let may = Confinement { memory_bytes, cpu_seconds, file_bytes: 0 };
            let done = rag::extract_child(rag::ChildTask { format, may, text_bytes, pages, expansion });
            done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
        }
    }
}

fn check_config(file: &std::path::Path) -> ExitCode {
    match Config::load(Some(file)) {
        Ok(config) => answer(&config.effective()),
        Err(error) => bad_config(&error),
    }
}

fn new_key(name: &str) -> ExitCode {
    let (key, sha256) = http::keys::generate();
    let sha256 = http::keys::format(&sha256);
    answer(&format!(
        "key (shown once, give it to the client): {key}\nfor cofferdam.toml, under [keys], in `client` or `admin`:\n    {{ name = {name:?}, sha256 = \"{sha256}\" }}\n"
    ))
}
