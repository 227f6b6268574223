//! `cofferdam serve`: reads the configuration, starts the runtime and the server, and stops it on a signal.
//! The address is printed only after the server accepts connections, because other programs wait for that line; it does not wait for plugins.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{bad_config, failed};
use super::output::announce;
use crate::app::App;
use crate::config::{self, Config};
use crate::http::{Inherited, ListenAddress, Reloads};
use crate::telemetry::{self, Log, LogError, LogFormat};

/// How long work on blocking threads may take after the drain.
const LAST_WORK: Duration = Duration::from_secs(5);

/// The file that is read if none is named.
pub(super) const DEFAULT_FILE: &str = "cofferdam.toml";

#[derive(Args)]
pub(super) struct Serve {
    /// Configuration file; ./cofferdam.toml is read if it exists and none is named.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Address to listen on, in place of the file's; may be repeated. Port 0 picks a free port.
    #[arg(long)]
    listen: Vec<ListenAddress>,
    /// Log format.
    #[arg(long, value_enum, default_value = "text")]
    log: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Serve {
    pub(super) fn run(self) -> ExitCode {
        let format = match self.log {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
        serve(&self, format)
    }
}

/// The file that is read if none is named, if it is there.
fn default_file() -> Option<&'static Path> {
    Some(Path::new(DEFAULT_FILE)).filter(|file| file.exists())
}

/// The configuration as the command line wants it.
fn configured(file: Option<&Path>, listen: &[ListenAddress]) -> Result<Config, config::Error> {
    let mut config = Config::load(file.or(default_file()))?;
    if !listen.is_empty() {
        config.listen = listen.to_vec();
    }
    Ok(config)
}

fn serve(args: &Serve, format: LogFormat) -> ExitCode {
    let sockets = Inherited::take();
    // A file that was there once is missed by a reload if it is gone.
    let (file, listen) = (args.config.clone().or_else(|| default_file().map(Path::to_owned)), args.listen.clone());
    let source = move || configured(file.as_deref(), &listen);
    let config = match source() {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    if let Err(problem) = config.check_listen() {
        return bad_config(&problem);
    }
    raise_open_files();
    let (collector, spans) = telemetry::queue(&config.telemetry).unzip();
    let log = match Log::start(format, config.log_filter.as_deref(), config.log, collector) {
        Ok(log) => log,
        Err(error @ LogError::Filter(_)) => return bad_config(&error),
        Err(error @ LogError::Thread(_)) => return failed(&telemetry::chain(&error)),
    };
    run(&log, async {
        let hangups = hangups();
        let mut app = App::open(config, sockets).await?;
        spans.map_or(Ok(()), |spans| app.export(spans))?;
        // Test harnesses and service scripts wait for this line.
        let clients = app.bound().into_iter().map(|bound| format!("listening on {bound}\n"));
        let admin = app.admin_bound().into_iter().map(|bound| format!("admin listening on {bound}\n"));
        let own = app.open_webui_bound().into_iter().map(|bound| format!("pipelines listening on {bound}\n"));
        announce(clients.chain(admin).chain(own).collect());
        reload_at(hangups, app.reloads());
        app.serve(Arc::new(source), stop_signal()).await
    })
}

/// Raises the number of open files to what the system grants: the usual soft limit of 1024 is below our own limit of connections.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // If that is refused, the limit stays as it was, and the server runs with fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Runs `work` to its end on a runtime with one thread per core. From here on nothing is written to standard error but through the log, because
/// whoever reads that may have stopped to.
pub(super) fn run(log: &Log, work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    log.panics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = runtime.block_on(work);
    // A thread may still build an index or split a text. Cutting it off does no harm: a document is stored whole or not at all.
    runtime.shutdown_timeout(LAST_WORK);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// SIGHUP from here on, which would end the process otherwise.
pub(super) fn hangups() -> Signal {
    signal(SignalKind::hangup()).expect("a handler for SIGHUP can be set while the runtime has its signal driver")
}

/// Asks for a reload at each hangup. Those that come while one is under way are one.
pub(super) fn reload_at(mut hangups: Signal, reloads: Reloads) {
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP: the configuration is read again");
            // What comes of it stands in the log.
            if reloads.ask().await.is_none() {
                tracing::warn!("SIGHUP is left out: as many reloads wait as may wait (`limits.http.reloads`)");
            }
        }
    });
}

/// Completes at SIGTERM or Ctrl-C.
pub(super) async fn stop_signal() {
    let mut terminate = signal(SignalKind::terminate()).expect("a handler for SIGTERM can be set while the runtime has its signal driver");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
