/**
 * This client beside the Rust client, in random scenes that no vector holds: the learned schedule, retries, and what
 * answers of our API and of others mean. `ORACLE` names the example `oracle` of `abide-core`, a program or wasm; `SEED`
 * and `SCENES` say which scenes and how many: of the costly sort there are fewer.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { WASI } from "node:wasi";
import { Abide, AbideError, features, learned, openHistory } from "../dist/index.js";
import type { Cursor, Push, Remote } from "../dist/index.js";
import * as remotes from "../dist/remotes.js";
import { chacha, share } from "./chacha.js";
import { World } from "./world.js";

const ORACLE = process.env.ORACLE,
  SEED = Number(process.env.SEED ?? 1),
  SCENES = Number(process.env.SCENES ?? 300);

/** How long an answer takes. */
const TOOK = 100;

/** Random choices of a scene. */
class Dice {
  readonly #draw: () => bigint;

  constructor(seed: number) {
    this.#draw = chacha(BigInt(seed));
  }

  share = (): number => share(this.#draw());
  chance = (of: number): boolean => this.share() < of;
  /** A whole number. */
  whole = (from: number, upTo: number): number => from + Math.floor(this.share() * (upTo - from + 1));
  /** A whole number of which every order of magnitude is as likely. */
  wide = (from: number, upTo: number): number => Math.round(from * (upTo / from) ** this.share());
  pick = <T>(of: readonly T[]): T => of[this.whole(0, of.length - 1)]!;
  maybe = <T>(of: number, make: () => T): T | undefined => (this.chance(of) ? make() : undefined);
}

/** What the oracle did in each of these scenes. */
const consult = async (oracle: string, scenes: unknown[]): Promise<any[]> => {
  const input = scenes.map((scene) => JSON.stringify(scene) + "\n").join("");
  let output: string;
  if (oracle.endsWith(".wasm")) {
    const directory = mkdtempSync(join(tmpdir(), "abide-oracle-")),
      [asked, answered] = [join(directory, "asked"), join(directory, "answered")];
    writeFileSync(asked, input);
    const [stdin, stdout] = [openSync(asked, "r"), openSync(answered, "w")];
    const wasi = new WASI({ version: "preview1", stdin, stdout });
    const { instance } = await WebAssembly.instantiate(readFileSync(oracle), wasi.getImportObject() as any);
    assert.equal(wasi.start(instance) ?? 0, 0);
    for (const file of [stdin, stdout]) closeSync(file);
    output = readFileSync(answered, "utf8");
    rmSync(directory, { recursive: true });
  } else {
    const { error, status, stderr, stdout } = spawnSync(oracle, { input, encoding: "utf8", maxBuffer: 2 ** 30 });
    if (error) throw error;
    assert.equal(status, 0, stderr);
    output = stdout;
  }
  return output
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
};

/** An instant as both write it: to the millisecond, rounded each in its own way. */
const INSTANT = /^\d{4}-\d\d-\d\dT.*Z$/;

/** Compares what is JSON: numbers within a millionth and rounding, and what is null or missing as the same. */
const same = (ours: unknown, theirs: unknown, where: string): void => {
  if (typeof ours === "number" && typeof theirs === "number") {
    assert.ok(Math.abs(ours - theirs) <= 1.5e-3 + 2e-6 * Math.abs(theirs), `${where}: ${ours} is not ${theirs}`);
  } else if (typeof ours === "object" && typeof theirs === "object" && ours && theirs) {
    const [a, b] = [ours, theirs] as Record<string, unknown>[];
    for (const name of new Set([...Object.keys(a!), ...Object.keys(b!)])) same(a![name], b![name], `${where}.${name}`);
  } else if (typeof ours === "string" && typeof theirs === "string" && INSTANT.test(ours) && INSTANT.test(theirs)) {
    assert.ok(Math.abs(Date.parse(ours) - Date.parse(theirs)) <= 1, `${where}: ${ours} is not ${theirs}`);
  } else {
    assert.deepEqual(ours ?? null, theirs ?? null, where);
  }
};

/** Jobs of one kind, begun, seen and ended in any order. */
const learnScene = (seed: number): any => {
  const dice = new Dice(seed),
    median = dice.wide(1_000, 1_000_000),
    spread = dice.pick([0.05, 0.3, 0.8]),
    tick = dice.pick([0, 0, 1000, 5000]),
    second = dice.maybe(0.3, () => dice.wide(2, 10)),
    sized = dice.chance(0.4),
    featured = dice.chance(0.4),
    pushed = dice.chance(0.3),
    [remaining, progress, hints] = [dice.chance(0.25), dice.chance(0.25), dice.chance(0.25)];
  const events: unknown[] = [],
    open: { number: number; took: number; polls: number; push: number | undefined }[] = [];
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - dice.share())) * Math.cos(2 * Math.PI * dice.share());
  const begin = (number: number): void => {
    const size = sized ? dice.wide(10, 1000) : undefined,
      model = dice.pick(["a", "b", "c"]),
      steps = dice.whole(1, 50);
    let took = median * Math.exp(spread * normal()) * (size ? size / 100 : 1);
    if (featured) took *= { a: 1, b: 3, c: 9 }[model]! * Math.sqrt(steps);
    if (second && dice.chance(0.4)) took *= second;
    took = Math.max(Math.round(tick ? Math.ceil(took / tick) * tick : took), 1);
    const push = pushed ? dice.pick([-1, 0, 0.05, 1]) : undefined;
    open.push({ number, took, polls: 0, push });
    const beginning = {
      seed: dice.whole(0, 2 ** 31),
      size,
      features: featured
        ? [
            ["model", model],
            ["steps", steps],
          ]
        : [],
      job: dice.maybe(0.7, () => `job_${dice.chance(0.1) ? dice.whole(0, number) : number}`),
      began: dice.maybe(0.7, () => 1_790_000_000_000 + number * dice.whole(0, 2000)),
      push,
    };
    events.push({ begin: [number, beginning] });
  };
  const see = (job: (typeof open)[number]): void => {
    const estimate = (): number => Math.round(job.took * Math.exp(0.5 * normal()));
    events.push({
      see: [
        job.number,
        {
          elapsed: job.polls && dice.chance(0.8) ? undefined : dice.whole(0, 2 * job.took),
          rtt: dice.pick([10, 100, 100, 900]),
          polls: job.polls++,
          hint: hints ? dice.maybe(0.3, () => dice.wide(100, 20_000)) : undefined,
          remaining: remaining
            ? dice.maybe(0.7, () =>
                dice.chance(0.5) ? [estimate()] : [estimate(), estimate(), estimate()].sort((a, b) => a - b),
              )
            : undefined,
          progress: progress ? dice.maybe(0.7, () => dice.whole(-10, 110) / 100) : undefined,
        },
      ],
    });
  };
  const end = (at: number): void => {
    const [{ number, polls, push, took }] = open.splice(at, 1) as [(typeof open)[number]],
      within = dice.maybe(0.85, () => (dice.chance(0.1) ? 0 : dice.wide(1, took)));
    events.push({
      end: [
        number,
        {
          more: dice.chance(0.2) ? 0 : dice.wide(1, took),
          within,
          exactly: within === undefined ? undefined : dice.maybe(0.5, () => dice.whole(0, within)),
          polls,
          pushed: push === undefined ? undefined : dice.chance(0.7),
        },
      ],
    });
  };
  const jobs = dice.wide(3, 60);
  for (let number = 0; number < jobs || open.length;) {
    const at = dice.whole(0, open.length - 1);
    if (number < jobs && (!open.length || (open.length < 6 && dice.chance(0.4)))) begin(number++);
    else if (dice.chance(0.6)) see(open[at]!);
    else end(at);
  }
  const isBudget = dice.chance(0.2);
  const settings = {
    price: isBudget ? undefined : dice.wide(20, 5000),
    budget: isBudget ? dice.whole(1, 12) : undefined,
    expect: dice.maybe(0.3, () => dice.wide(1_000, 1_000_000)),
    min: dice.maybe(0.3, () => dice.wide(50, 5_000)),
    max: dice.maybe(0.3, () => dice.wide(5_000, 100_000)),
    typical_size: sized ? dice.maybe(0.3, () => dice.whole(10, 1000)) : undefined,
    jitter: dice.pick([0, 0.25, 0.5]),
  };
  return { learn: { settings, events } };
};

const playLearn = async ({ learn: { events, settings } }: any): Promise<unknown> => {
  const kept: [string, string][] = [],
    history = await openHistory({ load: () => [], append: (name, lines) => void kept.push([name, lines]) });
  const { budget, expect: expectAbout, jitter, max, min, price, typical_size: typicalSize } = settings;
  const schedule = learned(
    "kind",
    JSON.parse(JSON.stringify({ price, budget, expectAbout, min, max, typicalSize, jitter })) as object,
  );
  const jobs = new Map<number, { cursor: Cursor; next: number; last: number }>(),
    seen: unknown[] = [];
  for (const { begin, end, see } of events) {
    if (begin) {
      const [number, { began, features: known, job, push, seed, size }] = begin,
        draw = chacha(BigInt(seed));
      let drawn = 0;
      const cursor = schedule.begin({
        // What tells jobs without a name apart is made of the seed itself there.
        random: () => (++drawn === 2 ? seed / 2 ** 32 : share(draw())),
        history,
        size,
        ...(known.length && { features: features(Object.fromEntries(known)) }),
        ...(job !== undefined && { job }),
        ...(began !== undefined && { began }),
        ...(push !== undefined && { push: (push < 0 ? "expected" : push) as Push }),
      });
      jobs.set(number, { cursor, next: 0, last: 0 });
    } else if (see) {
      const [number, { elapsed: told, hint, polls, progress, remaining, rtt }] = see,
        job = jobs.get(number)!,
        elapsed = told ?? job.next + rtt;
      const [p10, p50, p90] = remaining?.length === 3 ? remaining : [undefined, remaining?.[0], undefined];
      const sight = {
        elapsed,
        rtt,
        polls,
        progress,
        notBefore: hint === undefined ? undefined : elapsed + hint,
        remaining: remaining && (p10 === undefined ? { p50 } : { p10, p50, p90 }),
      };
      job.last = elapsed;
      job.next = job.cursor.next(sight)!;
      const at = (probability: number): number => job.cursor.quantile!(probability, sight)!;
      seen.push([job.next, at(0.1), at(0.9), job.cursor.hazard!(sight)]);
    } else {
      const [number, { exactly, more, polls, pushed, within }] = end,
        { cursor, last } = jobs.get(number)!,
        after = last + more,
        later = (span: number | undefined): number | undefined => (span === undefined ? undefined : after + span);
      cursor.finish!({ after, atMost: later(within), duration: later(exactly), polls, pushed });
      jobs.delete(number);
    }
  }
  await history.save();
  return { seen, kept };
};

/** What is kept, as JSON. The time of the save is the host's. */
const read = ({ kept, seen }: any): unknown => {
  const line = (text: string): unknown => {
    const { saved_at: _, ...beliefs } = JSON.parse(text);
    return Array.isArray(JSON.parse(text)) ? JSON.parse(text) : beliefs;
  };
  const lines = kept.map(([name, text]: [string, string]) => [name, text.trim().split("\n").map(line)]);
  // When a job ends of which all mass has ended is a matter of rounding.
  const sights = seen.map((sight: number[]) => (sight[3] ? sight : [sight[0]]));
  return { seen: sights, kept: Object.fromEntries(lines) };
};

const OWN: Record<string, unknown> = {
  id: "job_1",
  kind: "k",
  status: "running",
  done: false,
  outcome: null,
  revision: 3,
  created_at: "2027-01-15T07:59:58.000Z",
  updated_at: "2027-01-15T07:59:59.000Z",
};

/** A value put at a JSON pointer. */
const put = (into: any, pointer: string, value: unknown): void => {
  const path = pointer.slice(1).split("/");
  let at = into;
  path.forEach((name, i) => {
    if (i === path.length - 1) at[name] = value;
    else at = at[name] ??= /^\d+$/.test(path[i + 1]!) ? [] : {};
  });
};

/** A job as an API of that description, or ours, may answer it; sometimes not quite. */
const bodyOf = (dice: Dice, remote: Remote | undefined): string => {
  if (dice.chance(0.1)) return dice.pick(["", "null", "[]", "{}", "<html>busy</html>", '"running"', "{", "7"]);
  if (!remote) {
    const ended = dice.maybe(0.5, () => dice.pick(["completed", "failed", "canceled"]));
    const job = {
      ...OWN,
      ...(ended && { status: ended, done: true, outcome: ended, finished_at: "2027-01-15T07:59:59.500Z" }),
      progress: dice.maybe(0.3, () => ({ percent: dice.whole(0, 100) })),
      result: dice.maybe(0.3, () => ({ url: "a.mp4", n: dice.whole(0, 9) })),
      error: ended === "failed" ? { title: "no audio", status: 422, code: "no_audio" } : undefined,
    };
    if (dice.chance(0.2)) {
      Object.assign(
        job,
        dice.pick([{ id: "job_2" }, { done: !job.done }, { revision: "three" }, { outcome: "gone" }, { id: 7 }]),
      );
    }
    return JSON.stringify(job);
  }
  const told = remote as any,
    body = {},
    words = [
      ...(told.running ?? []),
      ...(told.completed ?? []),
      ...(told.failed ?? []),
      ...(told.canceled ?? []),
      "paused",
    ];
  if (told.state && dice.chance(0.95)) put(body, told.state, dice.pick([...words, dice.pick(words), 7, true]));
  for (const name of ["result", "error", "error_code", "progress", "created_at", "finished_at", "done"]) {
    const pointer = told[name];
    if (typeof pointer !== "string" || !pointer.startsWith("/") || pointer === told.state || dice.chance(0.4)) continue;
    const values: Record<string, unknown[]> = {
      error: ["no audio", { message: "no audio", code: 7 }, [{ detail: "x" }], null, ""],
      error_code: ["E1", 7, null],
      progress: [0, 40, 0.4, 100, "40", "40%", null],
      done: [true, false, "true"],
    };
    const times = ["2027-01-15T07:59:58Z", 1_799_999_990, 1_799_999_990_123, "yesterday", null];
    try {
      put(body, pointer, dice.pick(values[name] ?? (name === "result" ? [{ url: "a" }, ["a"], null, "a"] : times)));
    } catch {
      // Two of its members lie in each other's way.
    }
  }
  return JSON.stringify(body);
};

/** A call and the answers that it gets. */
const callScene = (seed: number): any => {
  const dice = new Dice(seed),
    remote = dice.maybe(0.5, () => dice.pick(Object.values<Remote>(remotes)));
  const hint = (): string[][] =>
    dice.pick([
      [["retry-after", dice.pick(["2", "0", "1.5", "soon", "-1", "99999", " 3 "])]],
      [["retry-after-ms", dice.pick(["1500", "0", "1.5", "x"])]],
      [
        ["retry-after", "Fri, 15 Jan 2027 08:00:20 GMT"],
        ["date", "Fri, 15 Jan 2027 08:00:1" + dice.whole(0, 9) + " GMT"],
      ],
      [["retry-after", "Fri, 15 Jan 2027 08:00:20 GMT"]],
    ]);
  const answers = Array.from({ length: dice.whole(1, 5) }, () => {
    const status = dice.chance(0.3)
      ? 200
      : dice.pick([0, 400, 401, 404, 408, 409, 410, 425, 429, 429, 500, 502, 503, 503, 504]);
    const good = status >= 200 && status < 300;
    return {
      status,
      headers: [["content-type", "application/json"], ...(dice.chance(0.4) ? hint() : [])],
      body: good
        ? bodyOf(dice, remote)
        : dice.pick([
            "",
            '{"title":"Busy","status":503,"code":"busy","detail":"later"}',
            '{"error":{"message":"no credit","type":"billing"}}',
            '{"detail":[{"msg":"field required"}]}',
            '{"errors":["a","b"]}',
            "<html>",
            "null",
          ]),
    };
  });
  const retry = {
    initial: dice.maybe(0.4, () => dice.wide(10, 5_000)),
    factor: dice.maybe(0.4, () => dice.pick([0.5, 1, 1.5, 3])),
    max: dice.maybe(0.4, () => dice.wide(100, 60_000)),
    attempts: dice.maybe(0.5, () => dice.whole(1, 6)),
    hint_max: dice.maybe(0.3, () => dice.wide(500, 60_000)),
  };
  return { call: { seed: dice.whole(0, 2 ** 31), remote, retry, answers } };
};

const playCall = async ({ call: { answers, remote, retry, seed } }: any): Promise<unknown> => {
  const world = new World(),
    draw = chacha(BigInt(seed)),
    sent: unknown[] = [];
  const fetch = async (url: RequestInfo | URL, { signal }: RequestInit = {}): Promise<Response> => {
    const { body, headers, status } = answers[sent.length % answers.length];
    sent.push([world.now(), String(url)]);
    await world.sleep(TOOK, signal!);
    if (!status) throw new TypeError("lost");
    return new Response(body, { status, headers });
  };
  const { attempts, factor, hint_max: hintMax, initial, max } = retry;
  const abide = new Abide("http://abide.test", {
    fetch,
    clock: world,
    random: () => share(draw()),
    retry: JSON.parse(JSON.stringify({ attempts, factor, hintMax, initial, max })) as object,
    ...(remote && { remote }),
  });
  let end: unknown;
  try {
    end = await world.run(abide.job("job_1").status());
  } catch (error) {
    if (!(error instanceof AbideError)) throw error;
    const { code, jobId: job_id, problem, retryAfterMs: retry_after, status, token } = error;
    end = { code, job_id, problem, retry_after, status, token };
  }
  return { sent, end };
};

/** What the Rust client fills in where a problem doesn't say it. */
const FILLED: Record<string, unknown> = {
  type: "about:blank",
  title: "",
  status: 0,
  code: "unknown",
  retryable: false,
};

const unfilled = (problem: object | undefined): object | undefined =>
  problem && Object.fromEntries(Object.entries(problem).filter(([name, value]) => FILLED[name] !== value));

/** What a call came to, without what only one of both tells, such as the status of a good answer that can't be read. */
const plain = ({ end: { error, links: _, problem, ...end }, sent }: any): unknown => {
  if (end.code === "garbled") delete end.status;
  return { sent, end: { ...end, error: unfilled(error), problem: unfilled(problem) } };
};

const skip = ORACLE ? false : "ORACLE names no program";

for (const [what, scene, play, tidy, cost] of [
  ["the learned schedule", learnScene, playLearn, read, 30],
  ["calls", callScene, playCall, plain, 1],
] as const) {
  const count = Math.ceil(SCENES / cost);
  test(`${what} in ${count} random scenes from seed ${SEED} on`, { skip }, async () => {
    const seeds = Array.from({ length: count }, (_, i) => SEED + i),
      scenes = seeds.map(scene),
      theirs = await consult(ORACLE!, scenes);
    for (const [i, seed] of seeds.entries()) same(tidy(await play(scenes[i])), tidy(theirs[i]), `seed ${seed}`);
  });
}
