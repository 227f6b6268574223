//! What the operator's file says about providers: an entry for each, and the kinds that there are.
//! What only one vendor's entries have stands in the vendor's folder; this file is the list of the vendors.

use std::collections::BTreeMap;

use super::adapter::{Dialect, Unsupported};
use super::limits::Limits;
use super::plugin;
use super::providers::anthropic::{self, Anthropic, AnthropicOptions};
use super::providers::azure::{self, Azure, AzureOptions};
use super::providers::builtin;
use super::providers::gemini::{self, Gemini};
use super::providers::openai::{self, OpenAi, OpenAiOptions};
use super::providers::workers::{self, Workers};
use super::secrets::OAuthConfig;
use super::vendor::{OptionKeys, VendorInfo};

/// What the operator's file says about models.
#[derive(Clone, Debug)]
pub struct Config {
    /// By name. The vendors whose URL is known, and the built-in answerer, are there without an entry.
    pub providers: BTreeMap<String, ProviderConfig>,
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        let entry = |kind: Kind| {
            let url = if kind.is_inside() { Some("") } else { kind.info().default_url };
            url.map(|url| (kind.info().name.to_owned(), ProviderConfig::new(kind, url)))
        };
        Self { providers: Kind::ALL.into_iter().filter_map(entry).collect(), limits: Limits::default() }
    }
}

/// The vendors' dialects that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenAI's chat completions, and every server that speaks them.
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's generateContent.
    Gemini,
    /// OpenAI's models on Azure, by deployment.
    AzureOpenAi,
    /// Cloudflare's models, behind their OpenAI-compatible or their own API.
    WorkersAi,
    /// The answerer inside this program; needs no network.
    Builtin,
    /// The plugins of this server that are models; needs no network either.
    Plugin,
}

impl Kind {
    /// In the order in which operators are told of them.
    pub const ALL: [Self; 7] =
        [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::AzureOpenAi, Self::WorkersAi, Self::Builtin, Self::Plugin];

    /// Whether it runs inside this program: it has no URL and no key.
    pub fn is_inside(self) -> bool {
        matches!(self, Self::Builtin | Self::Plugin)
    }

    /// The kind that the operator's file calls `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.info().name == name)
    }

    pub fn info(self) -> &'static VendorInfo {
        match self {
            Self::OpenAi => &openai::INFO,
            Self::Anthropic => &anthropic::INFO,
            Self::Gemini => &gemini::INFO,
            Self::AzureOpenAi => &azure::INFO,
            Self::WorkersAi => &workers::INFO,
            Self::Builtin => &builtin::INFO,
            Self::Plugin => &plugin::INFO,
        }
    }

    /// What OpenTelemetry's semantic conventions call the provider.
    pub fn system(self) -> &'static str {
        self.info().system
    }
}

/// One entry under `[providers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Up to and including the API's version, such as `/v1`, without a slash at its end.
    pub base_url: String,
    /// The secret of targets that name none.
    pub secret_key_name: Option<String>,
    /// The client whose tokens are the keys; the secrets are then the client's.
    pub oauth: Option<OAuthConfig>,
    /// What becomes of a field that the vendor cannot take.
    pub unsupported: Unsupported,
    /// Models that clients may name as `PROVIDER/MODEL` without a pipeline; `*` stands for every one.
    pub models: Vec<String>,
    pub options: Options,
}

/// What only entries of one kind have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Options {
    OpenAi(OpenAiOptions),
    Anthropic(AnthropicOptions),
    Gemini,
    AzureOpenAi(AzureOptions),
    WorkersAi,
    Builtin,
    Plugin,
}

impl ProviderConfig {
    /// With the defaults of everything else.
    pub fn new(kind: Kind, base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            secret_key_name: None,
            oauth: None,
            unsupported: Unsupported::Refuse,
            models: Vec::new(),
            options: Options::of(kind),
        }
    }

    pub fn kind(&self) -> Kind {
        self.options.kind()
    }

    /// Whether the other entry is of the same API at the same place, asked in the same way.
    pub(super) fn names_the_endpoint_of(&self, other: &Self) -> bool {
        let of = |entry: &'_ Self| (entry.base_url.clone(), entry.oauth.clone(), entry.options.clone());
        of(self) == of(other)
    }

    /// How the provider is spoken to; none for those inside this program.
    pub(super) fn dialect(&self) -> Option<Box<dyn Dialect>> {
        Some(match &self.options {
            Options::OpenAi(options) => Box::new(OpenAi::at(&self.base_url, options)),
            Options::Anthropic(options) => Box::new(Anthropic::new(options)),
            Options::Gemini => Box::new(Gemini::new()),
            Options::AzureOpenAi(options) => Box::new(Azure::at(&self.base_url, options)),
            Options::WorkersAi => Box::new(Workers::at(&self.base_url)),
            Options::Builtin | Options::Plugin => return None,
        })
    }
}

impl Options {
    /// The defaults of a kind.
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::OpenAi => Self::OpenAi(OpenAiOptions::default()),
            Kind::Anthropic => Self::Anthropic(AnthropicOptions::default()),
            Kind::Gemini => Self::Gemini,
            Kind::AzureOpenAi => Self::AzureOpenAi(AzureOptions::default()),
            Kind::WorkersAi => Self::WorkersAi,
            Kind::Builtin => Self::Builtin,
            Kind::Plugin => Self::Plugin,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::OpenAi(_) => Kind::OpenAi,
            Self::Anthropic(_) => Kind::Anthropic,
            Self::Gemini => Kind::Gemini,
            Self::AzureOpenAi(_) => Kind::AzureOpenAi,
            Self::WorkersAi => Kind::WorkersAi,
            Self::Builtin => Kind::Builtin,
            Self::Plugin => Kind::Plugin,
        }
    }

    /// Shows `keys` every key that only this kind has.
    pub fn visit(&mut self, keys: &mut impl OptionKeys) {
        match self {
            Self::OpenAi(options) => options.visit(keys),
            Self::Anthropic(options) => options.visit(keys),
            Self::AzureOpenAi(options) => options.visit(keys),
            Self::WorkersAi => workers::visit(keys),
            Self::Gemini | Self::Builtin | Self::Plugin => {}
        }
    }
}
