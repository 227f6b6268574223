//! Rust shapes of the contract in `wit/`, generated. One world per export, so that a component may have any of them, and one set of
//! shared types for all worlds.

/// A component with a pre-hook; its module also holds the shared types and the imports.
pub(super) mod pre {
    wasmtime::component::bindgen!({
        world: "cofferdam:hooks/bare-pre",
        path: "../wit",
        imports: { default: trappable },
        exports: { default: async },
    });
}

/// A component with a post-hook.
pub(super) mod post {
    wasmtime::component::bindgen!({
        world: "cofferdam:hooks/bare-post",
        path: "../wit",
        exports: { default: async },
        imports: { default: trappable },
        with: {
            "cofferdam:hooks/types": crate::sandbox::bindings::pre::cofferdam::hooks::types,
            "cofferdam:hooks/log": crate::sandbox::bindings::pre::cofferdam::hooks::log,
            "cofferdam:hooks/config": crate::sandbox::bindings::pre::cofferdam::hooks::config,
        },
    });
}

/// A component that says who it is.
pub(super) mod described {
    wasmtime::component::bindgen!({
        world: "cofferdam:hooks/described",
        path: "../wit",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "cofferdam:hooks/types": crate::sandbox::bindings::pre::cofferdam::hooks::types,
            "cofferdam:hooks/log": crate::sandbox::bindings::pre::cofferdam::hooks::log,
            "cofferdam:hooks/config": crate::sandbox::bindings::pre::cofferdam::hooks::config,
        },
    });
}

pub(super) use pre::cofferdam::hooks::{log, types};
