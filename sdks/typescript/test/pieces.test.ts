/** The parts that are tables: events, tokens, hints, webhooks, descriptions. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Abide, Inbox, UsageError, backoff, countdown, fixed, fromFn, intervals } from "../dist/index.js";
import type { Job, Remote, Schedule } from "../dist/index.js";
import { problemOf } from "../dist/complaint.js";
import { sinceEnd } from "../dist/report.js";
import { readToken, writeToken } from "../dist/resume.js";
import { RetryBudget, RetryPolicy, retryAfter } from "../dist/retry.js";
import { millis } from "../dist/rt/duration.js";
import { Skew } from "../dist/rt/skew.js";
import { Decoder, type Item } from "../dist/sse.js";
import { GuardFull, ReplayGuard, Verifier, VerifyError, sign } from "../dist/webhooks.js";
import * as remotes from "../dist/remotes.js";
import { World } from "./world.js";

test("spans of time are milliseconds or texts", () => {
  for (const [text, span] of [
    [5, 5],
    ["500ms", 500],
    ["1.5s", 1500],
    ["10m", 600_000],
    ["1 h", 3_600_000],
    ["2d", 172_800_000],
  ] as const) {
    assert.equal(millis(text), span);
  }
  for (const text of ["", "5", "s", "-1s", "1w", "1s1s", NaN, -1]) assert.throws(() => millis(text), UsageError);
});

test("schedules of pauses give the tables of the Rust client", () => {
  const polls = (schedule: Schedule, count: number): (number | undefined)[] => {
    const cursor = schedule.begin({ random: () => 0.75 });
    let elapsed = 0;
    return Array.from({ length: count }, (_, polls) => {
      const at = cursor.next({ elapsed, rtt: 0, polls }),
        pause = at === undefined ? undefined : at - elapsed;
      elapsed = at ?? elapsed;
      return pause;
    });
  };
  assert.deepEqual(polls(fixed(), 3), [1000, 1000, 1000]);
  assert.deepEqual(polls(fixed("2s", { attempts: 2, first: 0 }), 3), [0, 2000, undefined]);
  assert.deepEqual(polls(fixed("2s", { jitter: 0.5 }), 2), [2500, 2500]);
  assert.deepEqual(polls(fixed("2s", { jitter: "full", first: "60s" }), 2), [45_000, 1500]);
  assert.deepEqual(polls(backoff("10s"), 4), [10_000, 15_000, 22_500, 30_000]);
  assert.deepEqual(polls(backoff("2s", { factor: NaN, max: "1s" }), 2), [1000, 1000]);
  assert.deepEqual(polls(backoff("1s", { factor: 2, first: 0 }), 3), [0, 1000, 2000]);
  assert.deepEqual(
    polls(
      countdown([
        [1, "4s"],
        [1, "2s"],
      ]),
      3,
    ),
    [4000, 2000, undefined],
  );
  assert.deepEqual(polls(countdown([[1, "4s"]], "1s"), 3), [4000, 1000, 1000]);
  assert.deepEqual(polls(intervals([1, "1s"]), 3), [1, 1000, undefined]);
  assert.deepEqual(
    polls(
      fromFn(({ elapsed }) => elapsed * 2 + 1),
      3,
    ),
    [1, 2, 4],
  );
});

test("pauses after failures double up to a ceiling, and hints are floors that are believed up to a bound", () => {
  const policy = new RetryPolicy();
  assert.deepEqual(
    [1, 2, 3, 20].map((failures) => policy.pause(failures, undefined, 1)),
    [200, 400, 800, 10_000],
  );
  assert.equal(policy.pause(1, undefined, 0), 0);
  assert.equal(policy.pause(1, 5000, 0), 5000);
  assert.equal(policy.pause(1, 5000, 1), 5500);
  assert.equal(policy.floor(1e9, 1), 302_000);
  assert.equal(new RetryPolicy(false).attempts, 1);
  const budget = new RetryBudget();
  let spent = 0;
  while (budget.withdraw()) spent++;
  assert.equal(spent, 100);
  for (let i = 0; i < 5; i++) budget.deposit();
  assert.ok(budget.withdraw() && !budget.withdraw());
});

test("Retry-After is seconds or a date, and its likes are milliseconds", () => {
  const say = (headers: Record<string, string>): number | undefined => retryAfter((name) => headers[name]);
  const date = "Fri, 27 Nov 2026 10:00:00 GMT";
  assert.equal(say({ "retry-after": "7" }), 7000);
  assert.equal(say({ "retry-after": " 0.5 " }), 500);
  assert.equal(say({ "retry-after": "Fri, 27 Nov 2026 10:01:30 GMT", date }), 90_000);
  assert.equal(say({ "retry-after": date, date: "Fri, 27 Nov 2026 10:01:30 GMT" }), 0);
  assert.equal(say({ "retry-after": date }), undefined);
  assert.equal(say({ "retry-after": "soon", date }), undefined);
  assert.equal(say({ "retry-after-ms": "250", "retry-after": "7" }), 250);
  assert.equal(say({}), undefined);
  assert.equal(sinceEnd("db;dur=3, since-end;dur=12.5"), 12.5);
  assert.equal(sinceEnd("app;dur=3"), undefined);
  assert.equal(sinceEnd(null), undefined);
});

test("a server's clock is known by its dates to within what they leave open", () => {
  const skew = new Skew();
  assert.equal(skew.age(0, 0), undefined);
  skew.observe(10_000, 10_100, 10_000);
  assert.equal(skew.age(9000, 10_000), 1000, "clocks that may agree do");
  skew.observe(20_000, 20_100, 80_000);
  const age = skew.age(80_000, 20_500)!;
  assert.ok(age > 800 && age < 1200, String(age));
});

test("streams are decoded however they are cut", () => {
  const text =
    '\uFEFF: hello\n\nevent: job.progress\nid: 2\ndata: {"a":\ndata: "ü"}\n\nretry: 5\r\ndata\r\rdata:x\nid\n\n:beat\n';
  const whole = [
    { event: "job.progress", data: '{"a":\n"ü"}', id: "2" },
    { event: "message", data: "", id: "2" },
    { event: "message", data: "x", id: undefined },
  ];
  const bytes = new TextEncoder().encode(text);
  for (let cut = 1; cut <= bytes.length; cut++) {
    const decoder = new Decoder(),
      items: Item[] = [];
    for (let at = 0; at < bytes.length; at += cut) items.push(...decoder.push(bytes.subarray(at, at + cut)));
    assert.deepEqual(items, whole, `cut every ${cut} bytes`);
    assert.equal(decoder.retry, 100);
  }
  const nul = new Decoder().push(new TextEncoder().encode("id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n"));
  assert.deepEqual(
    nul.map((item) => (item as { id: string }).id),
    ["7", "7"],
  );
  const endless = new Decoder(),
    part = new TextEncoder().encode(`data: ${"x".repeat(1 << 20)}\n`);
  assert.throws(() => Array.from({ length: 5 }, () => endless.push(part)));
  const empty = new Decoder(),
    lines = new TextEncoder().encode("data\n".repeat(1 << 20));
  assert.throws(() => Array.from({ length: 5 }, () => empty.push(lines)));
});

test("a line that comes in very many pieces is looked through once", () => {
  const decoder = new Decoder(),
    piece = new TextEncoder().encode("x".repeat(64)),
    begun = process.cpuUsage().user;
  for (let n = 0; n < 40_000; n++) decoder.push(piece);
  const took = (process.cpuUsage().user - begun) / 1e6;
  assert.ok(took < 3, `${took} s`);
});

test("tokens are those of the Rust client", () => {
  const token =
    '{"v":1,"server":"http://127.0.0.1:8080","job":"job_1","key":"k","kind":"video",' +
    '"created_at":"2026-11-27T10:00:00.000Z","revision":3}';
  const { v, ...rest } = readToken(token);
  assert.equal(v, 1);
  assert.equal(writeToken(rest), token);
  for (const wrong of ["", "{}", "null", "[1]", "x".repeat(5000), '{"v":2,"server":"s"}'])
    assert.throws(() => readToken(wrong), UsageError);
});

test("the words of others are kept and nothing is added", () => {
  const said = (body: string): unknown => problemOf(body, 401);
  assert.deepEqual(said('{"error":{"message":"No key","type":"auth","code":"invalid_api_key"}}'), {
    status: 401,
    detail: "No key",
    code: "invalid_api_key",
  });
  assert.deepEqual(said('{"detail":[{"msg":"field required","type":"missing"}]}'), {
    status: 401,
    detail: "field required",
    code: "missing",
  });
  assert.deepEqual(said('{"error":"Task not found"}'), { status: 401, detail: "Task not found" });
  for (const body of ["", "<html>", "{}", "[]", "7", '{"data":null}', "null"])
    assert.equal(said(body), undefined, body);
});

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NOW = 1_795_306_956;

test("signatures are those of Standard Webhooks", async () => {
  // The vector of the specification's libraries.
  const body = '{"test": 2432232314}',
    id = "msg_p5jXN8AQM9LWM0D4loKWxJek",
    at = 1_614_265_330;
  assert.equal(await sign(SECRET, id, at, body), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  const headers = {
    "webhook-id": id,
    "webhook-timestamp": String(at),
    "webhook-signature": `v1,bad v2,x ${await sign([OTHER, SECRET], id, at, body)}`,
  };
  assert.equal((await new Verifier([SECRET]).verify(headers, body, at)).id, id);
  assert.equal((await new Verifier([OTHER, SECRET]).verify(new Headers(headers), body, at)).type, "");
});

test("what is not to be believed isn't", async () => {
  const body = "{}",
    signature = await sign(SECRET, "msg_1", NOW, body),
    verifier = new Verifier(SECRET);
  const good = { "webhook-id": "msg_1", "webhook-timestamp": String(NOW), "webhook-signature": signature };
  await verifier.verify(good, body, NOW + 300);
  for (const [headers, sent, now] of [
    [{ ...good, "webhook-signature": "" }, body, NOW],
    [{ ...good, "webhook-id": "msg_2" }, body, NOW],
    [{ ...good, "webhook-id": "a.b" }, body, NOW],
    [{ ...good, "webhook-id": "x".repeat(257) }, body, NOW],
    [{ ...good, "webhook-timestamp": `+${NOW}` }, body, NOW],
    [{ ...good, "webhook-timestamp": String(NOW + 1) }, body, NOW],
    [good, "{} ", NOW],
    [good, body, NOW + 301],
    [good, body, NOW - 301],
    [{ ...good, "webhook-signature": signature.replace("v1,", "v2,") }, body, NOW],
    [{ ...good, "webhook-signature": await sign(OTHER, "msg_1", NOW, body) }, body, NOW],
  ] as const) {
    await assert.rejects(
      verifier.verify(headers, sent, now),
      (error: Error) => error instanceof VerifyError && !error.message.includes("whsec"),
    );
  }
  for (const secret of ["whsec_", "whsec_c2hvcnQ=", "not base64!"]) {
    assert.throws(() => new Verifier(secret), UsageError);
  }
});

test("a guard knows what it has seen until its signature is no longer good, and refuses what it can't know", () => {
  const guard = new ReplayGuard(2);
  assert.ok(guard.isNew("a", NOW) && guard.isNew("b", NOW + 1) && !guard.isNew("a", NOW + 600));
  assert.ok(guard.isNew("c", NOW + 600) && !guard.isNew("a", NOW + 600), "the oldest may still be good");
  assert.ok(guard.isNew("d", NOW + 601) && guard.isNew("a", NOW + 601), "then it is forgotten");
  guard.forget("a");
  assert.ok(guard.isNew("a", NOW + 601));
  // b, c, d and a are there.
  for (let n = 4; n < 32; n++) assert.ok(guard.isNew(`id ${n}`, NOW + 601));
  assert.throws(() => guard.isNew("one more", NOW + 601), GuardFull);
  assert.ok(!guard.isNew("a", NOW + 601) && guard.isNew("one more", NOW + 602), "once b is forgotten");
});

const job = (over: Partial<Job> = {}): Job => ({
  id: "job_1",
  kind: "k",
  status: "running",
  done: false,
  outcome: null,
  revision: 1,
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
  ...over,
});

test("an inbox takes only news, and each delivery once", async () => {
  const inbox = new Inbox();
  assert.ok(inbox.deliver(job({ revision: 2 })));
  assert.ok(!inbox.deliver(job({ revision: 1 })) && !inbox.deliver(job({ revision: 2 })));
  assert.ok(inbox.deliver(job({ revision: 3, done: true, outcome: "completed" })));
  assert.ok(!inbox.deliver(job({ revision: 9 })), "an ended job never changes");
});

/** Posts a delivery to a handler. */
const post = async (
  handle: (request: Request) => Promise<Response>,
  id: string,
  body: string,
  type = "application/json",
): Promise<number> => {
  const at = Math.floor(Date.now() / 1000);
  const headers = {
    "content-type": type,
    "webhook-id": id,
    "webhook-timestamp": String(at),
    "webhook-signature": await sign(SECRET, id, at, body),
  };
  return (await handle(new Request("http://receiver/", { method: "POST", headers, body }))).status;
};

test("a handler answers each delivery as its sender must hear it", async () => {
  const taken: string[] = [];
  let broken = true;
  const inbox = new Inbox({
    secret: SECRET,
    onDelivery: ({ id }) => {
      if (id === "msg_later" && broken) throw new Error("not now");
      taken.push(id);
    },
  });
  const handle = inbox.handler(),
    event = JSON.stringify({ type: "job.completed", timestamp: "", data: job({ done: true, outcome: "completed" }) });
  assert.equal(await post(handle, "msg_1", event), 204);
  assert.equal(await post(handle, "msg_1", event), 204);
  assert.equal(await post(handle, "msg_later", event), 503);
  broken = false;
  assert.equal(await post(handle, "msg_later", event), 204);
  assert.deepEqual(taken, ["msg_1", "msg_later"]);
  assert.equal(await post(handle, "msg_2", "not json"), 400);
  assert.equal(await post(handle, "msg_3", event, "text/plain"), 415);
  // As large as a server's input and result together, and larger.
  assert.equal(await post(handle, "msg_4", `"${"x".repeat(530_000)}"`), 204);
  assert.equal(await post(handle, "msg_5", `"${"x".repeat(550_000)}"`), 413);
  assert.equal((await handle(new Request("http://receiver/"))).status, 405);
  assert.equal(await post(new Inbox({ secret: OTHER }).handler(), "msg_5", event), 401);
  assert.equal(await post(new Inbox().handler(), "msg_6", event), 500);
});

test("a middleware behind a parser says what is wrong, and never a silent 401", async () => {
  const middleware = new Inbox({ secret: SECRET }).express();
  const answer = {
    statusCode: 0,
    setHeader: () => {},
    end(body?: string) {
      this.body = body;
    },
    body: undefined as string | undefined,
  };
  await middleware({ method: "POST", headers: { "content-type": "application/json" }, body: { parsed: true } }, answer);
  assert.equal(answer.statusCode, 500);
  assert.match(answer.body!, /express\.raw/);
});

/** Waits for a job of a described API through the answers of a shape, and returns what was asked. */
const throughShape = async (name: string): Promise<{ asked: Request[]; words: string[]; job: Job }> => {
  const read = async (path: string): Promise<any> =>
    JSON.parse(await readFile(new URL(`../../../crates/client/${path}`, import.meta.url), "utf8"));
  const presets: Remote[] = await read("src/remote/presets.json"),
    shape = await read(`tests/shapes/${name}.json`);
  const world = new World(),
    asked: Request[] = [],
    words: string[] = [];
  const fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    asked.push(new Request(input, init as RequestInit));
    return Response.json(asked.length === 1 ? shape.create : shape.answers[Math.min(asked.length - 2, 2)]);
  };
  const remote = presets.find((remote) => remote.name === name)!;
  const abide = new Abide("https://api.example.test", {
    remote,
    fetch,
    clock: world,
    random: world.random,
    schedule: fixed("2s"),
    apiKey: "key-of-mine",
  });
  const job = await world.run(abide.create("k", { input: { video: "a.mp4" } }));
  const done = await world.run(job.wait({ onUpdate: ({ status }) => words.push(status) }));
  assert.deepEqual(done.report.warnings, []);
  return { asked, words, job: done.job };
};

test("described APIs are waited for from create to end", async () => {
  const heygen = await throughShape("heygen");
  assert.deepEqual(heygen.words, ["pending", "running", "completed"]);
  assert.equal(heygen.asked[0]!.url, "https://api.example.test/v3/video-translations");
  assert.equal(heygen.asked[0]!.headers.get("idempotency-key")!.length, 32);
  assert.equal(await heygen.asked[0]!.text(), '{"video":"a.mp4"}');
  assert.equal(heygen.asked[1]!.headers.get("x-api-key"), "key-of-mine");
  assert.ok((heygen.job.result as { video_url: string }).video_url);
  const replicate = await throughShape("replicate");
  assert.deepEqual(replicate.words, ["starting", "processing", "completed"]);
  assert.deepEqual(replicate.job.result, ["https://files.example.test/out.mp4"]);
  assert.equal(replicate.asked[1]!.headers.get("authorization"), "Bearer key-of-mine");
});

/** An API that tells nothing of when its jobs began. */
const DATELESS: Remote = { name: "d", create: "/jobs", status: "/jobs/{id}", state: "/status", completed: ["done"] };

test("how old a job is survives a token, where the API doesn't tell it", async () => {
  const world = new World();
  let end = Infinity;
  const fetch = async (): Promise<Response> => Response.json({ id: "1", status: world.now() < end ? "on" : "done" });
  const client = (): Abide =>
    new Abide("https://api.test", { remote: DATELESS, fetch, clock: world, random: world.random });
  const job = await world.run(client().create("k"));
  await world.advance(600_000);
  const abide = client(),
    still = await world.run(abide.resume(job.token).wait({ timeout: "5s" })).catch((error) => error);
  assert.equal(JSON.parse(still.token).created_at, JSON.parse(job.token).created_at);
  end = world.now() + 5000;
  await world.run(abide.resume(still.token).wait());
  const [learned] = abide.history.durations("https://api.test k").model.past.ended.slice(-1);
  assert.ok(learned!.after >= 600, `learned as ${learned!.after} to ${learned!.atMost} s`);
});

test("an instant that no calendar has is none", async () => {
  const world = new World();
  for (const created_at of [1.7e18, 1e300, -1, "soon", {}]) {
    const fetch = async (): Promise<Response> => Response.json({ id: "1", status: "done", created_at });
    const remote = { ...DATELESS, created_at: "/created_at", finished_at: "/created_at" };
    const abide = new Abide("https://api.test", { remote, fetch, clock: world, random: world.random });
    const { job } = await world.run(abide.job("1").wait());
    assert.equal(job.created_at, new Date(world.wall()).toISOString());
  }
});

test("a header of the caller's stands before the description's", async () => {
  const world = new World(),
    asked: Headers[] = [];
  const fetch = async (_: unknown, init: RequestInit = {}): Promise<Response> => {
    asked.push(new Headers(init.headers));
    return Response.json({ id: "1", status: "done" });
  };
  const remote = { ...DATELESS, headers: { "X-Version": "1", "X-Other": "2" }, key_header: "X-Key", key_prefix: "" };
  const headers = { "x-version": "3", "x-key": "theirs" };
  const abide = new Abide("https://api.test", { remote, headers, apiKey: "mine", fetch, clock: world });
  await world.run(abide.job("1").status());
  assert.deepEqual(
    ["x-version", "x-other", "x-key"].map((name) => asked[0]!.get(name)),
    ["3", "2", "mine"],
  );
});

test("the vendors' descriptions are those of the Rust client", async () => {
  const path = new URL("../../../crates/client/src/remote/presets.json", import.meta.url),
    presets: Remote[] = JSON.parse(await readFile(path, "utf8"));
  const byName = (a: Remote, b: Remote): number => (a.name < b.name ? -1 : 1);
  assert.deepEqual(Object.values<Remote>(remotes).sort(byName), presets.sort(byName));
  for (const remote of Object.values<Remote>(remotes)) new Abide(remote.base ?? "https://x.test", { remote });
});

test("kinds, ids with slashes, other methods, headers and places of results are as an API wants them", async () => {
  const asked: string[] = [];
  const through = async (remote: Remote, kind: string, answers: (unknown | Response)[]): Promise<Job> => {
    asked.length = 0;
    const world = new World();
    const fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
      const headers = new Headers(init.headers);
      asked.push(
        `${init.method} ${new URL(String(input)).pathname}${new URL(String(input)).search} ${headers.get("authorization")} ${headers.get("x-runway-version")}`,
      );
      const answer = answers[Math.min(asked.length - 1, answers.length - 1)];
      return answer instanceof Response ? answer.clone() : Response.json(answer);
    };
    const abide = new Abide("https://api.test", {
      remote,
      fetch,
      clock: world,
      random: world.random,
      schedule: fixed("2s"),
      apiKey: "key",
    });
    const job = await world.run(abide.create(kind, { input: {} })),
      done = await world.run(job.wait());
    if (remote.cancel) await world.run(job.cancel());
    return done.job;
  };
  const fal = await through(remotes.fal, "fal-ai/flux", [
    { request_id: "r1" },
    { status: "IN_QUEUE" },
    { status: "COMPLETED" },
    { images: [1] },
    { status: "COMPLETED" },
  ]);
  assert.deepEqual(fal.result, { images: [1] });
  assert.deepEqual(asked, [
    "POST /fal-ai/flux Key key null",
    "GET /fal-ai/flux/requests/r1/status Key key null",
    "GET /fal-ai/flux/requests/r1/status Key key null",
    "GET /fal-ai/flux/requests/r1 Key key null",
    "PUT /fal-ai/flux/requests/r1/cancel Key key null",
  ]);
  await through(remotes.runway, "image_to_video", [{ id: "t1" }, { status: "SUCCEEDED", output: ["a"] }]);
  assert.deepEqual(asked, [
    "POST /v1/image_to_video Bearer key 2024-11-06",
    "GET /v1/tasks/t1 Bearer key 2024-11-06",
    "DELETE /v1/tasks/t1 Bearer key 2024-11-06",
  ]);
  const place = { "operation-location": "https://other.test/translator/document/batches/b1/?api-version=2026-03-01" };
  await through(remotes.azureDocumentTranslation, "k", [
    new Response("", { status: 202, headers: place }),
    { status: "Succeeded" },
  ]);
  assert.equal(asked[1]!.split(" ")[1], "/translator/document/batches/b1?api-version=2026-03-01");
  const empty = new Response("", { status: 200 });
  await through(remotes.googleVeo, "veo-3", [
    { name: "models/veo-3/operations/o1" },
    empty,
    { done: true, response: 1 },
  ]);
  assert.deepEqual(
    asked.slice(0, 3).map((line) => line.split(" ").slice(0, 2).join(" ")),
    [
      "POST /v1beta/models/veo-3:predictLongRunning",
      "GET /v1beta/models/veo-3/operations/o1",
      "GET /v1beta/models/veo-3/operations/o1",
    ],
  );
});

test("a job that is done and tells an error beside has failed", async () => {
  const world = new World();
  for (const [error, outcome] of [
    [{ message: "no audio", code: 3 }, "failed"],
    [undefined, "completed"],
    [null, "completed"],
  ] as const) {
    const fetch = async (): Promise<Response> =>
      Response.json({ name: "operations/1", done: true, error, response: {} });
    const abide = new Abide("https://api.example.test", { remote: remotes.googleVeo, fetch, clock: world });
    const { job } = await world.run(abide.job("operations/1").wait({ timeout: "1m" }));
    assert.equal(job.outcome, outcome);
    assert.equal(job.error?.detail, error?.message);
  }
});

test("a description that can't be right is refused", () => {
  const remote = (over: Partial<Remote>): Remote => ({
    name: "r",
    status: "/j/{id}",
    state: "/state",
    completed: ["ready"],
    ...over,
  });
  for (const wrong of [remote({ completed: [] }), remote({ state: "data.status" }), remote({ failed: ["READY"] })]) {
    assert.throws(() => new Abide("https://x.test", { remote: wrong }), UsageError);
  }
});

test("a create without a key that may have been made is told so, and never repeated", async () => {
  const remote: Remote = { name: "r", status: "/j/{id}", state: "/state", completed: ["ready"], create: "/j" };
  let sent = 0;
  const fetch = async (): Promise<Response> => {
    sent++;
    throw new TypeError("fetch failed");
  };
  const abide = new Abide("https://x.test", { remote, fetch });
  await assert.rejects(
    abide.create("k"),
    (error: any) =>
      error.mayHaveCreated === true && error.token === undefined && /may have been made/.test(error.message),
  );
  assert.equal(sent, 1);
  await assert.rejects(abide.create("k", {}, { idempotencyKey: "mine" }), UsageError);
});
