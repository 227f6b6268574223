//! `cofferdam backup DIR` and `cofferdam restore DIR`: they read the configuration only to find `data_dir`.
//! What they did goes to standard output; if they failed, nothing is half done.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::exit::{bad_config, failed};
use super::output::answer;
use super::serve::DEFAULT_FILE;
use crate::app::backup;
use crate::config::Config;

#[derive(Args)]
pub(super) struct Arguments {
    /// The backup: a directory, which `backup` makes and `restore` reads.
    directory: PathBuf,
    /// Configuration file, as for `serve`; ./cofferdam.toml is read if it exists and none is named.
    #[arg(long)]
    config: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn back_up(&self) -> ExitCode {
        self.run(backup::back_up)
    }

    pub(super) fn restore(&self) -> ExitCode {
        self.run(backup::restore)
    }

    fn run(&self, work: fn(&Config, &Path) -> anyhow::Result<String>) -> ExitCode {
        let default = Path::new(DEFAULT_FILE);
        let file = self.config.as_deref().or_else(|| default.exists().then_some(default));
        let config = match Config::load(file) {
            Ok(config) => config,
            Err(error) => return bad_config(&error),
        };
        match work(&config, &self.directory) {
            Ok(done) => answer(&done),
            Err(error) => failed(&format!("{error:#}")),
        }
    }
}
