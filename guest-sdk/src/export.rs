//! `export!`: makes a component out of a type. It exports exactly the hooks that are named, because the host finds out what a plugin does
//! by looking at the component's exports.

/// Exports a [`Plugin`](crate::Plugin) with the hooks named: `export!(P: pre_hook)`, `export!(P: post_hook)`, `export!(P: done_hook)`,
/// `export!(P: stream_hook)`, which wants a [`StreamHook`](crate::StreamHook) too, or several of them with commas between; `export!(P: model)` makes a
/// model of it, and `export!(P: embedder)` something that computes vectors. Once in a crate. On targets other than WebAssembly it only checks that the type is a plugin.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($hook:ident),+ $(,)?) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
            impl $crate::bindings::described::exports::cofferdam::hooks::plugin::Guest for $plugin {
                fn describe() -> $crate::bindings::described::exports::cofferdam::hooks::plugin::Description {
                    $crate::describe::<$plugin>($crate::Package {
                        name: ::core::env!("CARGO_PKG_NAME"),
                        version: ::core::env!("CARGO_PKG_VERSION"),
                        description: ::core::env!("CARGO_PKG_DESCRIPTION"),
                    })
                }
            }
            #[cfg(target_family = "wasm")]
            $crate::bindings::described::export!($plugin with_types_in $crate::bindings::described);
            #[cfg(not(target_family = "wasm"))]
            let _ = $crate::describe::<$plugin>;
        };
        $($crate::export_hook!($plugin: $hook);)+
    };
}

/// One export of a hook; alone it makes a component that does not describe itself, known by its file's name.
#[macro_export]
macro_rules! export_hook {
    ($plugin:ident: pre_hook) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
    $crate::bindings::pre::export!($plugin with_types_in $crate::bindings::pre);
            #[cfg(not(target_family = "wasm"))]
            let _ = <$plugin as $crate::Plugin>::on_request;
        };
    };
    ($plugin:ident: post_hook) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
    $crate::bindings::post::export!($plugin with_types_in $crate::bindings::post);
            #[cfg(not(target_family = "wasm"))]
            let _ = <$plugin as $crate::Plugin>::on_reply;
        };
    };
    ($plugin:ident: stream_hook) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
    $crate::bindings::stream::export!($plugin with_types_in $crate::bindings::stream);
            #[cfg(not(target_family = "wasm"))]
            let _ = <$plugin as $crate::StreamHook>::push;
        };
    };
    ($plugin:ident: model) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
    $crate::bindings::answers::export!($plugin with_types_in $crate::bindings::answers);
            #[cfg(not(target_family = "wasm"))]
            let _ = <$plugin as $crate::Plugin>::answer;
        };
    };
    ($plugin:ident: embedder) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
    $crate::bindings::vectors::export!($plugin with_types_in $crate::bindings::vectors);
            #[cfg(not(target_family = "wasm"))]
            let _ = <$plugin as $crate::Plugin>::embed;
        };
    };
    ($plugin:ident: done_hook) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
    $crate::bindings::done::export!($plugin with_types_in $crate::bindings::done);
            #[cfg(not(target_family = "wasm"))]
            let _ = <$plugin as $crate::Plugin>::on_done;
        };
    };
    ($plugin:ident: $hook:ident) => {
        ::core::compile_error!(::core::concat!(
            "no such hook: `",
            ::core::stringify!($hook),
            "`; there are pre_hook, post_hook, stream_hook, done_hook, model and embedder"
        ));
    };
}
