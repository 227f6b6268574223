# The commands people type; `.ci/run` holds what CI checks, step by step.

# What is there.
default:
    @{{ just_executable() }} --list --unsorted

# Format, and compile the library and its tests without building them: the quickest answer of the compiler.
check-fast:
    cargo fmt --all
    CARGO_INCREMENTAL=1 cargo check -p cofferdam --lib --tests

# The unit tests whose path contains FILTER, e.g. `just unit gemini`.
unit filter="" *args:
    CARGO_INCREMENTAL=1 cargo test -p cofferdam --lib {{ filter }} -- {{ args }}

# The end-to-end tests whose path contains FILTER, e.g. `just it fallback`; `just it tidy` is the house rules.
it filter="" *args:
    CARGO_INCREMENTAL=1 cargo test -p cofferdam --test it {{ filter }} -- {{ args }}

# Every test: units, the house rules, the gateway from end to end.
test:
    cargo test --workspace

# Format, lints, documentation, dependencies.
check:
    CARGO_INCREMENTAL=1 .ci/run fmt clippy doc deny

# Bytes against one decoder until stopped or broken: framer, openai, azure, anthropic, gemini, workers or whole. Wants nightly and cargo-fuzz.
fuzz target *args:
    mkdir -p tests/fuzz/corpus/{{ target }}
    cp Cargo.lock tests/fuzz/Cargo.lock
    cargo +nightly fuzz run --fuzz-dir tests/fuzz {{ target }} tests/fuzz/corpus/{{ target }} host/src/llm/providers/*/golden -- {{ args }}

# Sandbox and gateway, each as a ratio to the bare thing within one run, and a knowledge base of 50,000 chunks.
bench:
    cargo bench -p cofferdam --bench sandbox --bench platform --bench gateway --bench knowledge

# The server, e.g. `just run --config cofferdam.toml`.
run *args:
    cargo run --release -- serve {{ args }}

# The whole way of a request with nothing set up: builds the plugins, serves, prints a curl line.
demo:
    cargo run --release -- demo

# Known weaknesses of dependencies; fetches a database.
audit:
    .ci/run audit

# Everything that must hold before a change lands, as CI does it.
ci:
    .ci/run
