import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Abide,
  Garbled,
  Inbox,
  JobCanceled,
  JobFailed,
  NotFound,
  Refused,
  StillRunning,
  Unreachable,
  UsageError,
  fixed,
  poll,
  webhook,
} from "../dist/index.js";
import type { AbideOptions, End, Job } from "../dist/index.js";
import { Server } from "./server.js";
import { World } from "./world.js";

const start = (options: AbideOptions = {}): { world: World; server: Server; abide: Abide } => {
  const world = new World(),
    server = new Server(world);
  return {
    world,
    server,
    abide: new Abide("http://jobs.test/", { fetch: server.fetch, clock: world, random: world.random, ...options }),
  };
};

const error = async (waiting: Promise<unknown>): Promise<any> =>
  waiting.then(
    () => assert.fail("there was no error"),
    (error: unknown) => error,
  );

/** Nothing is left: no timer, request, stream or member. */
const nothingLeft = async ({ abide, server, world }: ReturnType<typeof start>): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((next) => setImmediate(next));
  assert.deepEqual([world.timers, server.open, server.streams, abide.load], [0, 0, 0, { members: 0, flights: 0 }]);
};

test("a job is created and waited for by one held request", async () => {
  const all = start(),
    { abide, server, world } = all;
  const job = await world.run(abide.create("k", { input: { runs: 30_000 } }));
  const done = await world.run(job.wait({ timeout: "10m" }));
  assert.equal(done.outcome, "completed");
  assert.deepEqual(done.result, { made: job.id });
  assert.equal(done.report.requests, 1);
  assert.equal(done.report.channel, "long_poll");
  assert.ok(done.report.detectionMs! <= 60, String(done.report.detectionMs));
  assert.equal(server.asked[0]!.headers.get("idempotency-key")!.length, 32);
  assert.equal(server.asked[1]!.path, "/v1/jobs/job_1?wait=60&until=done");
  await nothingLeft(all);
});

/** What `fetch` throws where no connection was made. */
const refused = (): Error => Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } });

/** A client of three nodes, and the hosts that it asked; `fate` says what comes of a request to that host. */
const threeNodes = (fate: (host: string) => Error | Response | undefined) => {
  const hosts: string[] = [];
  const world = new World(),
    server = new Server(world);
  const fetch: AbideOptions["fetch"] = async (url, init) => {
    const { host } = new URL(String(url)),
      told = fate(host);
    hosts.push(host);
    if (told instanceof Error) throw told;
    return told ?? server.fetch(url, init);
  };
  const servers = ["http://b.test", "http://c.test/"];
  const abide = new Abide("http://a.test", { servers, fetch, clock: world, random: world.random });
  return { abide, hosts, server, world };
};

test("a node that can't be reached is left in the same exchange, and the one that answered stays", async () => {
  const { abide, hosts, world } = threeNodes((host) => (host === "c.test" ? undefined : refused()));
  const job = await world.run(abide.create("k", { input: { runs: 30_000 } }));
  assert.deepEqual(hosts, ["a.test", "b.test", "c.test"]);
  await world.run(job.wait({ timeout: "10m" }));
  assert.deepEqual(hosts.slice(3), ["c.test"]);
  assert.equal(abide.server, "http://a.test");
});

test("a node that breaks a connection or says 503 is left by the next exchange", async () => {
  for (const fate of [() => new TypeError("terminated"), () => new Response("", { status: 503 })]) {
    const { abide, hosts, server, world } = threeNodes((host) => (host === "a.test" ? fate() : undefined));
    await world.run(abide.create("k", { input: { runs: 30_000 } }));
    assert.deepEqual(hosts, ["a.test", "b.test"]);
    assert.equal(server.jobs.size, 1);
  }
});

test("where no node is up each is tried once in an exchange", async () => {
  const { abide, hosts, world } = threeNodes(refused);
  const down = await error(world.run(abide.job("job_1").status()));
  assert.ok(down instanceof Unreachable);
  assert.equal(hosts.length % 3, 0);
  assert.throws(() => new Abide("http://a.test/x", { servers: ["http://b.test/y"] }), UsageError);
});

test("with experience the request is sent late", async () => {
  const { abide, server, world } = start();
  const wait = async (): Promise<void> => {
    const job = await world.run(abide.create("k", { input: { runs: 50_000 } }));
    await world.run(job.wait());
  };
  for (let i = 0; i < 40; i++) await wait();
  const begun = world.now(),
    asked = server.asked.length;
  await wait();
  assert.equal(server.asked.length, asked + 2);
  assert.ok(server.asked.at(-1)!.at - begun > 15_000, String(server.asked.at(-1)!.at - begun));
});

test("a job of which only the id was known is learned from under its kind", async () => {
  const { abide, server, world } = start();
  await world.run(abide.job(server.job(20_000)).wait());
  await world.run(abide.job(server.job(20_000)).wait({ strategy: poll() }));
  assert.deepEqual(
    ["k", ""].map((kind) => abide.history.jobs(`http://jobs.test ${kind}`)),
    [2, 0],
  );
});

test("every change is watched over one stream, in order, and leaving the loop closes it", async () => {
  const all = start(),
    { abide, server, world } = all;
  const id = server.job(60_000, [1000, 2000, 30_000]),
    seen: number[] = [];
  await world.run(
    (async () => {
      for await (const state of abide.job(id).watch()) seen.push(state.revision);
    })(),
  );
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
  assert.deepEqual(server.paths(), [`GET /v1/jobs/${id}/events`]);
  const other = server.job(60_000, [1000]);
  await world.run(
    (async () => {
      for await (const state of abide.job(other).watch()) if (state.revision === 2) break;
    })(),
  );
  await nothingLeft(all);
});

test("a stream that tells nothing is found out, and the wait goes on by other means", async () => {
  const all = start(),
    { abide, server, world } = all;
  server.tells = false;
  const id = server.job(20_000, [1000]),
    seen: number[] = [];
  await world.run(
    (async () => {
      for await (const state of abide.job(id).watch()) seen.push(state.revision);
    })(),
  );
  assert.deepEqual(seen, [2, 3]);
  assert.ok(server.paths().some((path) => path.includes("wait=")));
  await nothingLeft(all);
});

test("polls are by the schedule, where the server holds nothing too", async () => {
  const { abide, server, world } = start();
  const done = await world.run(abide.job(server.job(9000)).wait({ strategy: poll(fixed("2s")) }));
  assert.equal(done.report.strategy, "poll");
  assert.equal(done.report.requests, 6);
  server.holds = false;
  const id = server.job(60_000),
    asked = server.asked.length;
  await world.run(abide.job(id).wait());
  const held = server.asked.slice(asked).filter(({ path }) => path.includes("wait="));
  assert.equal(held.length, 3, "news, two tries in vain, and then it polls");
});

test("a thousand jobs are waited for by few requests, and one bad id fails itself alone", async () => {
  const all = start(),
    { abide, server, world } = all;
  const ids = Array.from({ length: 1000 }, (_, i) => server.job(5000 + i * 20)),
    ends: End[] = [];
  await world.run(
    (async () => {
      const jobs = [...ids, "job_nobody"].map((id) => abide.job(id));
      for await (const end of abide.asCompleted(jobs, { timeout: "5m" })) ends.push(end);
    })(),
  );
  assert.equal(ends.length, 1001);
  const bad = ends.filter((end) => !end.ok);
  assert.equal(bad.length, 1);
  assert.ok(bad[0]!.ok === false && bad[0]!.error instanceof NotFound);
  assert.ok(server.asked.length < 100, String(server.asked.length));
  await nothingLeft(all);
});

test("a set has one deadline, keeps the order for `all`, and tells what still runs", async () => {
  const all = start(),
    { abide, server, world } = all;
  const jobs = [30_000, 1000, 200_000].map((runs) => abide.job(server.job(runs)));
  const set = abide.asCompleted([...jobs, jobs[0]!], { timeout: "1m" });
  assert.equal(set.size, 3);
  const ends = await world.run(set.all());
  assert.deepEqual(
    ends.map((end) => end.ok),
    [true, true, false],
  );
  const last = ends[2]!;
  assert.ok(!last.ok && last.error instanceof StillRunning && last.error.jobId === last.id);
  assert.ok(world.now() <= 60_050);
  await nothingLeft(all);
});

test("a deadline ends as still running with a token to resume by, here or elsewhere", async () => {
  const { abide, server, world } = start();
  const job = await world.run(abide.create("k", { input: { runs: 100_000 } }));
  const failure = await error(world.run(job.wait({ timeout: "20s" })));
  assert.ok(failure instanceof StillRunning && failure.timedOut);
  assert.equal(failure.jobId, job.id);
  assert.equal(failure.job!.status, "running");
  assert.equal(failure.report!.strategy, "auto");
  assert.ok(world.now() <= 20_200);
  const token = JSON.parse(failure.token!);
  assert.deepEqual(Object.keys(token), ["v", "server", "job", "key", "kind", "created_at", "revision"]);
  const elsewhere = new Abide("http://jobs.test", { fetch: server.fetch, clock: world, random: world.random });
  assert.equal((await world.run(elsewhere.resume(failure.token!).wait())).outcome, "completed");
  assert.throws(() => new Abide("http://other.test").resume(failure.token!), UsageError);
  assert.throws(() => elsewhere.resume("{}"), UsageError);
});

test("a job can be canceled at the deadline", async () => {
  const { abide, server, world } = start();
  const id = server.job(100_000);
  await error(world.run(abide.job(id).wait({ timeout: "5s", onTimeout: "cancel" })));
  assert.equal(server.paths().at(-1), `POST /v1/jobs/${id}/cancel`);
});

test("a create whose answers are lost makes one job, and its error tells how to go on", async () => {
  const { abide, server, world } = start();
  let lost = 2;
  server.fault = ({ method, path }) =>
    method === "POST" && path === "/v1/jobs" && lost-- > 0 ? new TypeError("fetch failed") : undefined;
  const job = await world.run(abide.create("k"));
  assert.equal(server.jobs.size, 1);
  assert.equal(new Set(server.asked.map(({ headers }) => headers.get("idempotency-key"))).size, 1);
  lost = 100;
  const failure = await error(world.run(abide.create("k")));
  assert.ok(failure instanceof Unreachable);
  assert.match(failure.message, /idempotency key/);
  lost = 0;
  const token = failure.token!;
  assert.throws(() => abide.resume(token), /create the same again/);
  await world.run(abide.create("k", {}, { resume: token }));
  assert.equal(server.asked.at(-1)!.headers.get("idempotency-key"), failure.idempotencyKey);
  assert.equal(job.replayed, false);
  const again = await world.run(abide.create("k", {}, { idempotencyKey: failure.idempotencyKey! }));
  assert.ok(again.replayed);
});

test("bad answers pass for a while, and refusals don't", async () => {
  const { abide, server, world } = start();
  const id = server.job(5000),
    page = (): Response => new Response("<html>", { headers: { "content-type": "text/html" } });
  let nth = 0;
  server.fault = () => [page(), new Response("{}", { status: 503 }), new TypeError("fetch failed")][nth++];
  const done = await world.run(abide.job(id).wait());
  assert.equal(done.report.failures, 3);
  for (const [answer, kind] of [
    [() => page(), Garbled],
    [() => new Response("{}", { status: 401 }), Refused],
    [() => new Response(null, { status: 301, headers: { location: "https://elsewhere" } }), Refused],
    [() => new Response(null, { status: 307, headers: { location: "https://login" } }), Garbled],
    [() => new Response("{}", { status: 500 }), Unreachable],
  ] as const) {
    server.fault = answer;
    const failure = await error(world.run(abide.job(id).status()));
    assert.ok(failure instanceof kind, `${failure}`);
    assert.equal(failure.jobId, id);
  }
  server.fault = () => new Response(JSON.stringify({ title: "No", detail: "not you" }), { status: 403 });
  assert.match((await error(world.run(abide.job(id).status()))).message, /No: not you/);
});

test("an answer about another job, or one that contradicts itself, is not believed", async () => {
  const { abide, server, world } = start();
  const id = server.job(100_000),
    other = server.job(100_000);
  const shown = (over: Partial<Job>): Response => Response.json({ ...server.show(server.jobs.get(id)!), ...over });
  for (const over of [{ id: other }, { done: true }, { outcome: "completed" as const }]) {
    server.fault = () => shown(over);
    assert.ok((await error(world.run(abide.job(id).wait({ timeout: "2s" })))) instanceof Garbled, JSON.stringify(over));
  }
});

test("a job that was just made may not be found yet; an old one is not found at once", async () => {
  const { abide, server, world } = start();
  const job = await world.run(abide.create("k", { input: { runs: 8000 } })),
    made = world.now();
  server.fault = ({ path }) =>
    path.startsWith("/v1/jobs/") && world.now() < made + 3000
      ? Response.json({ title: "Not found", status: 404 }, { status: 404 })
      : undefined;
  assert.equal((await world.run(job.wait())).outcome, "completed");
  server.fault = () => undefined;
  const before = world.now();
  assert.ok((await error(world.run(abide.job("job_nobody").wait()))) instanceof NotFound);
  assert.ok(world.now() - before < 100);
});

test("a job that was just made may not be found yet, whichever way it is asked for", async () => {
  for (const lagging of [1, 5000]) {
    const { abide, server, world } = start();
    const jobs = await world.run(
      Promise.all(Array.from({ length: 12 }, () => abide.create("k", { input: { runs: 30_000 } }))),
    );
    const made = world.now();
    server.fault = ({ method, path }) => {
      if (world.now() > made + lagging || (method === "POST" && path === "/v1/jobs")) return undefined;
      const error = { title: "Not found", status: 404, code: "not_found" };
      if (path === "/v1/jobs/wait") return Response.json({ jobs: [], errors: jobs.map(({ id }) => ({ id, error })) });
      return Response.json(error, { status: 404 });
    };
    const [job] = jobs,
      asked = [job!.status(), job!.cancel()];
    const watched: string[] = [];
    const watching = (async () => {
      for await (const { status } of jobs[1]!.watch()) watched.push(status);
    })();
    const ends = await world.run(abide.asCompleted(jobs.slice(1), { timeout: "5m" }).all());
    await world.run(Promise.all([watching, ...asked]));
    assert.ok(
      ends.every(({ ok }) => ok),
      JSON.stringify(ends),
    );
    assert.equal(watched.at(-1), "completed");
    assert.equal(jobs[0]!.core.origin.memory.abilities(world.now()).stream, lagging > 1 ? "unknown" : "yes");
  }
});

test("results of jobs that did not complete are thrown", async () => {
  const { abide, server, world } = start();
  for (const [outcome, kind] of [
    ["failed", JobFailed],
    ["canceled", JobCanceled],
  ] as const) {
    const id = server.job(0);
    server.fault = () =>
      Response.json({ ...server.show(server.jobs.get(id)!), outcome, status: outcome, error: { title: "It broke" } });
    const done = await world.run(abide.job(id).wait());
    assert.equal(done.outcome, outcome);
    assert.throws(() => done.result, kind);
  }
});

test("a webhook ends the wait before its next poll, and polls find what no webhook told", async () => {
  const all = start(),
    { abide, server, world } = all;
  const inbox = new Inbox(),
    id = server.job(20_000);
  world.setTimeout(() => inbox.deliver(server.show(server.jobs.get(id)!)), 20_010);
  const options = { strategy: webhook(inbox, fixed("15s")) };
  const done = await world.run(abide.job(id).wait(options));
  assert.equal(done.report.channel, "push");
  assert.ok(world.now() < 20_020);
  const other = await world.run(abide.job(server.job(20_000)).wait(options));
  assert.equal(other.report.channel, "poll");
  assert.equal(inbox.listeners, 0);
  inbox.deliver({ ...server.show(server.jobs.get(id)!), id: "early" });
  await nothingLeft(all);
});

test("jobs are listed page by page, canceled and deleted", async () => {
  const { abide, server, world } = start();
  const pages: Record<string, unknown> = {
    "": { jobs: [server.show(server.jobs.get(server.job(1))!)], next_page_token: "2" },
    "2": { jobs: [], next_page_token: "3" },
    "3": { jobs: [server.show(server.jobs.get(server.job(1))!)] },
  };
  server.fault = ({ path }) =>
    path.startsWith("/v1/jobs?") || path === "/v1/jobs"
      ? Response.json(pages[new URLSearchParams(path.split("?")[1]).get("page_token") ?? ""])
      : undefined;
  const listed: string[] = [];
  await world.run(
    (async () => {
      for await (const job of abide.list({
        status: ["completed", "failed"],
        kind: "k",
        metadata: { a: "b" },
        createdAfter: new Date(0),
      }))
        listed.push(job.id);
    })(),
  );
  assert.deepEqual(listed, ["job_1", "job_2"]);
  assert.equal(
    server.asked[0]!.path,
    "/v1/jobs?status=completed%2Cfailed&kind=k&created_after=1970-01-01T00%3A00%3A00.000Z&metadata.a=b",
  );
  const job = abide.job(server.job(50_000));
  assert.equal((await world.run(job.cancel())).done, true);
  server.fault = () => new Response(null, { status: 204 });
  await world.run(job.delete());
  server.fault = () => Response.json({ title: "gone" }, { status: 410 });
  await world.run(job.delete());
});

test("a job that can't be read is left out of a list, and is a gap in the feed", async () => {
  const all = start(),
    { abide, server, world } = all;
  const good = server.show(server.jobs.get(server.job(1))!),
    bad = { ...good, id: "bad", done: true },
    unread: (string | undefined)[] = [],
    listed: string[] = [];
  const encoder = new TextEncoder(),
    event = (job: unknown, id: string): string => `event: job.progress\nid: ${id}\ndata: ${JSON.stringify(job)}\n\n`;
  let opened = 0;
  server.fault = ({ path }) => {
    if (path !== "/v1/events") return Response.json({ jobs: [bad, good, null] });
    if (++opened > 1) return new Response(null, { status: 204 });
    const text = encoder.encode(event(good, "a-1") + event(bad, "a-2") + "event: reset\nid: a-9\ndata: {}\n\n");
    return new Response(text, { headers: { "content-type": "text/event-stream" } });
  };
  await world.run(
    (async () => {
      for await (const { id } of abide.list({ onUnreadable: (id) => unread.push(id) })) listed.push(id);
    })(),
  );
  assert.deepEqual([listed, unread], [[good.id], ["bad", undefined]]);
  const told: unknown[] = [];
  await world.run(
    (async () => {
      for await (const { gap, place } of abide.feed()) told.push([gap, place]);
    })(),
  );
  assert.deepEqual(told, [
    [false, "a-1"],
    [true, "a-2"],
    [true, "a-9"],
  ]);
  assert.equal(server.asked.at(-1)!.headers.get("last-event-id"), "a-9");
  await nothingLeft(all);
});

test("each header is sent once, however it is spelled: the call's own before the caller's", async () => {
  const headers = { "Content-Type": "text/plain", Accept: "text/html", AUTHORIZATION: "Bearer other", "X-Tenant": "7" };
  const { abide, server, world } = start({ headers, apiKey: "a-key" });
  await world.run(abide.create("k"));
  const asked = server.asked[0]!.headers;
  assert.deepEqual(
    ["content-type", "accept", "authorization", "x-tenant"].map((name) => asked.get(name)),
    ["application/json", "application/json", "Bearer a-key", "7"],
  );
});

test("keys are sent and never shown, and odd ids and addresses are mistakes of usage", async () => {
  const { abide, server, world } = start({ apiKey: " a-secret-of-mine ", headers: { "x-tenant": "7" } });
  const failure = await error(world.run(abide.job("job_nobody").status()));
  assert.equal(server.asked[0]!.headers.get("authorization"), "Bearer a-secret-of-mine");
  assert.equal(server.asked[0]!.headers.get("x-tenant"), "7");
  assert.ok(!JSON.stringify([failure, failure.message, failure.stack]).includes("a-secret"));
  for (const id of ["", ".", "..", "x".repeat(2000)]) assert.throws(() => abide.job(id), UsageError);
  await error(world.run(abide.job("a/../b?c").status()));
  assert.equal(server.asked.at(-1)!.path, "/v1/jobs/a%2F..%2Fb%3Fc");
  for (const address of ["", "jobs.test", "ftp://jobs.test", "http://name:password@jobs.test"]) {
    assert.throws(
      () => new Abide(address),
      (error: Error) => error instanceof UsageError && !error.message.includes("password@"),
    );
  }
});
