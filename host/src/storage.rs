//! What must outlive the process, behind the ports that the rooms own: each backend is one folder here and implements all of them.
//! `app` opens a backend and hands each room its part; no other room knows which one serves.

pub mod sqlite;

use std::sync::Arc;

use crate::ledger::UsageStore;
use crate::pipeline::PipelineStore;
use crate::rag::DocumentStore;
use crate::sandbox::kv::KvStore;
use crate::sandbox::settings::PluginStore;

/// One backend, opened: a store for each room that keeps something.
#[derive(Clone)]
pub struct Stores {
    pub pipelines: Arc<dyn PipelineStore>,
    pub usage: Arc<dyn UsageStore>,
    pub documents: Arc<dyn DocumentStore>,
    pub kv: Arc<dyn KvStore>,
    pub plugins: Arc<dyn PluginStore>,
}
