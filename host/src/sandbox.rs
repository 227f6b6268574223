//! Running code that nobody vetted: engine, limits, faults, the plugin directory.
//! Must not know HTTP, providers or retrieval.
