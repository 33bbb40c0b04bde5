/** Servers that answer as no server should: each ends in an error of a type that says what to do. */

import assert from "node:assert/strict";
import { type AddressInfo, type Socket, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { Abide, Garbled, NotFound, Refused, StillRunning, Unreachable, UsageError, pollUntil } from "../dist/index.js";
import type { AbideError, AbideOptions } from "../dist/index.js";

type Play = (to: Socket) => unknown;

/** Accepts connections, reads the head of each request, and does with the rest what a test says. */
const serving = async <T>(play: Play, work: (url: string, heads: string[]) => Promise<T>): Promise<T> => {
  const heads: string[] = [],
    open = new Set<Socket>();
  const server = createServer((to) => {
    let head = "";
    open.add(to);
    to.on("error", () => {}).on("close", () => open.delete(to));
    to.on("data", (part) => {
      head += part.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      heads.push(head);
      head = "";
      play(to);
    });
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  try {
    return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, heads);
  } finally {
    for (const to of open) to.destroy();
    server.close();
  }
};

const head = (status = "200 OK", ...headers: string[]): string =>
  [`HTTP/1.1 ${status}`, "content-type: application/json", ...headers, "", ""].join("\r\n");

const answer =
  (body: string | Uint8Array, status?: string, ...headers: string[]): Play =>
  (to) => {
    const bytes = Buffer.from(body);
    to.write(head(status, `content-length: ${bytes.length}`, ...headers));
    to.write(bytes);
  };

const told = (value: unknown): Play => answer(JSON.stringify(value));

/** Writes again and again, for as long as the connection is there. */
const again =
  (start: string, part: string, pause: number): Play =>
  async (to) => {
    to.write(start);
    while (!to.destroyed) {
      if (!to.write(part)) await new Promise((drained) => to.once("drain", drained).once("close", drained));
      await sleep(pause);
    }
  };

const ended = (more: object = {}): object => ({
  id: "job_1",
  kind: "k",
  status: "completed",
  done: true,
  outcome: "completed",
  revision: 2,
  created_at: "2026-11-22T00:00:00.000Z",
  updated_at: "2026-11-22T00:00:00.000Z",
  ...more,
});

const GARBLED: Record<string, Play> = {
  "no end": again(head("200 OK", "transfer-encoding: chunked"), `10000\r\n${" ".repeat(65_536)}\r\n`, 0),
  "a bomb": answer(gzipSync(Buffer.alloc(64 * 1024 * 1024, " ")), "200 OK", "content-encoding: gzip"),
  "a page": answer("<html>"),
  nothing: answer(""),
  "no UTF-8": answer(Uint8Array.of(255, 254, 0)),
  "a list": told([]),
  null: told(null),
  "a number for an id": told(ended({ id: 7 })),
  "another job": told(ended({ id: "job_2" })),
  "done in words": told(ended({ done: "yes" })),
  "done without an outcome": told(ended({ outcome: null })),
  "a word for a revision": told(ended({ revision: "two" })),
  "a negative revision": told(ended({ revision: -1 })),
  "no date": told(ended({ created_at: "yesterday" })),
  "a list of states": told(ended({ status: ["completed"] })),
};

const UNREACHABLE: Record<string, Play> = {
  trickled: again(head("200 OK", "content-length: 1000"), " ", 20),
  "a trickled head": again("HTTP/1.1 200 OK\r\nx: ", "x", 20),
  silent: () => {},
  cut: (to) => to.end(`${head("200 OK", "content-length: 1000")}{"id"`),
  "no HTTP": (to) => to.write("\x00\x01nonsense\r\n\r\n"),
  closed: (to) => to.end(),
  "a long pause": answer("{}", "503 Service Unavailable", `retry-after: ${"9".repeat(30)}`),
};

const ask = async (url: string, options: AbideOptions = {}): Promise<AbideError> => {
  const abide = new Abide(url, { attemptTimeout: 500, retry: { initial: 10, attempts: 1 }, ...options });
  return abide
    .job("job_1")
    .status()
    .then(
      (job) => assert.fail(JSON.stringify(job).slice(0, 200)),
      (error: unknown) => error as AbideError,
    );
};

for (const [what, play] of Object.entries(GARBLED)) {
  test(`an answer that is none is garbled: ${what}`, async () => {
    const error = await serving(play, (url) => ask(url, { attemptTimeout: "10s" }));
    assert.ok(error instanceof Garbled, String(error));
    assert.equal(error.jobId, "job_1");
  });
}

for (const [what, play] of Object.entries(UNREACHABLE)) {
  test(`a server that gives no answer is unreachable in time: ${what}`, async () => {
    const began = performance.now(),
      error = await serving(play, (url) => ask(url));
    assert.ok(error instanceof Unreachable, String(error));
    assert.ok(performance.now() - began < 10_000);
    assert.ok(error.token);
  });
}

test("a key goes to no other host", () =>
  serving(told(ended()), (other, asked) =>
    serving(answer("", "307 Temporary Redirect", `location: ${other}/v1/jobs/job_1`), async (url, heads) => {
      const error = await ask(url, { apiKey: "a-key-that-is-secret" });
      assert.ok(error instanceof Garbled || error instanceof Refused, String(error));
      assert.match(error.message, /redirect/);
      assert.ok(heads[0]!.includes("a-key-that-is-secret") && !asked.length);
      assert.ok(!String(error.stack).includes("a-key-that-is-secret"));
    }),
  ));

test("a pause beyond the deadline ends the wait at once", () =>
  serving(UNREACHABLE["a long pause"]!, async (url) => {
    const began = performance.now();
    await assert.rejects(new Abide(url).job("job_1").wait({ timeout: "30s" }), (error: AbideError) => {
      assert.ok(error instanceof Unreachable, String(error));
      return error.retryAfterMs! > 1e6;
    });
    assert.ok(performance.now() - began < 20_000);
  }));

test("what a program passes on that is none is a mistake of usage, before anything is sent", () =>
  serving(told(ended()), async (url, heads) => {
    const wrong: (() => unknown)[] = [
      () => new Abide("localhost:8080"),
      () => new Abide(undefined as never),
      () => new Abide(url, { headers: { a: "b\r\nc: d" } }),
      () => new Abide(url).job(5 as never),
      () => new Abide(url).create("k", { input: 5n }),
      () => new Abide(""),
      () => new Abide(url, { timeout: "soon" }),
      () => new Abide(url).job("job_1").wait({ timeout: -1 }),
      () => new Abide(url).job("job_1").wait({ attemptTimeout: "5 parsecs" }),
      () => new Abide(url).job(""),
      () => new Abide(url).resume("{}"),
      () => new Abide(url).create("k", {}, { idempotencyKey: "" }),
      () => pollUntil(undefined as never),
      () => pollUntil(() => true, { timeout: "soon" }),
      () => pollUntil(() => ({ phase: "ready" })),
    ];
    for (const call of wrong) {
      await assert.rejects(
        async () => call(),
        (error) => error instanceof UsageError,
        String(call),
      );
    }
    assert.deepEqual(heads, []);
  }));

test("what ended is told from what isn't there and what still runs", async () => {
  await serving(answer("{}", "404 Not Found"), async (url) => assert.ok((await ask(url)) instanceof NotFound));
  const running = told(ended({ status: "running", done: false, outcome: null }));
  await serving(running, async (url) => {
    await assert.rejects(new Abide(url).job("job_1").wait({ timeout: 300 }), StillRunning);
  });
});
