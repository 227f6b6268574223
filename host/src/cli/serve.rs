//! `cofferdam serve`: configuration, runtime, server, signals.
//! Must not know what the server is made of; `app` does.

use std::future::Future;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::{Serve, bad_config, failed};
use crate::app::App;
use crate::config::Config;
use crate::telemetry::{self, LogFormat};

/// For work on blocking threads after the drain.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Read where no file is named.
const DEFAULT_FILE: &str = "cofferdam.toml";

pub(super) fn serve(args: Serve, format: LogFormat) -> ExitCode {
    let default = Path::new(DEFAULT_FILE);
    let file = args.config.as_deref().or_else(|| default.exists().then_some(default));
    let mut config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Err(problem) = config.check_listen() {
        return bad_config(&problem);
    }
    raise_open_files();
    let (gathering, spans) = telemetry::queue(&config.telemetry).unzip();
    if let Err(error) = telemetry::init_with(format, None, gathering) {
        return bad_config(&format!("COFFERDAM_LOG is no filter: {error}"));
    }
    run(async {
        let mut app = App::open(config).await?;
        spans.map_or(Ok(()), |spans| app.export(spans))?;
        // Tools wait for this line.
        println!("listening on http://{}", app.local_addr());
        app.serve(asked_to_stop()).await
    })
}

/// Lets the process open as many files as the system grants it: the usual soft limit of 1024 is fewer connections than our limits allow.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where that is refused the limit stays as it was, which is no reason not to serve.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Runs `work` on a runtime with a thread per core.
pub(super) fn run(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = runtime.block_on(work);
    // What still blocks, an index being built or a text being cut, is lost without harm: a document is stored whole or not at all.
    runtime.shutdown_timeout(LAST_WORK);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}")),
    }
}

/// Ends at SIGTERM or Ctrl-C.
pub(super) async fn asked_to_stop() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .expect("a handler for SIGTERM can be set while the runtime has its signal driver");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
