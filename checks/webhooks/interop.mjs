// Our signatures by the official Standard Webhooks library for JavaScript, and its signatures by us.
//
// Usage: interop.mjs SERVER RECEIVER SECRET

import assert from "node:assert/strict";
import http from "node:http";
import { Webhook } from "standardwebhooks";

const [server, receiver, receiverSecret] = process.argv.slice(2);
const arrived = [];
const waiting = [];

const listener = http.createServer(async (request, response) => {
  let body = "";
  for await (const part of request.setEncoding("utf8")) body += part;
  arrived.push({ headers: request.headers, body });
  waiting.splice(0).forEach((wake) => wake());
  response.writeHead(204).end();
});
await new Promise((listening) => listener.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${listener.address().port}/`;

const ask = async (method, url, body, headers = {}) => {
  const answer = await fetch(url, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : body && JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text };
};

const deliveries = async (job) => {
  for (;;) {
    const found = arrived.filter(({ body }) => JSON.parse(body).data.id === job);
    if (found.some(({ body }) => JSON.parse(body).type === "job.completed")) return found;
    await new Promise((wake) => waiting.push(wake));
  }
};

const run = async () => {
  const answer = await ask("POST", `${server}/v1/jobs`, {
    metadata: { title: "Übersetzung – 翻訳 🎬" },
    simulate: { duration: { fixed: "200ms" }, outcome: { error_chance: 0 } },
  });
  return JSON.parse(answer.text).id;
};

let checked = 0;
const made = await ask("POST", `${server}/v1/webhooks`, { url, events: ["job.*"], ordered: true });
assert.equal(made.status, 201);
const endpoint = JSON.parse(made.text);

for (const { headers, body } of await deliveries(await run())) {
  new Webhook(endpoint.secret).verify(body, headers);
  assert.throws(() => new Webhook(endpoint.secret).verify(`${body} `, headers));
  checked += 1;
}
const rotated = JSON.parse((await ask("POST", `${server}/v1/webhooks/${endpoint.id}/rotate`)).text);
for (const { headers, body } of await deliveries(await run())) {
  for (const secret of [endpoint.secret, rotated.secret]) {
    new Webhook(secret).verify(body, headers);
    checked += 1;
  }
}
assert.equal((await ask("DELETE", `${server}/v1/webhooks/${endpoint.id}`)).status, 204);

for (let n = 0; n < 20; n += 1) {
  const body = JSON.stringify({ type: "job.completed", n, text: "é".repeat(n) });
  const now = new Date();
  const id = `msg_js_${now.getTime()}_${n}`;
  const signed = {
    "webhook-id": id,
    "webhook-timestamp": `${Math.floor(now.getTime() / 1000)}`,
    "webhook-signature": new Webhook(receiverSecret).sign(id, now, body),
  };
  assert.equal((await ask("POST", receiver, body, signed)).status, 204);
  assert.equal((await ask("POST", receiver, body.replace("}", " }"), signed)).status, 401);
  checked += 1;
}
listener.close();
listener.closeAllConnections();
console.log(`javascript: ${checked} signatures agree, none that shouldn't`);
