#!/bin/sh
# Builds the stream hooks whose time per delta docs/benchmarks.md has, into the folder given. Needs Node 20, Python 3.11 and the network:
#   python3 -m venv TOOLS && TOOLS/bin/pip install componentize-py==0.25.1
#   npm install --prefix TOOLS @bytecodealliance/componentize-js@0.23.0 componentize-qjs@0.4.5
# Usage: build.sh TOOLS OUT, both absolute; then COFFERDAM_BENCH_COMPONENTS=OUT cargo bench -p cofferdam --bench platform
set -eu
cd "$(dirname "$0")"
NODE=$1/node_modules OUT=$2
mkdir -p "$OUT/wit/deps/hooks"
cp world.wit "$OUT/wit/" && cp ../../../wit/*.wit "$OUT/wit/deps/hooks/"
for name in spidermonkey quickjs; do sed "s/NAME/$name/" same.js > "$OUT/$name.js"; done
cat > "$1/spidermonkey.mjs" <<'END'
import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';
const [sourcePath, witPath, out] = process.argv.slice(2);
const disableFeatures = ['random', 'stdio', 'clocks', 'http', 'fetch-event'];
await writeFile(out, (await componentize({ sourcePath, witPath, worldName: 'same', disableFeatures })).component);
END
node "$1/spidermonkey.mjs" "$OUT/spidermonkey.js" "$OUT/wit" "$OUT/spidermonkey.wasm"
node "$NODE/componentize-qjs/bin/componentize-qjs" --sync --wit "$OUT/wit" --world same --js "$OUT/quickjs.js" --output "$OUT/quickjs.wasm"
"$1/bin/componentize-py" -d "$OUT/wit" -w same componentize same_app -s -o "$OUT/python.wasm"
