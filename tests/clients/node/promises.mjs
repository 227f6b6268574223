// How the checks talk to the server and tell what they found. Everything that the client reads is also written down, a line of JSON for
// each exchange, for `tests/clients/python/published.py` to judge. Must not know what is promised.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

export const WITH_USAGE = { stream_options: { include_usage: true } };

/** The client of the package in the folder that has `node_modules`, and the package itself. */
export function clientOf(modules, address) {
  const openai = createRequire(`${modules}/`)("openai");
  const exchanges = [];
  const recording = async (url, init) => {
    const answer = await fetch(url, init);
    const { pathname } = new URL(url);
    const type = answer.headers.get("content-type") ?? "";
    const exchange = answer.clone().text().then((text) => ({ path: pathname, status: answer.status, type, text }));
    // A connection that breaks is told at the end, after the client's own words on it.
    exchange.catch(() => {});
    exchanges.push(exchange);
    return answer;
  };
  // No retries: a server that fails at times fails here. The timeout only keeps a stuck server from holding up the test.
  const patience = { maxRetries: 0, timeout: 60_000 };
  const client = new openai.OpenAI({ baseURL: `http://${address}/v1`, apiKey: "none", fetch: recording, ...patience });
  return { openai, client, exchanges };
}

export function textOf(chunks) {
  return chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta.content ?? "")).join("");
}

export async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

/** The error that the call is refused with: of that class, with that code where one is given. */
export async function refused(call, kind, code) {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof kind)) throw error;
    assert.ok(error.requestID && error.error.message, error);
    if (code) assert.equal(error.code, code);
    return error;
  }
  assert.fail(`${kind.name} was not thrown`);
}

/** Tries each promise, one line a promise; gives how many are broken. */
export async function keep(promises, subject, ...what) {
  let broken = 0;
  for (const promise of promises) {
    const name = `${subject} ${promise.name}`.trim();
    try {
      await promise(...what);
      console.log(`kept: ${name}`);
    } catch (error) {
      broken += 1;
      console.log(`BROKEN: ${name}\n${error.stack}`);
    }
  }
  return broken;
}

/** Writes what was read into the file, all exchanges being over, and ends. */
export async function finish(exchanges, file, broken) {
  const lines = (await Promise.all(exchanges)).map((exchange) => `${JSON.stringify(exchange)}\n`);
  assert.ok(lines.length > 0, "nothing was asked");
  writeFileSync(file, lines.join(""));
  process.exitCode = broken === 0 ? 0 : 1;
}
