/** Members of answers that are what no server of ours says, in virtual time: no wait breaks, hangs or lies for them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Abide,
  Garbled,
  Inbox,
  StillRunning,
  UsageError,
  fixed,
  fromFn,
  poll,
  stream,
  webhook,
} from "../dist/index.js";
import type { AbideOptions, Job } from "../dist/index.js";
import { Server } from "./server.js";
import { World } from "./world.js";

const start = (options: AbideOptions = {}): { world: World; server: Server; abide: Abide } => {
  const world = new World(),
    server = new Server(world);
  return {
    world,
    server,
    abide: new Abide("http://jobs.test", { fetch: server.fetch, clock: world, random: world.random, ...options }),
  };
};

test("what is no job in a set's answer harms none of those that wait", async () => {
  const { abide, server, world } = start();
  const wrong: unknown[] = [
    { jobs: [null] },
    { jobs: [], errors: 5 },
    { jobs: [7, "job_2"], errors: [null, "job_3"] },
    { jobs: [[]], errors: [{}] },
    { jobs: null },
    null,
  ];
  let told = 0;
  server.fault = ({ path }) =>
    path === "/v1/jobs/wait" && told < wrong.length ? Response.json(wrong[told++]) : undefined;
  const jobs = Array.from({ length: 12 }, () => abide.job(server.job(600_000)));
  const ends = await world.run(abide.asCompleted(jobs, { timeout: "20m" }).all());
  assert.equal(told, wrong.length);
  for (let i = 0; i < 5; i++) await new Promise((next) => setImmediate(next));
  assert.ok(
    ends.every(({ ok }) => ok),
    JSON.stringify(ends),
  );
  assert.deepEqual([world.timers, server.open, abide.load], [0, 0, { members: 0, flights: 0 }]);
});

test("a refusal in a set's answer that says nothing is one all the same", async () => {
  const { abide, server, world } = start();
  const jobs = Array.from({ length: 12 }, () => abide.job(server.job(60_000)));
  let told = 0;
  server.fault = ({ path }) =>
    path === "/v1/jobs/wait" && !told++ ? Response.json({ jobs: [], errors: [{ id: "job_1" }] }) : undefined;
  const ends = await world.run(abide.asCompleted(jobs, { timeout: "5m" }).all());
  assert.deepEqual(
    ends.map(({ ok }) => ok),
    jobs.map(({ id }) => id !== "job_1"),
  );
});

const ESTIMATES: unknown[] = [
  {},
  { p50: null },
  { p50: "soon" },
  { p10: null, p50: 5000, p90: {} },
  { p50: -5 },
  { p50: 1e308 },
  "soon",
  5,
  [],
];

for (const estimate of ESTIMATES) {
  test(`an estimate that is none neither keeps a wait from its end nor from its deadline: ${JSON.stringify(estimate)}`, async () => {
    const { abide, server, world } = start();
    server.holds = false;
    const show = (runs: number): string => {
      const id = server.job(runs);
      server.jobs.get(id)!.shown = { remaining_ms: estimate } as Partial<Job>;
      return id;
    };
    // Of one that a server could mean as it says it nobody knows better at first.
    for (let i = 0; i < 3 && (estimate as { p50?: unknown }).p50 !== 1e308; i++) {
      const before = world.now();
      await world.run(abide.job(show(20_000)).wait({ strategy: poll() }));
      assert.ok(world.now() - before < 60_000, String(world.now() - before));
    }
    const before = world.now();
    await assert.rejects(world.run(abide.job(show(Infinity)).wait({ strategy: poll(), timeout: "60s" })), StillRunning);
    assert.ok(Math.abs(world.now() - before - 60_000) < 100, String(world.now() - before));
  });
}

test("a schedule that gives no instant is a mistake of usage, and no wait without an end", async () => {
  const { abide, server, world } = start();
  const waiting = abide.job(server.job(20_000)).wait({ schedule: fromFn(() => NaN), strategy: poll(), timeout: "60s" });
  await assert.rejects(world.run(waiting), UsageError);
});

for (const data of ["5", "null", '"job.completed"', "[]", '{"data":5}']) {
  test(`an event that holds no job ends no wait: ${data}`, async () => {
    const { abide, server, world } = start();
    let told = 0;
    server.fault = ({ path }) =>
      path.endsWith("/events") && told++ < 3
        ? new Response(`event: job.progress\ndata: ${data}\n\n`, { headers: { "content-type": "text/event-stream" } })
        : undefined;
    const done = await world.run(abide.job(server.job(20_000)).wait({ strategy: stream(), timeout: "5m" }));
    assert.equal(done.outcome, "completed");
    assert.ok(world.now() < 40_000, String(world.now()));
  });
}

test("what holds no claim is not asked without end", async () => {
  const { abide, server, world } = start();
  server.fault = () => new Response(null, { status: 204 });
  assert.equal(await world.run(abide.claim("k", { timeout: "60s" })), undefined);
  assert.ok(world.now() >= 60_000 && world.now() < 61_000, String(world.now()));
  assert.ok(server.asked.length > 2 && server.asked.length <= 15, String(server.asked.length));
});

test("a push that contradicts itself or isn't whole is no news, and keeps no wait from its end", async () => {
  const { abide, server, world } = start();
  const inbox = new Inbox(),
    id = server.job(20_000),
    job = server.show(server.jobs.get(id)!);
  const wrong: unknown[] = [
    { ...job, revision: 9, done: true },
    { ...job, revision: 9, outcome: "completed" },
    { id, revision: 9, done: true },
    { id },
  ];
  const deliver = (): void => wrong.forEach((job) => assert.equal(inbox.deliver(job as Job), false));
  deliver();
  world.setTimeout(deliver, 5000);
  const done = await world.run(abide.job(id).wait({ strategy: webhook(inbox, fixed("15s")), timeout: "5m" }));
  assert.equal(done.outcome, "completed");
  assert.ok(world.now() < 40_000, String(world.now()));
});

test("a lease without a token is none", async () => {
  const { abide, server, world } = start({ retry: false });
  const job = { ...server.show(server.jobs.get(server.job(1e6))!), attempts: 1 };
  for (const lease of [{}, 5, { token: null }]) {
    server.fault = () => Response.json({ ...job, lease });
    await assert.rejects(world.run(abide.claim("k", { timeout: "5s" })), Garbled);
  }
});

test("a place in a feed that can't be sent back is none", async () => {
  const { abide, server, world } = start();
  const job = server.show(server.jobs.get(server.job(1))!),
    event = (id: string): string => `event: job.progress\nid: ${id}\ndata: ${JSON.stringify(job)}\n\n`;
  let opened = 0;
  server.fault = () => {
    if (++opened > 1) return new Response(null, { status: 204 });
    return new Response(event("a-1") + event("a 2") + event("三"), {
      headers: { "content-type": "text/event-stream" },
    });
  };
  const places: unknown[] = [];
  await world.run(
    (async () => {
      for await (const { place } of abide.feed()) places.push(place);
    })(),
  );
  assert.deepEqual(places, ["a-1", "a-1", "a-1"]);
  assert.equal(server.asked.at(-1)!.headers.get("last-event-id"), "a-1");
});
