import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AbideError,
  Budget,
  History,
  StillRunning,
  Unreachable,
  UsageError,
  fixed,
  intervals,
  pollUntil,
} from "../dist/index.js";
import type { PollUntilOptions } from "../dist/index.js";
import { World, vendorJob } from "./world.js";

const wait = <T>(
  world: World,
  look: Parameters<typeof pollUntil<T>>[0],
  options: PollUntilOptions<T> = {},
): ReturnType<typeof pollUntil<T>> =>
  world.run(
    pollUntil(look, {
      clock: world,
      random: world.random,
      history: new History(),
      budget: new Budget(),
      kind: "k",
      ...options,
    }),
  );

/** Waits for the error of a wait. */
const error = async (waiting: Promise<unknown>): Promise<any> =>
  waiting.then(
    () => assert.fail("it found an end"),
    (error: unknown) => error,
  );

/** Looks that answer as a script says, one after the other, the last one for ever. */
const script = <T>(...answers: (T | Error)[]): (() => T) => {
  let look = 0;
  return () => {
    const answer = answers[Math.min(look++, answers.length - 1)]!;
    if (answer instanceof Error) throw answer;
    return answer;
  };
};

const refusal = (status: number, headers: Record<string, string> = {}): Error =>
  Object.assign(new Error(`status ${status}`), { status, headers });

test("a job is waited for, and what it cost is told", async () => {
  const world = new World(),
    job = vendorJob(world, 20_000);
  const { value, report } = await wait(world, job.look);
  assert.equal(value.status, "completed");
  assert.equal(report.requests, job.at.length);
  assert.ok(report.requests < 8, String(report.requests));
  assert.ok(report.elapsedMs >= 20_000 && report.elapsedMs < 30_000, String(report.elapsedMs));
  assert.ok(Math.abs(report.rttMs! - 100) < 1);
  assert.equal(report.failures, 0);
  assert.equal(world.timers, 0);
});

test("with experience the requests get few and the end is seen soon", async () => {
  const world = new World(),
    history = new History();
  for (let i = 0; i < 12; i++) await wait(world, vendorJob(world, world.now() + 20_000).look, { history });
  const begun = world.now(),
    job = vendorJob(world, begun + 20_000);
  const { report } = await wait(world, job.look, { history });
  assert.ok(report.requests <= 3, String(report.requests));
  assert.ok(report.elapsedMs < 21_000, String(report.elapsedMs));
  assert.equal(history.jobs("k"), 13);
});

test("the same look learns without a kind, and a wait that failed to end is an observation", async () => {
  const world = new World(),
    history = new History();
  const look = script({ status: "running" });
  const options = { clock: world, random: world.random, history, budget: new Budget(), timeout: "30s" };
  await error(world.run(pollUntil(look, options)));
  assert.equal(history.jobs(String(look)), 1);
});

test("a deadline bounds everything, one last look is taken, and the error tells what it cost", async () => {
  const world = new World(),
    job = vendorJob(world, Infinity);
  const failure = await error(wait(world, job.look, { timeout: "10s", schedule: fixed("60s") }));
  assert.ok(failure instanceof StillRunning && failure instanceof AbideError && !(failure instanceof Unreachable));
  assert.equal(failure.name, "StillRunning");
  assert.equal(failure.code, "still_running");
  assert.ok(failure.timedOut);
  assert.equal(failure.report!.requests, job.at.length);
  assert.ok(job.at.at(-1)! > 9000, String(job.at));
  assert.ok(world.now() <= 10_050, String(world.now()));
});

test("an end that the last look shows is a result", async () => {
  const world = new World();
  const { value } = await wait(world, vendorJob(world, 8000).look, { timeout: "10s", schedule: fixed("60s") });
  assert.equal(value.status, "completed");
});

test("the deadline ends the request in flight, and a look that ignores its signal holds nobody", async () => {
  const world = new World(),
    signals: AbortSignal[] = [];
  const deaf = ({ signal }: { signal: AbortSignal }): Promise<{ status: string }> => {
    signals.push(signal);
    return new Promise(() => {});
  };
  const failure = await error(wait(world, deaf, { timeout: "3s" }));
  assert.ok(failure instanceof Unreachable && failure.timedOut);
  assert.ok(world.now() <= 3050, String(world.now()));
  assert.ok(signals.length > 0 && signals.every((signal) => signal.aborted));
  assert.equal(world.timers, 0);
});

test("a stuck look is given up for another one", async () => {
  const world = new World();
  let looks = 0;
  const { report } = await wait(
    world,
    () => (++looks === 1 ? new Promise<{ status: string }>(() => {}) : { status: "done" }),
    { attemptTimeout: "2s" },
  );
  assert.equal(report.failures, 1);
  assert.equal(looks, 2);
});

test("an abort ends the wait with its reason, whatever it is doing, and leaves nothing", async () => {
  for (const at of [0, 3000, 5400, 5450]) {
    const world = new World(),
      aborting = new AbortController(),
      reason = new Error("enough"),
      history = new History();
    let open = 0;
    const look = async ({ signal }: { signal: AbortSignal }): Promise<{ status: string }> => {
      open++;
      try {
        await world.sleep(100, signal);
      } finally {
        open--;
      }
      return { status: "running" };
    };
    if (at) world.setTimeout(() => aborting.abort(reason), at);
    else aborting.abort(reason);
    assert.equal(await error(wait(world, look, { signal: aborting.signal, history })), reason);
    assert.equal(world.now(), at);
    await new Promise((next) => setImmediate(next));
    assert.equal(open, 0);
    assert.equal(world.timers, 0);
  }
});

test("failures pass, and neither advance nor reset the schedule", async () => {
  const world = new World();
  const look = script<{ status: string }>(
    refusal(503),
    new TypeError("fetch failed"),
    refusal(429),
    { status: "running" },
    { status: "succeeded" },
  );
  const { report } = await wait(world, look, { schedule: fixed("5s") });
  assert.equal(report.failures, 3);
  assert.equal(report.requests, 5);
  // The first look at once would be at 0: nothing is known of the job.
  assert.ok(report.elapsedMs >= 5000 && report.elapsedMs < 8000, String(report.elapsedMs));
});

test("nothing but failures for half a minute is unreachable, with the look's own error as its cause", async () => {
  const world = new World(),
    cause = new TypeError("fetch failed");
  const failure = await error(wait(world, script(cause)));
  assert.ok(failure instanceof Unreachable);
  assert.equal(failure.cause, cause);
  assert.ok(world.now() >= 30_000 && world.now() < 45_000, String(world.now()));
});

test("a refusal is final at once, as itself", async () => {
  const world = new World();
  for (const status of [400, 401, 403, 410, 422]) {
    const own = refusal(status);
    assert.equal(await error(wait(world, script(own))), own);
  }
  assert.equal(world.now(), 0);
  const mine = new Error("mine");
  assert.equal(await error(wait(world, script(mine), { final: (error) => error === mine })), mine);
});

test("a job that can't be found yet may still come", async () => {
  const world = new World(),
    own = refusal(404);
  const { report } = await wait(world, script<{ status: string }>(own, own, { status: "done" }));
  assert.equal(report.failures, 2);
  const late = new World();
  assert.equal(await error(wait(late, script(own))), own);
  assert.ok(late.now() >= 10_000 && late.now() < 25_000, String(late.now()));
});

test("what a refusal asks for is waited for, and beyond the deadline it is pointless", async () => {
  const world = new World();
  await wait(world, script<{ status: string }>(refusal(429, { "retry-after": "7" }), { status: "done" }));
  assert.ok(world.now() >= 7000 && world.now() <= 7800, String(world.now()));
  const hasty = new World();
  const failure = await error(wait(hasty, script(refusal(503, { "retry-after-ms": "60000" })), { timeout: "20s" }));
  assert.ok(failure instanceof Unreachable);
  assert.equal(failure.retryAfterMs, 60_000);
  assert.equal(hasty.now(), 0);
});

test("vendors' values are recognized", async () => {
  const ended = [
    { status: "completed" },
    { status: "SUCCEEDED" },
    { status: "failed" },
    { status: "canceled" },
    { status: "CANCELLED" },
    { status: "error" },
    { state: "completed" },
    { data: { status: "success" } },
    { output: { task_status: "SUCCEEDED" } },
    { done: true, response: {} },
    { name: "operations/1", done: true, error: { code: 3 } },
    { status: "Succeeded" },
    { status: "dubbed" },
    { status: "PARTIAL_FAILURE" },
  ];
  for (const value of ended) {
    const world = new World(),
      { report } = await wait<object>(world, () => value);
    assert.deepEqual(report.warnings, [], JSON.stringify(value));
    assert.equal(report.requests, 1);
  }
  const running = [
    { status: "queued" },
    { status: "IN_PROGRESS" },
    { status: "IN_QUEUE" },
    { state: "dreaming" },
    { data: { status: "pending" } },
    { name: "operations/1", metadata: {} },
    { done: false },
    { status: "NotStarted" },
    { status: "THROTTLED" },
    { status: "starting" },
  ];
  for (const value of running) {
    const failure = await error(wait<object>(new World(), () => value, { timeout: "3s" }));
    assert.ok(failure instanceof StillRunning, JSON.stringify(value));
    assert.deepEqual(failure.report!.warnings, []);
  }
});

test("an unknown word means running, with one warning; a value without any is a mistake of usage", async () => {
  const world = new World();
  const { report } = await wait(world, script({ status: "levitating" }, { status: "levitating" }, { status: "done" }));
  assert.equal(report.warnings.length, 1);
  assert.match(report.warnings[0]!, /levitating/);
  assert.ok((await error(wait<unknown>(new World(), () => ({ id: 7 })))) instanceof UsageError);
  assert.ok((await error(wait<unknown>(new World(), () => undefined))) instanceof UsageError);
});

test("`done` decides alone, and may say what is known", async () => {
  const world = new World();
  const look = script(0, 0, 1);
  const { value } = await wait(world, look, {
    done: (value) => ({ done: value === 1, retryAfter: value === 1 ? undefined : 4000 }),
    schedule: fixed(100),
  });
  assert.equal(value, 1);
  assert.ok(world.now() >= 8000, String(world.now()));
});

test("`done` may return anything that is true or not", async () => {
  const world = new World(),
    look = script<{ output: unknown }>(
      { output: null },
      { output: undefined },
      { output: "" },
      { output: { url: "a" } },
    );
  const { value, report } = await wait(world, look, { done: ({ output }) => output as boolean });
  assert.deepEqual([value.output, report.requests], [{ url: "a" }, 4]);
});

test("a throwing `done` or a span of time that is none is told as it is", async () => {
  const world = new World();
  const failure = await error(
    wait(world, () => 1, {
      done: () => {
        throw new RangeError("mine");
      },
    }),
  );
  assert.ok(failure instanceof RangeError);
  assert.ok((await error(wait(world, () => 1, { timeout: "soon" }))) instanceof UsageError);
  assert.ok((await error(wait(world, () => 1, { timeout: -1 }))) instanceof UsageError);
});

test("a kind that is no text leaves later waits alone", async () => {
  for (const kind of [5 as never, "text"]) assert.ok((await pollUntil(() => ({ status: "done" }), { kind })).value);
});

test("a schedule whose attempts are used up ends as still running", async () => {
  const failure = await error(wait(new World(), script({ status: "running" }), { schedule: intervals(["1s", "1s"]) }));
  assert.ok(failure instanceof StillRunning && !failure.timedOut);
  assert.equal(failure.report!.requests, 3);
});

test("thousands of waits share one budget", async () => {
  const world = new World(),
    budget = new Budget(10),
    history = new History();
  const looks: number[] = [];
  const waits = Array.from({ length: 60 }, () =>
    pollUntil(
      () => {
        looks.push(world.now());
        return { status: world.now() > 20_000 ? "done" : "running" };
      },
      { clock: world, random: world.random, budget, history, kind: "k", schedule: fixed("1s") },
    ),
  );
  await world.run(Promise.all(waits));
  for (let second = 1; second < 20; second++) {
    const sent = looks.filter((at) => at >= second * 1000 && at < (second + 1) * 1000).length;
    assert.ok(sent <= 11, `${sent} in second ${second}`);
  }
  assert.equal(world.timers, 0);
});

test("errors of another copy of the package are known", async () => {
  const copy = (await import(`../dist/error.js?copy=${Math.random()}`)) as typeof import("../dist/error.js");
  const other = new copy.NotFound("there is none", { jobId: "job_1", status: 404 });
  assert.ok(other instanceof AbideError && !(other instanceof StillRunning));
  assert.equal(other.message, "job job_1: there is none");
});
