// One module of a function and of what it needs: node bundle.mjs FUNCTION SHIM OUT. Types are taken out on the way.
import { resolve } from 'node:path';
import { rolldown } from 'rolldown';

const [, , user, shim, out] = process.argv;
const external = [/^wasi:/, /^cofferdam:/];
const bundle = await rolldown({ input: resolve(shim), resolve: { alias: { 'user-module': resolve(user) } }, external });
await bundle.write({ file: resolve(out), format: 'esm' });
