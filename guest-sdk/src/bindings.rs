//! What `wit-bindgen` makes of `../wit`: one module for the types and imports, one for each interface that a plugin may export.
//! A world with one export each, not one with all: the host finds hooks by looking at exports, and the linker unites
//! the worlds whose `export!` macro a plugin uses and leaves out the imports that nothing calls. The names of the worlds differ, because each names a macro.
//! Must hold nothing written by hand.
#![allow(unsafe_code, unreachable_pub, missing_docs, clippy::all, reason = "generated")]

pub mod imports {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package sdk:imports; world all { include cofferdam:hooks/imports@0.2.0; import cofferdam:hooks/reply@0.2.0; }",
        world: "sdk:imports/all",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

pub mod described {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package sdk:exports; world described { export cofferdam:hooks/plugin@0.2.0; }",
        world: "sdk:exports/described",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::described",
        additional_derives: [PartialEq],
        with: { "cofferdam:hooks/shapes@0.2.0": crate::bindings::imports::cofferdam::hooks::shapes },
    });
}

pub mod pre {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package sdk:exports; world pre { export cofferdam:hooks/pre-hook@0.2.0; }",
        world: "sdk:exports/pre",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::pre",
        additional_derives: [PartialEq],
        with: { "cofferdam:hooks/shapes@0.2.0": crate::bindings::imports::cofferdam::hooks::shapes },
    });
}

pub mod post {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package sdk:exports; world post { export cofferdam:hooks/post-hook@0.2.0; }",
        world: "sdk:exports/post",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::post",
        additional_derives: [PartialEq],
        with: { "cofferdam:hooks/shapes@0.2.0": crate::bindings::imports::cofferdam::hooks::shapes },
    });
}

pub mod stream {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package sdk:exports; world streams { export cofferdam:hooks/stream-hook@0.2.0; }",
        world: "sdk:exports/streams",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::stream",
        additional_derives: [PartialEq],
        with: { "cofferdam:hooks/shapes@0.2.0": crate::bindings::imports::cofferdam::hooks::shapes },
    });
}

pub mod answers {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package sdk:exports; world answers { export cofferdam:hooks/model@0.2.0; }",
        world: "sdk:exports/answers",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::answers",
        additional_derives: [PartialEq],
        with: { "cofferdam:hooks/shapes@0.2.0": crate::bindings::imports::cofferdam::hooks::shapes },
    });
}

pub mod vectors {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package sdk:exports; world vectors { export cofferdam:hooks/embedder@0.2.0; }",
        world: "sdk:exports/vectors",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::vectors",
        additional_derives: [PartialEq],
        with: { "cofferdam:hooks/shapes@0.2.0": crate::bindings::imports::cofferdam::hooks::shapes },
    });
}

pub mod done {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package sdk:exports; world done { export cofferdam:hooks/done-hook@0.2.0; }",
        world: "sdk:exports/done",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "cofferdam_guest::bindings::done",
        additional_derives: [PartialEq],
        with: { "cofferdam:hooks/shapes@0.2.0": crate::bindings::imports::cofferdam::hooks::shapes },
    });
}
