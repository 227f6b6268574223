//! What `wit-bindgen` makes of `../wit`: one module for the types and imports, one for each interface that a plugin may export.
//! Three worlds with one export each, not one with all: the host finds hooks by looking at exports, and the linker unites
//! the worlds whose `export!` macro a plugin uses. Must hold nothing written by hand.
#![allow(unsafe_code, unreachable_pub, missing_docs, clippy::all, reason = "generated")]

pub mod imports {
    wit_bindgen::generate!({
        path: "../wit",
        world: "imports",
        generate_unused_types: true,
        additional_derives: [PartialEq],
        with: { "cofferdam:hooks/types@0.1.0": generate },
    });
}

pub mod described {
    wit_bindgen::generate!({
        path: "../wit",
        world: "described",
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::described",
        additional_derives: [PartialEq],
        with: {
            "cofferdam:hooks/types@0.1.0": super::imports::cofferdam::hooks::types,
            "cofferdam:hooks/log@0.1.0": super::imports::cofferdam::hooks::log,
            "cofferdam:hooks/config@0.1.0": super::imports::cofferdam::hooks::config,
        },
    });
}

pub mod pre {
    wit_bindgen::generate!({
        path: "../wit",
        world: "bare-pre",
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::pre",
        additional_derives: [PartialEq],
        with: {
            "cofferdam:hooks/types@0.1.0": super::imports::cofferdam::hooks::types,
            "cofferdam:hooks/log@0.1.0": super::imports::cofferdam::hooks::log,
            "cofferdam:hooks/config@0.1.0": super::imports::cofferdam::hooks::config,
        },
    });
}

pub mod post {
    wit_bindgen::generate!({
        path: "../wit",
        world: "bare-post",
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::post",
        additional_derives: [PartialEq],
        with: {
            "cofferdam:hooks/types@0.1.0": super::imports::cofferdam::hooks::types,
            "cofferdam:hooks/log@0.1.0": super::imports::cofferdam::hooks::log,
            "cofferdam:hooks/config@0.1.0": super::imports::cofferdam::hooks::config,
        },
    });
}
