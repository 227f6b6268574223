// Serves the simulated providers and remembers what they are asked. `serve.mjs MODULES FIXTURES KEY`: the folder that has node_modules,
// what is answered, and the one key that is right. Prints its address, ends when standard input does: no test leaves it behind.
// `GET /requests` lists the requests so far as they came, and `understood`, which is the chat request that the simulator read out of each.
// Must not know what is tested.

import { AsyncLocalStorage } from "node:async_hooks";
import { createRequire } from "node:module";

const [modules, fixtures, key] = process.argv.slice(2);
const { createServer, loadFixtureFile, validateFixtures } = createRequire(`${modules}/`)("@copilotkit/aimock");

const loaded = loadFixtureFile(fixtures);
const problems = validateFixtures(loaded).filter(({ severity }) => severity === "error");
if (loaded.length === 0 || problems.length > 0) throw new Error(`${fixtures}: ${JSON.stringify(problems)}`);

// Strict: a question that no fixture answers is an error, not a made-up answer.
const { server, journal, url } = await createServer(loaded, { port: 0, strict: true, logLevel: "warn", auth: { apiKeys: [key] } });
const requests = [];
const current = new AsyncLocalStorage();
const add = journal.add;
journal.add = function (entry, ...rest) {
  const asked = current.getStore();
  if (asked) asked.understood = entry.body;
  return add.call(this, entry, ...rest);
};

// What passes by on its way to the simulator, which reads it as it would without.
function record(request) {
  const chunks = [];
  const entry = { method: request.method, path: request.url, headers: { ...request.headers }, body: null, understood: null };
  const emit = request.emit;
  request.emit = function (name, ...values) {
    if (name === "data") chunks.push(Buffer.from(values[0]));
    if (name === "end" && chunks.length > 0) entry.body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    return emit.call(this, name, ...values);
  };
  requests.push(entry);
  return entry;
}

// Gemini takes many embeddings in one request, which the simulator does not know; it is asked for them one by one.
async function batch(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const one = url + request.url.replace(":batchEmbedContents", ":embedContent");
  const embeddings = [];
  for (const part of JSON.parse(Buffer.concat(chunks).toString("utf8")).requests) {
    const headers = { "x-goog-api-key": request.headers["x-goog-api-key"], "x-part": "yes" };
    const said = await fetch(one, { method: "POST", headers, body: JSON.stringify(part) });
    if (!said.ok) return response.writeHead(said.status).end(await said.text());
    embeddings.push((await said.json()).embedding);
  }
  return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ embeddings }));
}

const [answer] = server.listeners("request");
server.removeAllListeners("request");
server.on("request", (request, response) => {
  if (request.url === "/requests") return response.end(JSON.stringify(requests));
  if (request.headers["x-part"]) return answer(request, response);
  const entry = record(request);
  if (request.url.endsWith(":batchEmbedContents")) return batch(request, response);
  return current.run(entry, () => answer(request, response));
});

process.stdin.on("end", () => process.exit()).resume();
console.log(`listening on ${url}`);
