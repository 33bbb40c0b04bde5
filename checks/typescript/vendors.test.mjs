// The vendors' real SDKs over pollUntil, against the dialects of the server at SERVER_URL, and what their own waiters cost.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import RunwayML from "@runwayml/sdk";
import { History, StillRunning, pollUntil } from "abide-client";
import OpenAI from "openai";
import Replicate from "replicate";

const base = process.env.SERVER_URL;

/** A `fetch` that counts. */
const counting = () => {
  const count = (...request) => {
    count.requests++;
    return fetch(...request);
  };
  count.requests = 0;
  return count;
};

/** One way to make a job of that many seconds at a vendor, to look at it, and to wait for it as its SDK does. */
const vendors = {
  replicate() {
    const count = counting();
    const client = new Replicate({ auth: "r8_test", baseUrl: `${base}/dialects/replicate/v1`, fetch: count });
    return {
      count,
      create: (directive) =>
        client.predictions.create({ model: "owner/name", input: { prompt: `a heron ${directive}` } }),
      look:
        (id) =>
        ({ signal }) =>
          client.predictions.get(id, { signal }),
      wait: (made) => client.wait(made, {}),
      ended: "succeeded",
    };
  },
  "@runwayml/sdk"() {
    const count = counting();
    const client = new RunwayML({
      apiKey: "key_test",
      baseURL: `${base}/dialects/runway`,
      fetch: count,
      maxRetries: 0,
    });
    const image = "https://example.com/heron.png";
    return {
      count,
      create: (directive) =>
        client.imageToVideo.create({
          model: "gen4_turbo",
          promptImage: image,
          promptText: `a heron ${directive}`,
          ratio: "1280:720",
          duration: 5,
        }),
      look:
        (id) =>
        ({ signal }) =>
          client.tasks.retrieve(id, {}, { signal }),
      wait: (made, making) => making.waitForTaskOutput(),
      ended: "SUCCEEDED",
    };
  },
};

const JOBS = 10;

/** Jobs of 6 to 12 s at once; what they cost on average. */
const wave = async (make, wait) => {
  const all = Array.from({ length: JOBS }, async (_, i) => {
    const vendor = make(),
      seconds = 6 + ((i * 0.618 + 0.3) % 1) * 6;
    const begun = performance.now(),
      making = vendor.create(`abide:duration=${seconds.toFixed(3)}s`),
      made = await making;
    const created = (begun + performance.now()) / 2;
    vendor.count.requests = 0;
    await wait(vendor, made, making);
    return { requests: vendor.count.requests, late: (performance.now() - created) / 1000 - seconds };
  });
  const costs = await Promise.all(all),
    mean = (of) => costs.reduce((sum, cost) => sum + of(cost), 0) / JOBS;
  return { requests: mean(({ requests }) => requests), late: mean(({ late }) => late) };
};

test("pollUntil over the vendors' SDKs, beside their own waiters", { timeout: 180_000 }, async () => {
  const rows = await Promise.all(
    Object.entries(vendors).map(async ([name, make]) => {
      const history = new History();
      const ours = async (vendor, { id }) => {
        const { value, report } = await pollUntil(vendor.look(id), { kind: name, history, timeout: "1m" });
        assert.equal(value.status, vendor.ended);
        assert.deepEqual(report.warnings, []);
        assert.equal(report.requests, vendor.count.requests);
      };
      const [theirs] = await Promise.all([
        wave(make, async (vendor, made, making) => vendor.wait(made, making)),
        wave(make, ours),
      ]);
      return { name, theirs, ours: await wave(make, ours) };
    }),
  );
  const say = ({ late, requests }) => `${requests.toFixed(1)} requests, ${late.toFixed(1)} s late`;
  for (const { name, ours, theirs } of rows) {
    console.log(`| \`${name}\` | ${say(theirs)} | ${say(ours)} |`);
    const cost = ({ late, requests }) => 0.5 * requests + late;
    assert.ok(cost(ours) < cost(theirs), `${name}: ${say(ours)} against ${say(theirs)}`);
  }
});

test("an abort ends a vendor's request in flight, and a failed job is an end", { timeout: 30_000 }, async () => {
  const vendor = vendors.replicate(),
    { id } = await vendor.create("abide:duration=1h");
  const aborting = new AbortController(),
    reason = new Error("enough");
  setTimeout(() => aborting.abort(reason), 300);
  await assert.rejects(pollUntil(vendor.look(id), { signal: aborting.signal }), (error) => error === reason);
  await assert.rejects(pollUntil(vendor.look(id), { timeout: "1s" }), StillRunning);
  const failing = await vendor.create("abide:duration=200ms,error=boom");
  assert.equal((await pollUntil(vendor.look(failing.id), { timeout: "10s" })).value.status, "failed");
});

test("a vendor's refusal is thrown as its SDK threw it", { timeout: 30_000 }, async () => {
  const runway = vendors["@runwayml/sdk"]();
  const look = runway.look("00000000-0000-4000-8000-000000000000");
  await assert.rejects(pollUntil(look, { retry: { notFoundFor: 0 } }), RunwayML.NotFoundError);
});

test("OpenAI's background responses, with a refusal and a hint on the way", { timeout: 30_000 }, async () => {
  const answers = [
    [404, { error: { message: "No such response" } }, {}],
    [429, { error: { message: "Slow down" } }, { "retry-after-ms": "300" }],
    [200, { id: "resp_1", status: "queued" }, {}],
    [200, { id: "resp_1", status: "in_progress" }, {}],
    [200, { id: "resp_1", status: "completed", output: [] }, {}],
  ];
  let asked = 0;
  const server = createServer((_, response) => {
    const [status, body, headers] = answers[Math.min(asked++, answers.length - 1)];
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const openai = new OpenAI({
    apiKey: "sk-test",
    baseURL: `http://127.0.0.1:${server.address().port}/v1`,
    maxRetries: 0,
  });
  const { value, report } = await pollUntil(({ signal }) => openai.responses.retrieve("resp_1", {}, { signal }), {
    kind: "gpt",
    timeout: "20s",
  });
  assert.equal(value.status, "completed");
  assert.deepEqual([report.requests, report.failures, report.warnings], [5, 2, []]);
  server.close();
});
