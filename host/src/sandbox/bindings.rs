//! Rust shapes of the contract in `wit/`, generated: one set of types for all interfaces, those that this version does not serve included,
//! so that whoever adds one finds its types here. What is handed to hooks at every call has borrowed twins in `shapes`.
#![allow(dead_code, reason = "of an interface that is not served only the types are needed, to check a component against them")]

// Only what may wait is async; the others are answered at once and in every call.
wasmtime::component::bindgen!({
    world: "cofferdam:hooks/everything",
    path: "../wit",
    imports: {
        "cofferdam:hooks/log": trappable,
        "cofferdam:hooks/config": trappable,
        "cofferdam:hooks/metrics": trappable,
        default: async | trappable,
    },
    exports: { default: async },
});

// `self::`: rustdoc passes this crate to its tests under the same name.
pub(super) use self::cofferdam::hooks::{knowledge, kv, llm, log, metrics, reply, shapes as types};
pub(super) use exports::cofferdam::hooks::{model, plugin, post_hook, pre_hook, stream_hook};
