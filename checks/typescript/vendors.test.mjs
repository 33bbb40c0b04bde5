// The vendors' real SDKs over pollUntil, against the dialects of the server at SERVER_URL, and what their own waiters cost.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import RunwayML from "@runwayml/sdk";
import { Budget, History, StillRunning, pollUntil } from "abide-client";
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
  openai() {
    const count = counting();
    const { videos } = new OpenAI({
      apiKey: "sk-test",
      baseURL: `${base}/dialects/openai/v1`,
      fetch: count,
      maxRetries: 0,
    });
    return {
      count,
      create: (directive) => videos.create({ prompt: `a heron ${directive}`, seconds: "4" }),
      look:
        (id) =>
        ({ signal }) =>
          videos.retrieve(id, { signal }),
      own: "none: every 2 s, as in OpenAI's guides",
      async wait({ id }) {
        for (;;) {
          const { status } = await videos.retrieve(id);
          if (status !== "queued" && status !== "in_progress") return;
          await setTimeout(2000);
        }
      },
      ended: "completed",
    };
  },
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
      own: "replicate.wait()",
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
      own: "waitForTaskOutput()",
      wait: (made, making) => making.waitForTaskOutput(),
      ended: "SUCCEEDED",
    };
  },
};

const JOBS = 12,
  JOBS_BEFORE = 20,
  // How often the jobs that count are waited for, and by which prices of a request; "balanced" is always among them.
  SEEDS = Number(process.env.SEEDS ?? 1),
  PRICES = ["balanced", ...(process.env.PRICES ?? "20ms frugal").split(" ")];

/** Jobs of 10 to 20 s side by side; what they cost on average. */
const wave = async (make, wait, jobs = JOBS) => {
  const all = Array.from({ length: jobs }, async (_, i) => {
    const vendor = make(),
      seconds = 10 + ((i * 0.618 + 0.3 + Math.random() / jobs) % 1) * 10;
    // Creates that wait for each other would be measured, too.
    await setTimeout(3000 * Math.random());
    const begun = performance.now(),
      making = vendor.create(`abide:duration=${seconds.toFixed(3)}s`),
      made = await making;
    const created = (begun + performance.now()) / 2;
    vendor.count.requests = 0;
    await wait(vendor, made, making);
    return { requests: vendor.count.requests, late: (performance.now() - created) / 1000 - seconds };
  });
  const costs = await Promise.all(all),
    mean = (of) => costs.reduce((sum, cost) => sum + of(cost), 0) / jobs;
  return { requests: mean(({ requests }) => requests), late: mean(({ late }) => late) };
};

const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

test("pollUntil over the vendors' SDKs, beside their own waiters", { timeout: 120_000 + SEEDS * 60_000 }, async () => {
  /** Each way to wait, and how; ours have waited for jobs to learn from. */
  const ways = async (kind, make) => {
    const ours = async (price) => {
      const history = new History(),
        budget = new Budget(1000);
      const wait = async (vendor, { id }) => {
        const options = { kind, price, history, budget, timeout: "1m" };
        const { value, report } = await pollUntil(vendor.look(id), options);
        assert.equal(value.status, vendor.ended);
        assert.deepEqual(report.warnings, []);
        // The SDK of Replicate repeats requests on its own.
        assert.ok(report.requests <= vendor.count.requests);
      };
      await wave(make, wait, JOBS_BEFORE);
      return [`pollUntil(…, { price: ${JSON.stringify(price)} })`, wait];
    };
    return [
      [make().own, (vendor, made, making) => vendor.wait(made, making)],
      ...(await Promise.all(PRICES.map(ours))),
    ];
  };
  const each = (list, what) => Promise.all(list.map(what));
  const ready = await each(Object.entries(vendors), async ([name, make]) => [name, make, await ways(name, make)]);
  const costs = new Map(ready.map(([name, , ways]) => [name, new Map(ways.map(([way]) => [way, []]))]));
  for (let seed = 0; seed < SEEDS; seed++) {
    await each(ready, ([name, make, ways]) =>
      each(ways, async ([way, wait]) => costs.get(name).get(way).push(await wave(make, wait))),
    );
  }
  console.log("| SDK | way | requests for a job | seconds late | better in both |\n|---|---|---|---|---|");
  for (const [name, ways] of costs) {
    const [own, balanced] = ways.values(),
      middle = (costs, of) => median(costs.map((cost) => cost[of]));
    for (const [way, costs] of ways) {
      const both = costs.filter(({ late, requests }, i) => requests < own[i].requests && late < own[i].late).length,
        [requests, late] = [middle(costs, "requests").toFixed(1), middle(costs, "late").toFixed(2)];
      console.log(`| ${name} | \`${way}\` | ${requests} | ${late} | ${both || ""} |`);
    }
    // A busy machine makes all of them late.
    const cost = (costs) => 0.5 * middle(costs, "requests") + middle(costs, "late");
    assert.ok(cost(balanced) < cost(own), name);
  }
});

test("an abort ends a vendor's request in flight, and a failed job is an end", { timeout: 30_000 }, async () => {
  const vendor = vendors.replicate(),
    { id } = await vendor.create("abide:duration=1h");
  const aborting = new AbortController(),
    reason = new Error("enough");
  void setTimeout(300).then(() => aborting.abort(reason));
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
