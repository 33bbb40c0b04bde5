import assert from "node:assert/strict";
import { test } from "node:test";
import { Abide, JobCanceled, JobFailed, LeaseLost, Refused, Unreachable, UsageError } from "../dist/index.js";
import { Server } from "./server.js";
import { World } from "./world.js";

const start = (): { world: World; server: Server; abide: Abide } => {
  const world = new World(),
    server = new Server(world);
  return {
    world,
    server,
    abide: new Abide("http://jobs.test", { fetch: server.fetch, clock: world, random: world.random }),
  };
};

const error = async (waiting: Promise<unknown>): Promise<any> =>
  waiting.then(
    () => assert.fail("there was no error"),
    (error: unknown) => error,
  );

const nothingLeft = async ({ abide, server, world }: ReturnType<typeof start>): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((next) => setImmediate(next));
  assert.deepEqual([world.timers, server.open, abide.load], [0, 0, { members: 0, flights: 0 }]);
};

test("a job is waited for, claimed once under a key, reported on and ended", async () => {
  const all = start(),
    { abide, server, world } = all;
  world.setTimeout(() => server.work(), 40_000);
  server.fault = ({ nth }) => (nth === 1 ? new TypeError("fetch failed") : undefined);
  const lease = await world.run(abide.claim(["k", "l"], { lease: "20s" }));
  assert.equal(lease.id, "job_1");
  assert.equal(lease.job.lease, undefined);
  const claims = server.asked.filter(({ path }) => path === "/v1/jobs/claim");
  assert.equal(claims.length, 3);
  assert.equal(new Set(claims.map(({ headers }) => headers.get("idempotency-key"))).size, 1);
  assert.deepEqual(claims[0]!.body, { kinds: ["k", "l"], wait: 25, lease_s: 20 });
  await world.run(lease.progress(40, "voices"));
  const report = server.asked.find(({ method }) => method === "PATCH")!;
  assert.deepEqual(report.body, { progress: { percent: 40, stage: "voices" } });
  assert.equal(report.headers.get("lease-token"), lease.token);
  const done = await world.run(lease.complete({ url: "a.mp4" }));
  assert.deepEqual([done.outcome, done.result], ["completed", { url: "a.mp4" }]);
  assert.ok(!lease.signal.aborted, "its own end is none by another hand");
  await nothingLeft(all);
});

test("a lease renews itself every third of its length until it is closed", async () => {
  const all = start(),
    { abide, server, world } = all;
  server.work();
  const lease = await world.run(abide.claim("k", { lease: "9s" })),
    claimed = server.asked.length;
  server.fault = ({ nth }) => (nth === claimed + 3 ? new Response("{}", { status: 503 }) : undefined);
  await world.advance(30_000);
  const beats = server.asked.filter(({ method }) => method === "PATCH");
  assert.ok(beats.length >= 10 && beats.length <= 13, String(beats.length));
  assert.ok(beats.every(({ body }) => Object.keys(body).length === 0));
  lease.close();
  await nothingLeft(all);
});

test("a renewal comes again no sooner than a busy server says", async () => {
  const all = start(),
    { abide, server, world } = all;
  server.work();
  const lease = await world.run(abide.claim("k", { lease: "9s" }));
  server.fault = ({ method }) =>
    method === "PATCH" ? new Response("{}", { status: 503, headers: { "retry-after": "2" } }) : undefined;
  await world.advance(30_000);
  const beats = server.asked.filter(({ method }) => method === "PATCH").map(({ at }) => at);
  assert.ok(beats.length >= 9, String(beats.length));
  assert.ok(
    beats.every((at, nth) => !(at < beats[nth - 1]! + 2000)),
    String(beats),
  );
  lease.close();
  await nothingLeft(all);
});

test("the work is stopped at once by a cancel, and by the loss of the lease", async () => {
  const all = start(),
    { abide, server, world } = all;
  for (const [end, kind, by] of [
    [(id: string) => server.end(id, { outcome: "canceled", status: "canceled" }), JobCanceled, 6000],
    [
      (id: string) => server.end(id, { outcome: "failed", status: "failed", error: { title: "late" } }),
      JobFailed,
      6000,
    ],
    [(id: string) => server.end(id, { attempts: 2 }), LeaseLost, 6000],
    [(id: string) => server.leases.set(id, "another's"), LeaseLost, 10_500],
  ] as const) {
    server.work();
    const lease = await world.run(abide.claim("k"));
    let stopped: AbortSignal | undefined;
    world.setTimeout(() => end(lease.id), 5000);
    const begun = world.now();
    const failure = await error(
      world.run(
        lease.whileHeld((signal) => {
          stopped = signal;
          return world.sleep(60_000, signal);
        }),
      ),
    );
    assert.ok(failure instanceof kind, String(failure));
    assert.equal(failure.jobId, lease.id);
    assert.ok(failure.token);
    assert.ok(stopped!.aborted);
    assert.equal(lease.signal.reason, failure);
    assert.ok(world.now() - begun < by, String(world.now() - begun));
    assert.ok((await error(world.run(lease.complete(1)))) instanceof kind);
    await world.run(lease.release());
    await nothingLeft(all);
  }
});

test("an end whose answer was lost is told again, and is no end by another", async () => {
  const all = start(),
    { abide, server, world } = all;
  server.work();
  const lease = await world.run(abide.claim("k"));
  let lost = 1;
  server.fault = ({ method }) => {
    if (method !== "PATCH" || lost-- <= 0) return undefined;
    server.end(lease.id, {
      outcome: "failed",
      status: "failed",
      error: { title: "no talk", code: "failed" },
      attempts: 1,
    });
    return new TypeError("fetch failed");
  };
  const ended = await world.run(lease.fail("no talk"));
  assert.deepEqual([ended.outcome, ended.error!.title], ["failed", "no talk"]);
  assert.ok(!lease.signal.aborted);
  await nothingLeft(all);
});

test("a report that fails for another reason says so, and the lease goes on", async () => {
  const all = start(),
    { abide, server, world } = all;
  server.work();
  const lease = await world.run(abide.claim("k"));
  server.fault = ({ method }) => (method === "PATCH" ? new Response("{}", { status: 413 }) : undefined);
  assert.ok((await error(world.run(lease.complete("x")))) instanceof Refused);
  server.fault = () => undefined;
  assert.equal((await world.run(lease.complete("y"))).result, "y");
  server.work();
  const other = await world.run(abide.claim("k"));
  await world.run(other.release());
  assert.deepEqual(server.pending, [other.id]);
  await nothingLeft(all);
});

test("a claim that nothing comes to ends by its timeout, and one that can't be is a mistake of usage", async () => {
  const all = start(),
    { abide, server, world } = all;
  assert.equal(await world.run(abide.claim("k", { timeout: "70s" })), undefined);
  assert.ok(world.now() >= 70_000 && world.now() < 71_000, String(world.now()));
  assert.deepEqual(
    server.asked.map(({ body }) => body.wait <= 25),
    server.asked.map(() => true),
  );
  assert.equal(await world.run(abide.claim([], { timeout: 0 })), undefined);
  server.fault = () => "hang";
  const late = await error(world.run(abide.claim("k", { timeout: "3s" })));
  assert.ok(late instanceof Unreachable && late.timedOut);
  server.fault = () => new Response("{}", { status: 503 });
  assert.ok((await error(world.run(abide.claim("k")))) instanceof Unreachable);
  const remote = { name: "r", status: "/{id}", state: "/status", completed: ["done"] };
  await assert.rejects(new Abide("http://r.test", { remote }).claim(), UsageError);
  await assert.rejects(new Abide("http://r.test", { remote }).streamToken(), UsageError);
  await nothingLeft(all);
});

test("tokens open streams of one job, for that long", async () => {
  const { abide, server, world } = start(),
    token = { token: "abc", expires_at: "2027-01-01T00:00:00Z" };
  server.fault = ({ path }) => (path === "/v1/stream-tokens" ? Response.json(token, { status: 201 }) : undefined);
  assert.deepEqual(await world.run(abide.streamToken({ job: "job_1", ttl: "2m" })), token);
  assert.deepEqual(server.asked[0]!.body, { job: "job_1", ttl: "120000ms" });
  await world.run(abide.streamToken());
  assert.deepEqual(server.asked[1]!.body, {});
});
