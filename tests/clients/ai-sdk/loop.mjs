// The Vercel AI SDK in front of providers, through a running server: tools called and answered until there is a reply, whole and streamed,
// and an answer to a schema; by its provider for OpenAI-compatible servers, and by OpenAI's own, over both of its APIs.
// `loop.mjs MODULES ADDRESS FIXTURES MODEL…`: the folder that has node_modules, the server, what the providers are told to answer, the models.
// Must not know how the server is made, nor which provider is behind a model.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, address, fixtureFile, ...models] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const { Output, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } = load("ai");
const { createOpenAI } = load("@ai-sdk/openai");
const { createOpenAICompatible } = load("@ai-sdk/openai-compatible");
const { fixtures } = JSON.parse(readFileSync(fixtureFile, "utf8"));

const told = (question) => fixtures.find(({ match }) => match.userMessage === question).response;
const GREETING = "Greet me.";
const WARMTH = "How warm are Paris and Rome?";
const ANSWER = "Paris has 21 degrees, Rome 28.";
const CELSIUS = { Paris: 21, Rome: 28 };
const CITY = { type: "object", properties: { city: { type: "string" }, unit: { type: "string" } }, required: ["city"] };
const FIELDS = { name: { type: "string" }, born: { type: "integer" } };
const PERSON = { type: "object", properties: FIELDS, required: ["name", "born"], additionalProperties: false };
const ADA = { name: "Ada Lovelace", born: 1815 };

const baseURL = `http://${address}/v1`;
const openai = createOpenAI({ baseURL, apiKey: "none" });
const compatible = createOpenAICompatible({ name: "gateway", baseURL, includeUsage: true, supportsStructuredOutputs: true });
const WAYS = {
  "openai-compatible": (model) => ({ model: compatible(model) }),
  "openai, chat": (model) => ({ model: openai.chat(model) }),
  // Nothing is kept between requests, so that each of them must bring what came before.
  "openai, responses": (model) => ({ model: openai.responses(model), providerOptions: { openai: { store: false } } }),
};

// No retries: a server that fails at times fails here.
const asking = (way, prompt, more) => ({ ...way, prompt, maxRetries: 0, ...more });

async function whole(question) {
  const { text, usage, steps } = await generateText(question);
  return { text, usage, steps };
}

async function streamed(question) {
  let failed;
  const result = streamText({ ...question, onError: ({ error }) => (failed = error) });
  let text = "";
  for await (const part of result.textStream) text += part;
  if (failed) throw failed;
  return { text, usage: await result.usage, steps: await result.steps };
}

async function anAnswer(way, ask) {
  const { text, usage } = await ask(asking(way, GREETING));
  assert.equal(text, told(GREETING).content);
  assert.deepEqual([usage.inputTokens, usage.outputTokens, usage.totalTokens], [11, 7, 18]);
}

async function aLoopWithATool(way, ask) {
  const called = [];
  const execute = async (input) => {
    called.push(["temperature", input]);
    return { celsius: CELSIUS[input.city] };
  };
  const temperature = tool({ description: "How warm it is in a city.", inputSchema: jsonSchema(CITY), execute });
  const { text, steps } = await ask(asking(way, WARMTH, { tools: { temperature }, stopWhen: stepCountIs(5) }));
  assert.deepEqual(called, told(WARMTH).toolCalls.map((call) => [call.name, JSON.parse(call.arguments)]));
  assert.deepEqual([text, steps.map((step) => step.finishReason)], [ANSWER, ["tool-calls", "stop"]]);
}

async function anAnswerToASchema(way, ask) {
  const output = Output.object({ schema: jsonSchema(PERSON), name: "person" });
  const { text } = await ask(asking(way, "Who was Ada?", { output }));
  assert.deepEqual(JSON.parse(text), ADA);
  const { object } = await generateObject(asking(way, "Who was Ada?", { schema: jsonSchema(PERSON) }));
  assert.deepEqual(object, ADA);
}

let kept = 0;
for (const model of models) {
  for (const [name, way] of Object.entries(WAYS)) {
    for (const promise of [anAnswer, aLoopWithATool, anAnswerToASchema]) {
      for (const ask of [whole, streamed]) {
        console.log(model, name, promise.name, ask.name);
        await promise(way(model), ask);
        kept += 1;
      }
    }
  }
}
process.exitCode = kept > 0 ? 0 : 1;
