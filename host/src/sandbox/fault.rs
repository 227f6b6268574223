//! What can go wrong in a plugin call, by what a caller can do about it. A rejection is no fault: it is an answer (`Rejection`).
//! Each message names the key that would raise the limit.

use std::sync::Arc;

use super::Hook;

/// A plugin's call that did not end well.
#[derive(Clone, Debug, thiserror::Error)]
#[error("plugin `{plugin}` {version} failed in {hook}: {kind}")]
pub struct Fault {
    pub plugin: Arc<str>,
    pub version: Arc<str>,
    pub hook: Hook,
    pub kind: FaultKind,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The plugin returned its own error.
    #[error("it reported: {0}")]
    Reported(String),
    /// It went over a limit.
    #[error("{0}")]
    Exhausted(Exhausted),
    /// It trapped: a panic, an unreachable instruction, a wrong memory access.
    #[error("it trapped: {0}")]
    Trapped(String),
    /// What it returned cannot be used.
    #[error("its outcome is invalid: {0}")]
    Invalid(String),
    /// Nobody could run it: permits, memory or processor time were short.
    #[error(
        "no place, memory or processor time for the call became free in time (`limits.plugins.calls`, `calls_per_plugin`, `streams`, `streams_per_plugin`, `streams_memory`, `queue_time`, `memory`, `threads`, `starve_time`; of a model `model_calls`, `model_calls_per_plugin`, `model_memory`)"
    )]
    Busy,
    /// No plugin of that name is loaded.
    #[error("it is not loaded; GET /api/v1/plugins says what is, and why a file was refused")]
    NotLoaded,
    /// Its file is there and nobody has tried it yet, or the machine was at fault that it could not be.
    #[error("it is still being loaded; try again in a moment, and see GET /api/v1/plugins")]
    Loading,
    /// It is loaded but has no such hook.
    #[error("it has no such hook")]
    NoHook,
    /// It has the hook and no model of that name.
    #[error("{0}")]
    NoModel(String),
    /// The exchange's own time was over while the plugin waited for the client.
    #[error("the request took longer than the operator allows (`limits.http.request_time`)")]
    Deadline,
    /// A mistake of ours.
    #[error("the host failed: {0}")]
    Host(String),
}

/// Which limit, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    #[error("it used up its fuel ({0} operators; raise `plugins.NAME.limits.fuel`)")]
    Fuel(u64),
    #[error(
        "it asked for more memory than {0} bytes (raise `plugins.NAME.limits.memory`, or `composed_memory` of a component made of several)"
    )]
    Memory(usize),
    #[error("it asked for more than {0} table elements (raise `plugins.NAME.limits.table_elements`)")]
    Table(usize),
    #[error("it recursed too deeply for its stack")]
    Stack,
    #[error("it ran longer than {} ms (raise `plugins.NAME.limits.time`)", .0.as_millis())]
    Time(std::time::Duration),
    #[error("all its calls for one reply ran longer than {} ms (raise `plugins.NAME.limits.reply_time`)", .0.as_millis())]
    ReplyTime(std::time::Duration),
    #[error("it waited longer than {} ms in host calls (raise `plugins.NAME.limits.wait`)", .0.as_millis())]
    Wait(std::time::Duration),
    #[error("it returned more than {0} bytes (raise `plugins.NAME.limits.output`) or handed too much to one hostcall (`hostcall_bytes`)")]
    Output(usize),
}

impl Exhausted {
    /// The limit's key in the operator's file.
    pub fn limit(self) -> &'static str {
        match self {
            Self::Fuel(_) => "fuel",
            Self::Memory(_) => "memory",
            Self::Table(_) => "table_elements",
            Self::Stack => "stack",
            Self::Time(_) => "time",
            Self::ReplyTime(_) => "reply_time",
            Self::Wait(_) => "wait",
            Self::Output(_) => "output",
        }
    }
}

/// A plugin's decision to end the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// 400 to 499.
    pub status: u16,
    pub code: String,
    pub message: String,
    /// Seconds.
    pub retry_after: Option<u32>,
}

impl FaultKind {
    /// Whether the plugin was heard, or is not there to be heard. If not, nobody could run it, and what it would have said is unknown: a guard
    /// that is passed over then could be switched off by whoever keeps the server busy.
    pub fn is_the_plugins_own(&self) -> bool {
        match self {
            Self::Busy | Self::Loading | Self::Deadline | Self::Host(_) => false,
            Self::Reported(_)
            | Self::Exhausted(_)
            | Self::Trapped(_)
            | Self::Invalid(_)
            | Self::NotLoaded
            | Self::NoHook
            | Self::NoModel(_) => true,
        }
    }

    /// One word for metrics and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Reported(_) => "reported",
            Self::Exhausted(limit) => limit.limit(),
            Self::Trapped(_) => "trapped",
            Self::Invalid(_) => "invalid",
            Self::Busy => "busy",
            Self::NotLoaded => "not_loaded",
            Self::Loading => "loading",
            Self::NoHook => "no_hook",
            Self::NoModel(_) => "no_model",
            Self::Deadline => "deadline",
            Self::Host(_) => "host",
        }
    }
}
