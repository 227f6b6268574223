// Talks to providers through a running server with the official Node client, as `tests/clients/python/providers.py` does with the Python
// one. `providers.mjs MODULES ADDRESS FILE FIXTURES MODEL[+FEATURE…]…`: the folder that has node_modules, the server, where to write down
// all that was read, what the providers are told to answer, and for each model the features of its own (`embeddings=ID` as there).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { WITH_USAGE, all, clientOf, finish, keep, refused, textOf } from "./promises.mjs";

const [modules, address, file, fixtureFile, ...subjects] = process.argv.slice(2);
const { openai, client, exchanges } = clientOf(modules, address);
const { fixtures } = JSON.parse(readFileSync(fixtureFile, "utf8"));

const told = (question) => fixtures.find(({ match }) => match.userMessage === question).response;
const asking = (model, question) => ({ model, messages: [{ role: "user", content: question }] });
const create = (body) => client.chat.completions.create(body);

const WARMTH = "How warm are Paris and Rome?";
const ANSWER = "Paris has 21 degrees, Rome 28.";
const CELSIUS = { Paris: 21, Rome: 28 };
const CITY = { type: "object", properties: { city: { type: "string" }, unit: { type: "string" } }, required: ["city"] };
const TOOLS = [{ type: "function", function: { name: "temperature", description: "How warm it is in a city.", parameters: CITY } }];
const FIELDS = { name: { type: "string" }, born: { type: "integer" } };
const PERSON = { type: "object", properties: FIELDS, required: ["name", "born"], additionalProperties: false };
const ADA = { name: "Ada Lovelace", born: 1815 };

async function aWholeAnswer(model) {
  const answer = await create(asking(model, "Greet me."));
  assert.deepEqual(answer.choices.map((choice) => choice.finish_reason), ["stop"]);
  assert.equal(answer.choices[0].message.content, told("Greet me.").content);
  const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
  assert.deepEqual([prompt_tokens, completion_tokens, total_tokens], [11, 7, 18]);
}

async function aStreamedAnswer(model) {
  const chunks = await all(await create({ ...asking(model, "Greet me."), stream: true }));
  assert.equal(textOf(chunks), told("Greet me.").content);
  assert.equal(new Set(chunks.map(({ id, created, model }) => JSON.stringify([id, created, model]))).size, 1);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  const reasons = chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.finish_reason)).filter((reason) => reason !== null);
  assert.deepEqual(reasons, ["stop"]);
  assert.ok(chunks.every((chunk) => !("usage" in chunk) && chunk.choices.length === 1));
}

async function usageInAStream(model) {
  const chunks = await all(await create({ ...asking(model, "Greet me."), stream: true, ...WITH_USAGE }));
  const last = chunks.pop();
  assert.deepEqual([last.choices, last.usage.total_tokens], [[], 18]);
  assert.ok(chunks.every((chunk) => chunk.usage === null || chunk.usage === undefined));
}

async function theClientsStreamHelper(model) {
  let said = "";
  const stream = client.chat.completions.stream({ ...asking(model, "Greet me."), ...WITH_USAGE });
  stream.on("content", (delta) => (said += delta));
  const gathered = await stream.finalChatCompletion();
  assert.deepEqual([said, gathered.choices[0].message.content], [told("Greet me.").content, told("Greet me.").content]);
  assert.equal(gathered.usage.total_tokens, 18);
}

function areTheCalls(calls) {
  const read = calls.map((call) => [call.type, call.function.name, JSON.parse(call.function.arguments)]);
  assert.deepEqual(read, told(WARMTH).toolCalls.map((call) => ["function", call.name, JSON.parse(call.arguments)]));
  assert.equal(new Set(calls.map((call) => call.id)).size, calls.length);
}

const resultsOf = (calls) =>
  calls.map((call) => {
    const celsius = CELSIUS[JSON.parse(call.function.arguments).city];
    return { role: "tool", tool_call_id: call.id, content: JSON.stringify({ celsius }) };
  });

async function aRoundOfTools(model) {
  const question = { ...asking(model, WARMTH), tools: TOOLS };
  const [{ finish_reason: reason, message }] = (await create(question)).choices;
  assert.deepEqual([reason, message.content], ["tool_calls", null]);
  areTheCalls(message.tool_calls);
  const messages = [...question.messages, message, ...resultsOf(message.tool_calls)];
  assert.equal((await create({ ...question, messages })).choices[0].message.content, ANSWER);
}

async function aStreamedRoundOfTools(model) {
  const question = { ...asking(model, WARMTH), tools: TOOLS };
  const message = await client.chat.completions.stream(question).finalMessage();
  areTheCalls(message.tool_calls);
  const messages = [...question.messages, message, ...resultsOf(message.tool_calls)];
  assert.equal(textOf(await all(await create({ ...question, messages, stream: true }))), ANSWER);
}

/** The client calls the functions itself and asks until there is an answer. */
async function theClientsOwnRounds(model) {
  const asked = [];
  const temperature = ({ city }) => {
    asked.push(city);
    return { celsius: CELSIUS[city] };
  };
  const tools = [{ type: "function", function: { ...TOOLS[0].function, function: temperature, parse: JSON.parse } }];
  for (const stream of [false, true]) {
    assert.equal(await client.chat.completions.runTools({ ...asking(model, WARMTH), tools, stream }).finalContent(), ANSWER);
  }
  assert.deepEqual(asked, ["Paris", "Rome", "Paris", "Rome"]);
}

async function jsonToASchema(model) {
  const format = { type: "json_schema", json_schema: { name: "person", strict: true, schema: PERSON } };
  const answer = await client.chat.completions.parse({ ...asking(model, "Who was Ada?"), response_format: format });
  assert.deepEqual(JSON.parse(answer.choices[0].message.content), ADA);
}

async function failuresAreTheClientsErrors(model) {
  for (const stream of [false, true]) {
    const limited = await refused(() => create({ ...asking(model, "Too often!"), stream }), openai.RateLimitError);
    assert.equal(limited.headers.get("retry-after"), "7");
    await refused(() => create({ ...asking(model, "Too early!"), stream }), openai.InternalServerError, "provider_failed");
  }
}

async function aCutStreamIsAnError(model) {
  let said = "";
  const read = async () => {
    for await (const chunk of await create({ ...asking(model, "Break off."), stream: true })) said += textOf([chunk]);
  };
  await assert.rejects(read, (error) => error instanceof openai.APIError && error.code === "upstream_cut");
  assert.ok(said !== "" && told("Break off.").content.startsWith(said), said);
}

async function embeddings(model, own = model) {
  const vector = fixtures.find(({ match }) => "inputText" in match).response.embedding;
  const question = { model: own, input: ["a pump", "another pump"] };
  // By itself the client asks for base64 and decodes it.
  for (const extra of [{ encoding_format: "float" }, {}]) {
    const { data } = await client.embeddings.create({ ...question, ...extra });
    assert.deepEqual(data.map(({ index, embedding }) => [index, embedding]), [[0, vector], [1, vector]]);
  }
}

async function responses(model) {
  const question = { model, input: "Greet me.", instructions: "Be brief." };
  const answer = await client.responses.create(question);
  assert.deepEqual([answer.status, answer.output_text, answer.usage.total_tokens], ["completed", told("Greet me.").content, 18]);
  const events = await all(await client.responses.create({ ...question, stream: true }));
  assert.deepEqual([events[0].type, events.at(-1).type], ["response.created", "response.completed"]);
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  const said = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
  assert.equal(said.join(""), told("Greet me.").content);
  assert.equal((await client.responses.stream(question).finalResponse()).output_text, told("Greet me.").content);
  const tools = [{ type: "function", name: "temperature", parameters: CITY, strict: false }];
  const asked = await client.responses.create({ model, input: WARMTH, tools, store: false });
  const calls = asked.output.filter((item) => item.type === "function_call");
  const read = calls.map((call) => [call.name, JSON.parse(call.arguments)]);
  assert.deepEqual(read, told(WARMTH).toolCalls.map((call) => [call.name, JSON.parse(call.arguments)]));
  const results = calls.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: '{"celsius": 21}' }));
  const input = [{ role: "user", content: WARMTH }, ...asked.output, ...results];
  assert.equal((await client.responses.create({ model, input, tools, store: false })).output_text, ANSWER);
  const format = { type: "json_schema", name: "person", strict: true, schema: PERSON };
  const parsed = await client.responses.parse({ model, input: "Who was Ada?", text: { format } });
  assert.deepEqual(JSON.parse(parsed.output_text), ADA);
}

const PROMISES = [
  aWholeAnswer,
  aStreamedAnswer,
  usageInAStream,
  theClientsStreamHelper,
  aRoundOfTools,
  aStreamedRoundOfTools,
  theClientsOwnRounds,
  jsonToASchema,
  failuresAreTheClientsErrors,
  aCutStreamIsAnError,
];
const FEATURES = { embeddings, responses };

let broken = subjects.length === 0 ? 1 : 0;
for (const subject of subjects) {
  const [model, ...features] = subject.split("+");
  broken += await keep(PROMISES, model, model);
  for (const feature of features) {
    const [name, ...own] = feature.split("=");
    broken += await keep([FEATURES[name]], model, model, ...own);
  }
}
await finish(exchanges, file, broken);
