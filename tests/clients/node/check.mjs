// Talks to a running demo with the official Node client, as `tests/clients/python/check.py` does with the Python one.
// `check.mjs MODULES ADDRESS FILE`: the folder that has node_modules, the server, where to write down all that was read.

import assert from "node:assert/strict";

import { WITH_USAGE, all, clientOf, finish, keep, refused, textOf } from "./promises.mjs";

const [modules, address, file] = process.argv.slice(2);
const { openai, client, exchanges } = clientOf(modules, address);

const QUESTION = { model: "demo", messages: [{ role: "user", content: "How do I return a pump, and whom do I write to?" }] };
const create = (extra) => client.chat.completions.create({ ...QUESTION, ...extra });

function quotesAndRedacts(text) {
  assert.match(text, /\(returns\.md\)/);
  assert.match(text, /\[redacted e-mail\]/);
  assert.doesNotMatch(text, /desk@tidewater\.example/);
}

async function modelsAreListed() {
  const models = await all(client.models.list());
  assert.deepEqual(models.map(({ id }) => id), ["demo"]);
  assert.deepEqual({ ...(await client.models.retrieve("demo")) }, { ...models[0] });
  await refused(() => client.models.retrieve("nope"), openai.NotFoundError, "model_not_found");
}

async function anAnswerIsComplete() {
  const { data, request_id: id } = await create().withResponse();
  assert.ok(id);
  assert.deepEqual(data.choices.map((choice) => choice.finish_reason), ["stop"]);
  assert.ok(data.usage);
  quotesAndRedacts(data.choices[0].message.content);
}

async function aStreamIsComplete() {
  const chunks = await all(await create({ stream: true, ...WITH_USAGE }));
  quotesAndRedacts(textOf(chunks));
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.ok(last.usage);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.ok(chunks.every((chunk) => chunk.usage === null));
  assert.deepEqual(chunks.map((chunk) => chunk.choices[0].finish_reason).slice(-2), [null, "stop"]);
}

async function usageIsStreamedOnlyWhenAskedFor() {
  const chunks = await all(await create({ stream: true }));
  quotesAndRedacts(textOf(chunks));
  assert.ok(chunks.every((chunk) => !("usage" in chunk) && chunk.choices.length === 1));
}

async function theClientsOwnReadersAgree() {
  const whole = (await create()).choices[0].message.content;
  const streamed = textOf(await all(await create({ stream: true })));
  const gathered = await client.chat.completions.stream({ ...QUESTION, ...WITH_USAGE }).finalChatCompletion();
  assert.deepEqual([streamed, gathered.choices[0].message.content], [whole, whole]);
  assert.ok(gathered.usage);
}

async function errorsAreTheClientsErrors() {
  for (const stream of [false, true]) {
    await refused(() => create({ model: "nope", stream }), openai.NotFoundError, "model_not_found");
  }
  const bad = await refused(() => create({ messages: "none" }), openai.BadRequestError, "invalid_value");
  assert.equal(bad.param, "messages");
}

async function stagesAreSwitchedForOneRequest() {
  const off = await create({ pipeline: { rag: false } });
  assert.doesNotMatch(off.choices[0].message.content, /\(returns\.md\)/);
  quotesAndRedacts((await create()).choices[0].message.content);
}

async function aLockedStageStaysOn() {
  const locked = await refused(() => create({ pipeline: { post_hook: false } }), openai.PermissionDeniedError, "stage_locked");
  assert.equal(locked.param, "pipeline.post_hook");
}

const PROMISES = [
  modelsAreListed,
  anAnswerIsComplete,
  aStreamIsComplete,
  usageIsStreamedOnlyWhenAskedFor,
  theClientsOwnReadersAgree,
  errorsAreTheClientsErrors,
  stagesAreSwitchedForOneRequest,
  aLockedStageStaysOn,
];

const broken = await keep(PROMISES, "");
await finish(exchanges, file, broken);
