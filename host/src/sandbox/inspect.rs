//! A look at a dropped file's first bytes, so that a mistake is answered with what to do.
//! Nothing is compiled or run here; whether the component is valid is decided by the compiler.

/// Version 13, layer 1: the binary format of components.
const COMPONENT: [u8; 4] = [0x0d, 0x00, 0x01, 0x00];
/// Version 1, layer 0: a core module.
const CORE_MODULE: [u8; 4] = [0x01, 0x00, 0x00, 0x00];

/// Accepts what begins like a component.
///
/// # Errors
/// A sentence for the plugin's author: what the file is and how to get a component.
pub(super) fn inspect(bytes: &[u8]) -> Result<(), String> {
    match bytes {
        [] => Err("the file is empty; copy the component again".into()),
        [b'\0', b'a', b's', b'm', version @ ..] => match version.first_chunk::<4>() {
            Some(&COMPONENT) => Ok(()),
            Some(&CORE_MODULE) => Err("this is a core module, not a component; build for the target wasm32-wasip2, \
                 or turn it into a component with `wasm-tools component new core.wasm -o plugin.wasm`"
                .into()),
            Some(other) => Err(format!("its WebAssembly version {other:02x?} is unknown; rebuild it with current component tools")),
            None => Err("the file is truncated; copy it again, best under another name followed by a rename".into()),
        },
        [0x7f, b'E', b'L', b'F', ..] => Err(
            "this is compiled machine code (.cwasm or an ELF file), which is never loaded; drop the .wasm component that it was made from"
                .into(),
        ),
        _ if bytes.starts_with(b"(component") || bytes.starts_with(b"(module") => {
            Err("this is WebAssembly text; turn it into binary with `wasm-tools parse`".into())
        }
        _ if std::str::from_utf8(bytes).is_ok() => {
            Err("this is a text file, not a component; build the plugin for the target wasm32-wasip2 and drop the .wasm file".into())
        }
        _ => Err("this is no WebAssembly; build the plugin for the target wasm32-wasip2 and drop the .wasm file".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(bytes: &[u8], part: &str) {
        let reason = inspect(bytes).expect_err("must be refused");
        assert!(reason.contains(part), "{reason}");
    }

    #[test]
    fn what_is_no_component_is_refused_with_what_to_do() {
        refused(b"", "empty");
        refused(b"\0asm\x01\0\0\0rest", "wasm-tools component new");
        refused(b"\0asm\x0d\0", "truncated");
        refused(b"\0asm\x0a\0\x01\0", "unknown");
        refused(b"\x7fELF\x02", "never loaded");
        refused(b"(component)", "wasm-tools parse");
        refused(b"hello", "text file");
        refused(&[0xff, 0xfe, 0x00], "no WebAssembly");
        assert_eq!(inspect(b"\0asm\x0d\0\x01\0"), Ok(()));
    }
}
