//! Five hundred components made by chance, and always the same ones: a seed is all that one is made of. Some are random from end to end, some of
//! these stand inside a component that has a hook's export, and most are hooks of the right shape whose code is random.

use std::error::Error;
use std::fs;
use std::path::Path;

use arbitrary::Unstructured;
use wasm_smith::{Component, Config, Module};

/// Seeds of the three kinds.
const WHOLE: u64 = 50;
const INSIDE: u64 = 100;
const HOOKS: u64 = 350;

/// Random bytes that one component is made of.
const BYTES: usize = 4 << 10;

/// What a hook's module has to export.
const SHAPE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "cofferdam:hooks/pre-hook@0.2.0#on-request") (param i32) (result i32) unreachable))"#;

/// Writes `KIND-SEED.wasm` of all of them into the folder.
pub(crate) fn write(
    folder: &Path,
    hook: impl Fn(Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>>,
    inside: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let shape = wat::parse_str(SHAPE)?;
    for seed in 0..WHOLE + INSIDE + HOOKS {
        let bytes = random(seed);
        let mut source = Unstructured::new(&bytes);
        let (kind, component) = if seed < WHOLE + INSIDE {
            let component = Component::new(Config::default(), &mut source)?.to_bytes();
            if seed < WHOLE { ("whole", component) } else { ("inside", inside(&component)) }
        } else {
            // The host's own set of features, so that these reach further than its validator; all of it may trap and run for ever.
            let config = Config {
                exports: Some(shape.clone()),
                max_imports: 0,
                max_funcs: 12,
                exceptions_enabled: false,
                gc_enabled: false,
                memory64_enabled: false,
                reference_types_enabled: false,
                threads_enabled: false,
                ..Config::default()
            };
            ("hook", hook(Module::new(config, &mut source)?.to_bytes())?)
        };
        fs::write(folder.join(format!("{kind}-{seed}.wasm")), component)?;
    }
    Ok(())
}

/// The same bytes for a seed on every machine (SplitMix64).
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..BYTES / 8).flat_map(|_| next().to_le_bytes()).collect()
}
