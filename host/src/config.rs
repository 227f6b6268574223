//! `cofferdam.toml`: from the file's text to a checked `Config`. Every problem is reported in one run, with its line and key path.
//! Each room declares its own part of the configuration; this room names the keys of those parts, reads them and prints them.
//! Parsing does no IO: only `Config::load` opens a file, so every rule is tested on a text.

mod changes;
mod embedders;
mod embeddings;
mod http;
mod json;
mod keys;
mod ledger;
mod limits;
mod listen;
mod namespaces;
mod pipelines;
mod plugins;
mod precisions;
mod print;
mod problem;
mod providers;
mod read;
mod rerankers;
mod section;
mod sources;
mod surfaces;
mod telemetry;
mod walk;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::http::{ADDRESSES_MAX, ListenAddress, TlsFiles};
use crate::ledger::Prices;
use crate::pipeline::{EmbeddingModel, Pipeline};
use crate::{llm, rag, sandbox};
use print::Printer;
use problem::Report;
use walk::{Walk, millis, seconds};

pub use changes::{Change, ChangeKind};
pub use problem::{Problem, Problems};

/// The file name in problems of a text that was not read from a file.
const NAME: &str = "cofferdam.toml";
/// Far more than people write, and far less than a wrong path such as `/dev/zero` would deliver.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Everything the operator decides, checked, with every default filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Never empty.
    pub listen: Vec<ListenAddress>,
    /// Empty if the operator's routes are with the others.
    pub admin_listen: Vec<ListenAddress>,
    /// None: connections are not encrypted.
    pub tls: Option<TlsFiles>,
    /// The mode of the socket files of `unix:` addresses.
    pub socket_mode: u32,
    /// How long a start waits for the data_dir that another server has.
    pub handover_time: Duration,
    pub data_dir: PathBuf,
    pub plugin_dir: PathBuf,
    /// Directory with one file for each secret; it is searched before the environment.
    pub secret_dir: Option<PathBuf>,
    /// Whether `/readyz` answers 503 while a pipeline of the file cannot run for want of a plugin.
    pub ready_requires_plugins: bool,
    pub keys: crate::http::Keys,
    /// Whose pages may call `/v1` from a browser.
    pub cors_origins: crate::http::Origins,
    /// What Open WebUI is served.
    pub open_webui: crate::http::OpenWebUi,
    pub http: crate::http::Limits,
    pub llm: llm::Config,
    pub plugins: BTreeMap<String, sandbox::PluginConfig>,
    pub sandbox: sandbox::ServerLimits,
    pub kv: sandbox::kv::KvLimits,
    pub rag: rag::Limits,
    /// What documents and questions are embedded by.
    pub embedders: rag::Embedders,
    /// Documents that are fetched by URL.
    pub sources: Vec<rag::Source>,
    /// Models that pipelines may have their hits ranked by.
    pub rerankers: BTreeMap<String, rag::RerankModel>,
    /// How finely the vector indexes keep vectors.
    pub precisions: rag::Precisions,
    pub ledger: crate::ledger::Limits,
    pub prices: Prices,
    /// Never empty: if the file has none, it is the built-in `default`.
    pub pipelines: Vec<Pipeline>,
    /// Never empty: if the file has none, it is the embedder inside this program, as `minilm`.
    pub embeddings: Vec<EmbeddingModel>,
    /// How many pipelines the API may keep in the database.
    pub pipelines_max: usize,
    pub telemetry: crate::telemetry::Export,
    pub log: crate::telemetry::LogLimits,
    /// Which lines are logged, if the environment does not say so.
    pub log_filter: Option<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the configuration file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Invalid(#[from] Problems),
}

impl Config {
    /// Reads the file at `path`; without a path, every value is its default. Relative paths in the file count from its directory.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else { return Ok(Self::default()) };
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let mut text = String::new();
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)).map_err(failed)?;
        if text.len() as u64 == FILE_BYTES_MAX {
            return Err(failed(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes"))));
        }
        let absolute = std::path::absolute(path).map_err(failed)?;
        let dir = absolute.parent().unwrap_or(Path::new(""));
        Self::parse(&text, dir).map_err(|problems| Error::Invalid(Problems { file: path.display().to_string(), ..problems }))
    }

    /// Reads a file's text; relative paths in it count from `dir`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, dir: &Path) -> Result<Self, Problems> {
        let report = Report::new(text);
        let mut config = Self::default();
        section::root(&report, |keys| {
            listen::read(keys, &mut config.listen);
            config.top_level(keys);
            keys.table("admin", |keys| listen::read_admin(keys, &mut config.admin_listen, &config.listen));
            keys.table("tls", |keys| config.tls = listen::read_tls(keys));
            keys.table("keys", |keys| keys::read(keys, &mut config.keys));
            let taken = [&config.listen[..], &config.admin_listen].concat();
            keys.table("surfaces", |keys| surfaces::read(keys, &mut config.open_webui, &mut config.keys, &taken));
            let with_keys = !config.keys.is_empty();
            keys.table("http", |keys| http::read(keys, &mut config.cors_origins, &mut config.socket_mode, with_keys));
            keys.table("limits", |keys| config.limits(keys));
            keys.table("telemetry", |keys| telemetry::read(keys, &mut config.telemetry, &mut config.log, &mut config.log_filter));
            keys.table("providers", |keys| providers::read(keys, &mut config.llm.providers));
            keys.table("rag", |keys| {
                embedders::read(keys, &mut config.embedders, &config.llm.providers);
                sources::read(keys, &mut config.sources);
                rerankers::read(keys, &mut config.rerankers, &config.llm.providers);
                precisions::read(keys, &mut config.precisions);
                namespaces::read(keys, &mut config.embedders, &mut config.precisions);
            });
            keys.table("prices", |keys| ledger::read_prices(keys, &mut config.prices));
            keys.table("plugins", |keys| plugins::read(keys, &mut config.plugins));
            let pipelines = pipelines::read(keys, &config.llm.providers, &config.rerankers);
            if !pipelines.is_empty() {
                config.pipelines = pipelines;
            }
            let embeddings = embeddings::read(keys, &config.llm.providers);
            if !embeddings.is_empty() {
                config.embeddings = embeddings;
            }
        });
        config.data_dir = dir.join(&config.data_dir);
        config.plugin_dir = dir.join(&config.plugin_dir);
        config.secret_dir = config.secret_dir.map(|secrets| dir.join(secrets));
        embedders::within(dir, &mut config.embedders);
        config.tls = config.tls.map(|files| listen::within(dir, files));
        report.result(NAME, config)
    }

    /// The configuration as the text of a file that names every key and reads back to the same configuration. Only the hashes of
    /// `[keys]` are shortened, and stand in comments.
    pub fn effective(&self) -> String {
        let mut printer = Printer::default();
        let mut config = self.clone();
        listen::print(&mut printer, &self.listen);
        config.top_level(&mut printer);
        printer.table("admin", |keys| listen::print(keys, &self.admin_listen));
        if let Some(files) = &self.tls {
            printer.table("tls", |keys| listen::print_tls(keys, files));
        }
        keys::print(&mut printer, &self.keys);
        printer.table("http", |keys| http::print(keys, &self.cors_origins, self.socket_mode));
        printer.table("surfaces", |keys| surfaces::print(keys, &self.open_webui, &self.keys));
        printer.table("limits", |keys| config.limits(keys));
        printer.table("telemetry", |keys| telemetry::print(keys, &self.telemetry, self.log, self.log_filter.as_deref()));
        printer.table("providers", |keys| providers::print(keys, &self.llm.providers));
        printer.table("rag", |keys| {
            precisions::print(keys, &self.precisions);
            embedders::print(keys, &self.embedders);
            rerankers::print(keys, &self.rerankers);
            namespaces::print(keys, &self.embedders, &self.precisions);
        });
        sources::print(&mut printer, &self.sources);
        printer.table("prices", |keys| ledger::print_prices(keys, &self.prices));
        printer.table("plugins", |keys| plugins::print(keys, &self.plugins));
        pipelines::print(&mut printer, &self.pipelines);
        embeddings::print(&mut printer, &self.embeddings);
        printer.finish()
    }

    /// Checks that every address that others can reach is protected by keys. This is not part of `parse`, because the command line may name
    /// other addresses than the file.
    ///
    /// # Errors
    /// One of them is not loopback and there is no key, or there are too many.
    pub fn check_listen(&self) -> Result<(), Problem> {
        let of = |path: &'static str, addresses: &'_ [ListenAddress]| {
            addresses.iter().map(move |address| (path, address.clone())).collect::<Vec<_>>()
        };
        let problem = |path: &str, message| Err(Problem { line: None, path: path.into(), message });
        if self.listen.len() > ADDRESSES_MAX {
            return problem("listen", format!("expected 1 to {ADDRESSES_MAX} addresses, found {}", self.listen.len()));
        }
        let own = of("surfaces.pipelines.listen", &self.open_webui.listen);
        for (path, address) in [of("listen", &self.listen), of("admin.listen", &self.admin_listen), own].concat() {
            if self.keys.is_empty() && address.is_local() == Some(false) {
                let message = format!(
                    "{address} can be reached by others, and there are no `[keys]`; without keys only a loopback address is allowed"
                );
                return problem(path, message);
            }
        }
        Ok(())
    }

    /// What differs from this configuration in the `next` one, by key.
    pub fn changes(&self, next: &Self) -> Vec<Change> {
        changes::changes((&self.effective(), &self.keys), (&next.effective(), &next.keys))
    }

    /// Checks that a server which wants keys does not become one that wants none. A file that is being saved may be empty for a moment, and
    /// whoever reaches the server would come in.
    ///
    /// # Errors
    /// The server that is `running` has keys, and this configuration has none.
    pub fn check_keys(&self, running: &Self) -> Result<(), Problem> {
        if running.keys.is_empty() || !self.keys.is_empty() {
            return Ok(());
        }
        let message = "the running server has keys and this file has none; to serve without keys, restart the server";
        Err(Problem { line: None, path: "keys".into(), message: message.into() })
    }

    /// Takes from the configuration that is `running` what cannot change while it does: sockets, directories, threads, pools and queues that
    /// were made when the server started.
    pub fn keep_what_needs_a_restart(&mut self, running: &Self) {
        self.listen.clone_from(&running.listen);
        self.admin_listen.clone_from(&running.admin_listen);
        self.open_webui.listen.clone_from(&running.open_webui.listen);
        self.socket_mode = running.socket_mode;
        self.tls.clone_from(&running.tls);
        self.handover_time = running.handover_time;
        self.kv = running.kv;
        self.data_dir.clone_from(&running.data_dir);
        self.plugin_dir.clone_from(&running.plugin_dir);
        self.http.keep_what_needs_a_restart(&running.http);
        self.sandbox.keep_what_needs_a_restart(&running.sandbox);
        self.rag.embed_threads = running.rag.embed_threads;
        (self.rag.source_bytes, self.rag.source_time) = (running.rag.source_bytes, running.rag.source_time);
        self.embedders.clone_from(&running.embedders);
        self.sources.clone_from(&running.sources);
        self.precisions.clone_from(&running.precisions);
        self.ledger.keep_what_needs_a_restart(&running.ledger);
        self.telemetry.clone_from(&running.telemetry);
        self.log = running.log;
    }

    fn top_level(&mut self, keys: &mut impl Walk) {
        keys.path("data_dir", &mut self.data_dir);
        keys.path("plugin_dir", &mut self.plugin_dir);
        keys.optional_path("secret_dir", &mut self.secret_dir);
        keys.flag("ready_requires_plugins", &mut self.ready_requires_plugins);
    }

    fn limits(&mut self, keys: &mut impl Walk) {
        // 0: pipelines come from the file only.
        keys.count("pipelines", &mut self.pipelines_max, 0..=100_000);
        // 0: a data_dir that is in use is an error at once.
        keys.duration("handover_time", &mut self.handover_time, millis(0)..=seconds(3_600));
        keys.table("http", |keys| http::limits(keys, &mut self.http));
        keys.table("providers", |keys| limits::providers(keys, &mut self.llm.limits));
        keys.table("plugins", |keys| limits::plugins(keys, &mut self.sandbox));
        keys.table("kv", |keys| limits::kv(keys, &mut self.kv));
        keys.table("rag", |keys| limits::rag(keys, &mut self.rag));
        keys.table("ledger", |keys| ledger::limits(keys, &mut self.ledger));
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Only this machine can reach it until the operator names another address.
            listen: vec![ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))],
            admin_listen: Vec::new(),
            tls: None,
            // Whoever may use the files of the server's user may talk to it; the operator opens it to a proxy's group.
            socket_mode: 0o600,
            // Twice as long as a server drains by default.
            handover_time: seconds(60),
            data_dir: "data".into(),
            plugin_dir: "plugins".into(),
            secret_dir: None,
            // A server that would answer 503 to what it is there for should get no requests.
            ready_requires_plugins: true,
            keys: crate::http::Keys::default(),
            cors_origins: crate::http::Origins::default(),
            open_webui: crate::http::OpenWebUi::default(),
            http: crate::http::Limits::default(),
            llm: llm::Config::default(),
            plugins: BTreeMap::new(),
            sandbox: sandbox::ServerLimits::default(),
            kv: sandbox::kv::KvLimits::default(),
            rag: rag::Limits::default(),
            embedders: rag::Embedders::default(),
            sources: Vec::new(),
            rerankers: BTreeMap::new(),
            precisions: rag::Precisions::default(),
            ledger: crate::ledger::Limits::default(),
            prices: Prices::new(),
            pipelines: vec![pipelines::default()],
            embeddings: vec![embeddings::default()],
            // One for each team and purpose; each of them is a row in the database and an entry of `/v1/models`.
            pipelines_max: 256,
            telemetry: crate::telemetry::Export::default(),
            log: crate::telemetry::LogLimits::default(),
            log_filter: None,
        }
    }
}

#[cfg(test)]
mod tests;
