//! What the operator's file says about providers: an entry for each, and the kinds that there are. Must not know how the file is read, nor how a
//! provider is spoken to.

use std::collections::BTreeMap;

use super::adapter::Unsupported;
use super::limits::Limits;
use super::providers::azure::MaxTokensField;
use super::secrets::OAuthConfig;

/// What the operator's file says about models; `openai` and `builtin` are there without it.
#[derive(Clone, Debug)]
pub struct Config {
    pub providers: BTreeMap<String, ProviderConfig>,
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        let entry = |name: &str, kind, base_url: &str| (name.to_owned(), ProviderConfig::new(kind, base_url));
        let providers = [
            entry("anthropic", Kind::Anthropic, "https://api.anthropic.com/v1"),
            entry("builtin", Kind::Builtin, ""),
            entry("gemini", Kind::Gemini, "https://generativelanguage.googleapis.com/v1beta"),
            entry("openai", Kind::OpenAi, "https://api.openai.com/v1"),
        ];
        Self { providers: providers.into(), limits: Limits::default() }
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
}

impl Kind {
    /// What OpenTelemetry's semantic conventions call the provider; the last two are ours.
    pub fn system(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gcp.gemini",
            Self::AzureOpenAi => "azure.ai.openai",
            Self::WorkersAi => "cloudflare.workers_ai",
            Self::Builtin => "cofferdam.builtin",
        }
    }
}

/// One entry under `[providers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    pub kind: Kind,
    /// Up to and including the API's version, such as `/v1`, without a slash at its end.
    pub base_url: String,
    /// The secret of targets that name none.
    pub secret_key_name: Option<String>,
    /// Secrets are those of this OAuth client; tokens that it gets for them are the keys.
    pub oauth: Option<OAuthConfig>,
    /// What becomes of a field that the vendor cannot take.
    pub unsupported: Unsupported,
    /// Models that clients may name as `PROVIDER/MODEL` without a pipeline; `*` stands for every one.
    pub models: Vec<String>,
    /// OpenAI and Azure: usage is asked for with every stream; some servers refuse the question.
    pub stream_usage: bool,
    /// Azure: the dated API, whose URLs name the deployment. None is the `v1` API.
    pub api_version: Option<String>,
    /// Azure: keys are bearer tokens of Entra.
    pub bearer: bool,
    /// Azure: the field that the client's limit of tokens is sent in.
    pub max_tokens_field: MaxTokensField,
    /// Anthropic: tokens of a reply where the client names no limit, which its API requires.
    pub max_tokens: u32,
}

impl ProviderConfig {
    /// With the defaults of everything else.
    pub fn new(kind: Kind, base_url: impl Into<String>) -> Self {
        Self {
            kind,
            base_url: base_url.into(),
            secret_key_name: None,
            oauth: None,
            unsupported: Unsupported::Refuse,
            models: Vec::new(),
            stream_usage: true,
            api_version: None,
            bearer: false,
            max_tokens_field: MaxTokensField::default(),
            max_tokens: 4096,
        }
    }
}
