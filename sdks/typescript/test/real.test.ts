/** Against a real server: the debug build that `ABIDE` names. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import {
  Abide,
  History,
  Inbox,
  NotFound,
  StillRunning,
  Unreachable,
  fixed,
  poll,
  pollUntil,
  stream,
  webhook,
} from "../dist/index.js";
import type { Change, Strategy } from "../dist/index.js";
import { TestServer, startAbide } from "../dist/testing.js";

const run = promisify(execFile);
const program = process.env.ABIDE;
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/** Serves a handler on a free port. */
const serve = async (
  handler: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<{ url: string; close: () => void }> => {
  const server = createServer((request, response) => void handler(request, response));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => (server.close(), server.closeAllConnections()) };
};

const options = { skip: program ? false : "ABIDE names no server's binary" };

describe("against a real server", options, () => {
  let server: TestServer, abide: Abide;
  before(async () => {
    server = await startAbide({
      program: program!,
      args: ["--error-chance", "0", "--webhook-retry", "0s,1h", "--default-job-delay", "1h"],
    });
  });
  beforeEach(async () => {
    await server.reset();
    abide = new Abide(server.url);
  });
  after(() => server.stop());

  const create = (duration: string, kind = "k"): ReturnType<Abide["create"]> =>
    abide.create(kind, { simulate: { duration, outcome: { error_chance: 0 } } });

  test("a job is waited for by one request, and its end is known at once", async () => {
    const done = await (await create("700ms")).wait({ timeout: "10s" });
    assert.equal(done.outcome, "completed");
    assert.equal(done.report.requests, 1);
    assert.ok(done.report.detectionMs! < 200, String(done.report.detectionMs));
    assert.ok(done.job.finished_at && done.result);
  });

  test("every strategy finds the end, and a watch shows every revision", async () => {
    const strategies: Strategy[] = [stream(), poll(fixed(100))];
    for (const strategy of strategies) {
      const done = await (await create("400ms")).wait({ strategy, onUpdate: () => {} });
      assert.equal(done.report.strategy, strategy.name);
    }
    const seen: number[] = [],
      job = await abide.create("k", {
        simulate: {
          duration: "600ms",
          stages: [
            { name: "a", share: 1 },
            { name: "b", share: 1 },
          ],
        },
      });
    for await (const state of job.watch()) seen.push(state.revision);
    assert.ok(seen.length >= 2, String(seen));
    assert.deepEqual(
      seen,
      [...seen].sort((a, b) => a - b),
    );
  });

  test("three hundred jobs take few requests", async () => {
    const jobs = await Promise.all(Array.from({ length: 300 }, (_, i) => create(`${500 + i * 5}ms`)));
    const ends = await abide.asCompleted(jobs, { timeout: "60s" }).all();
    assert.ok(ends.every((end) => end.ok));
    let requests = 0;
    for (const end of ends) if (end.ok) requests += end.done.report.requestsShare;
    assert.ok(requests < 40, String(requests));
  });

  test("a token goes on in another client; unknown jobs and dead servers are told apart", async () => {
    const job = await create("900ms"),
      failure = await job.wait({ timeout: 200 }).catch((error: unknown) => error);
    assert.ok(failure instanceof StillRunning);
    assert.equal((await new Abide(server.url).resume(failure.token!).wait()).outcome, "completed");
    await assert.rejects(abide.job("job_nobody").wait(), NotFound);
    const gone = await serve(() => {});
    gone.close();
    const dead = new Abide(gone.url, { timeout: "300ms" });
    await assert.rejects(
      dead.job("job_1").status(),
      (error: Error) => error instanceof Unreachable && /ECONNREFUSED/.test(error.message),
    );
  });

  test("jobs are listed, canceled and deleted; the feed tells of each", async () => {
    const changes: Change[] = [],
      aborting = new AbortController();
    const following = (async () => {
      for await (const change of abide.feed({ signal: aborting.signal })) {
        changes.push(change);
        if (!change.gap && change.type === "job.canceled") break;
      }
    })();
    await new Promise((later) => setTimeout(later, 300));
    const job = await create("1h", "listed"),
      other = await create("1h", "other");
    assert.equal((await job.cancel()).outcome, "canceled");
    await following;
    assert.ok(changes.some((change) => !change.gap && change.data.id === job.id));
    const listed = [];
    for await (const { id } of abide.list({ kind: "listed", pageSize: 1 })) listed.push(id);
    assert.deepEqual(listed, [job.id]);
    await job.delete();
    await assert.rejects(job.status(), NotFound);
    await other.cancel();
    aborting.abort();
  });

  test("a webhook ends the wait, verified", async () => {
    const inbox = new Inbox({ secret: SECRET }),
      receiver = await serve(inbox.express());
    try {
      const job = await abide.create("k", { simulate: { duration: "500ms" }, webhook: inbox.target(receiver.url) });
      const done = await job.wait({ strategy: webhook(inbox, fixed("20s")), timeout: "15s" });
      assert.equal(done.report.channel, "push");
    } finally {
      receiver.close();
    }
  });

  for (const [name, listener] of [
    ["the middleware", (inbox: Inbox) => inbox.express()],
    [
      "the handler",
      (inbox: Inbox) => {
        const handle = inbox.handler();
        return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
          const body = request.method === "POST" ? (Readable.toWeb(request) as ReadableStream<Uint8Array>) : null;
          const answer = await handle(
            new Request(`http://receiver${request.url}`, {
              method: request.method!,
              headers: request.headers as Record<string, string>,
              body,
              duplex: "half",
            } as RequestInit),
          );
          response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
        };
      },
    ],
  ] as const) {
    test(`${name} of the inbox withstands \`abide attack\``, { timeout: 60_000 }, async () => {
      const receiver = await serve(listener(new Inbox({ secret: SECRET })));
      try {
        const { stdout } = await run(program!, ["attack", receiver.url, "--secret", SECRET, "--json"]).catch(
          (error: { stdout: string }) => error,
        );
        const failed = stdout.split("\n").filter((line) => /"grade":"(fail|warn)"/.test(line));
        assert.deepEqual(failed, []);
        assert.ok(stdout.split("\n").length > 10, stdout);
      } finally {
        receiver.close();
      }
    });
  }

  test("the command line reads what this package has learned, and the other way round", async () => {
    const history = new History(),
      client = new Abide(server.url, { history, strategy: poll(fixed(50)) });
    const job = await client.create("shared", { simulate: { duration: "200ms" } });
    await job.wait();
    assert.equal(history.jobs(`${server.url} shared`), 0, "a fixed schedule learns nothing");
    const learning = new Abide(server.url, { history });
    await (await learning.create("shared", { simulate: { duration: "200ms" } })).wait();
    assert.equal(history.jobs(`${server.url} shared`), 1);
  });
});

describe("the server for tests", options, () => {
  test("plays an hour in no time by a manual clock, the same after each reset", async () => {
    const server = await startAbide({ program: program!, clock: "manual", seed: 7 });
    try {
      const play = async (): Promise<number> => {
        await server.reset();
        await server.simulate({ duration: "uniform:10m:1h", outcome: { error_chance: 0 } });
        const abide = new Abide(server.url),
          job = await abide.create("k");
        const waiting = job.wait({ timeout: "20s" });
        await new Promise((later) => setTimeout(later, 100));
        await server.advance("1h");
        const { job: ended } = await waiting;
        return Date.parse(ended.finished_at!) - Date.parse(ended.created_at);
      };
      const first = await play();
      assert.ok(first >= 600_000 && first <= 3_600_000, String(first));
      assert.equal(await play(), first);
      assert.ok(await server.report());
    } finally {
      await server.stop();
    }
  });

  test("says why it doesn't start", async () => {
    await assert.rejects(startAbide({ program: "/nowhere/abide" }), /can't be run/);
    await assert.rejects(
      startAbide({ program: program!, args: ["--no-such-flag"] }),
      /didn't start[\s\S]*no-such-flag/,
    );
  });

  test("a look at another's job is waited for by the server's own words", async () => {
    const server = await startAbide({ program: program!, speed: 20 });
    try {
      const abide = new Abide(server.url),
        { id } = await abide.create("k", { simulate: { duration: "10s" } });
      const look = async ({ signal }: { signal: AbortSignal }): Promise<any> =>
        (await fetch(`${server.url}/v1/jobs/${id}`, { signal })).json();
      const { value } = await pollUntil(look, { kind: "k", schedule: fixed(100), timeout: "20s" });
      assert.equal(value.outcome, "completed");
    } finally {
      await server.stop();
    }
  });
});
