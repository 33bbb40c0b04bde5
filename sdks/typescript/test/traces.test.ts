/** Whole waits, step by step: what the Rust client was told and when, and what it did. This client must do the same. */

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Abide, AbideError, Budget, History, auto, fixed, longPoll, poll, pollUntil, stream } from "../dist/index.js";
import type { Clock, JobHandle, Report, Strategy } from "../dist/index.js";
import { millis } from "../dist/rt/duration.js";
import { chacha, share } from "./chacha.js";

/** `TRACES` names another directory, of histories that the core has just played. */
const traces = pathToFileURL(
  `${process.env.TRACES ?? fileURLToPath(new URL("../../../vectors/waits", import.meta.url))}/`,
);
const STRATEGIES: Record<string, () => Strategy> = { auto, poll, long_poll: longPoll, stream };

/** A nanosecond, in ms: instants of the traces are told apart down to a microsecond. */
const NANO = 1e-6;

/** An exchange under way. */
interface Open {
  method: string;
  url: string;
  body: string;
  told: boolean;
  head: (answer: Response) => void;
  broken: (error: Error) => void;
  stream?: ReadableStreamDefaultController<Uint8Array>;
}

class Player implements Clock {
  readonly abide: Abide;
  readonly #draws: bigint[];
  readonly #wall: number;
  #now = 0;
  #timers: { at: number; done: () => void }[] = [];
  /** What was sent in this step, and what is open, by the traces' numbers. */
  #sent: Open[] = [];
  readonly #open: Map<number, Open> = new Map();
  readonly #looks: Map<number, { resolve: (look: unknown) => void; reject: (error: unknown) => void }> = new Map();
  #looked: { resolve: (look: unknown) => void; reject: (error: unknown) => void }[] = [];
  readonly #jobs: Map<number, JobHandle> = new Map();
  readonly #aborting: Map<number, AbortController> = new Map();
  #told: Record<string, unknown>[] = [];

  constructor(trace: any) {
    this.#draws = trace.draws.map(BigInt);
    this.#wall = trace.wall * 1000;
    this.abide = new Abide(trace.url, {
      fetch: this.#fetch,
      clock: this,
      random: () => share(this.#draw()),
      history: new History(),
    });
  }

  now = (): number => this.#now;
  wall = (): number => this.#wall + this.#now;
  setTimeout = (done: () => void, ms: number): unknown => {
    const timer = { at: this.#now + ms, done };
    this.#timers.push(timer);
    return timer;
  };
  clearTimeout = (timer: unknown): void => {
    this.#timers = this.#timers.filter((other) => other !== timer);
  };

  #draw(): bigint {
    return this.#draws.shift() ?? assert.fail("the draws are used up");
  }

  #fetch = (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> =>
    new Promise((head, broken) => {
      const open: Open = {
        method: init.method ?? "GET",
        url: String(input),
        body: String(init.body ?? ""),
        told: false,
        head,
        broken,
      };
      this.#sent.push(open);
      init.signal!.addEventListener("abort", () => broken(new DOMException("aborted", "AbortError")));
    });

  /** Plays a trace; throws at the first step that differs. */
  async play(steps: any[]): Promise<void> {
    for (const { at, effects, in: inputs } of steps) {
      // What comes at the instant of a timer comes first.
      await this.#until(at * 1000, -NANO);
      // What is given up in the step in which it begins never begins.
      const givenUp = inputs.map(({ give_up }: any) => give_up),
        begun = inputs.map(({ op }: any) => op);
      for (const input of inputs) {
        if (givenUp.includes(input.op ?? -1) || begun.includes(input.give_up ?? -1)) continue;
        this.#tell(input);
        // Waits that share the generator draw in the order in which they were told, however many promises that takes.
        await this.#settle();
      }
      await this.#until(at * 1000, NANO);
      this.#compare(effects, at);
    }
  }

  async #until(at: number, slack: number): Promise<void> {
    let rounds = 0;
    for (;;) {
      await this.#settle();
      this.#timers.sort((a, b) => a.at - b.at);
      if (!this.#timers.length || this.#timers[0]!.at > at + slack) break;
      if (++rounds > 1000) assert.fail(`no end of timers at ${at}`);
      const { at: due, done } = this.#timers.shift()!;
      // All that is due by this step is done at it, as the traces do.
      this.#now = Math.max(at, due);
      done();
    }
    this.#now = Math.max(this.#now, at);
  }

  async #settle(): Promise<void> {
    for (let i = 0; i < 12; i++) await new Promise((next) => setImmediate(next));
  }

  /** The strategy of one wait, whose schedule has random numbers of its own. */
  #seeded(strategy: Strategy): Strategy {
    return {
      ...strategy,
      begin: (begin) => {
        const seed = this.#draw();
        const random = (): (() => number) => {
          const draw = chacha(seed);
          return () => share(draw());
        };
        return strategy.begin({
          ...begin,
          schedule: { begin: (start) => begin.schedule.begin({ ...start, random: random() }) },
        });
      },
    };
  }

  #tell(input: any): void {
    const { op } = input,
      deadline = input.deadline == null ? {} : { timeout: input.deadline * 1000 };
    const aborting = new AbortController(),
      { signal } = aborting;
    this.#aborting.set(op, aborting);
    const settle = (work: Promise<Record<string, unknown>>): void =>
      void work.then(
        (told) => this.#told.push({ ended: op, ...told }),
        (error: unknown) => {
          if (!signal.aborted) this.#told.push({ failed: op, error: described(error) });
        },
      );
    if (["head", "chunk", "end", "broken"].some((name) => name in input)) this.#answer(input);
    else if (input.create) {
      // The key that this client draws from its host.
      this.#draw();
      this.#draw();
      settle(this.abide.create(input.create.kind).then((job) => (this.#jobs.set(op, job), { id: job.id })));
    } else if ("wait" in input) {
      const job = this.#job(input),
        strategy = this.#seeded(STRATEGIES[input.strategy]!());
      const news = ({ done, id, revision }: { done: boolean; id: string; revision: number }): void => {
        this.#told.push({ news: op, id, revision, done });
      };
      const options = { ...deadline, signal, strategy, ...(input.updates && { onUpdate: news }) };
      settle(job.wait(options).then(({ id, outcome, report }) => ({ id, outcome, report: counted(report) })));
    } else if ("watch" in input) {
      settle(
        (async () => {
          for await (const { done, id, revision } of this.#job(input).watch({
            signal,
            strategy: this.#seeded(auto()),
          })) {
            this.#told.push({ news: op, id, revision, done });
          }
          return {};
        })(),
      );
    } else if ("set" in input) {
      const jobs = input.set.map((of: number) => this.#job({ of })),
        set = this.abide.asCompleted(jobs, { ...deadline, signal, strategy: this.#seeded(auto()) });
      settle(
        (async () => {
          for await (const end of set) {
            this.#told.push(
              end.ok
                ? { member: op, id: end.id, outcome: end.outcome, report: counted(end.done.report) }
                : { member: op, id: end.id, error: described(end.error) },
            );
          }
          return {};
        })(),
      );
    } else if ("status" in input || "cancel" in input) {
      const job = this.#job(input);
      settle(
        ("status" in input ? job.status({ signal }) : job.cancel({ signal })).then(({ done, id, revision }) => ({
          id,
          revision,
          done,
        })),
      );
    } else if ("poll_until" in input) {
      // What isn't for the client's server has random numbers of its own.
      const draw = chacha(this.#draw());
      draw();
      const look = (): Promise<any> => new Promise((resolve, reject) => this.#looked.push({ resolve, reject }));
      settle(
        pollUntil(look, {
          ...deadline,
          signal,
          schedule: fixed(input.poll_until.fixed * 1000),
          clock: this,
          random: () => share(draw()),
          budget: new Budget(),
          done: ({ done, progress }) => ({ done, progress: progress ?? undefined }),
          final: () => false,
        }).then(({ report }) => ({ report: counted(report) })),
      );
    } else if ("give_up" in input) {
      this.#aborting.get(input.give_up)!.abort();
    } else if ("looked" in input) {
      this.#looks.get(input.looked)!.resolve(input);
    } else if ("look_failed" in input) {
      this.#looks
        .get(input.look_failed)!
        .reject(
          Object.assign(
            new Error(input.what),
            input.retry_after && { headers: { "retry-after": String(input.retry_after) } },
          ),
        );
    }
  }

  #job({ of, wait }: { of?: number | null; wait?: string }): JobHandle {
    return this.#jobs.get(of ?? -1) ?? this.abide.job(wait || "job_none");
  }

  #answer(input: any): void {
    const open = this.#open.get(input.head ?? input.chunk ?? input.end ?? input.broken);
    if (!open) return;
    if ("head" in input) {
      const body = new ReadableStream<Uint8Array>({ start: (controller) => void (open.stream = controller) });
      open.told = true;
      open.head(
        new Response([204, 304].includes(input.status) ? null : body, { status: input.status, headers: input.headers }),
      );
    } else if ("broken" in input) {
      const error = Object.assign(new TypeError(input.why), {
        cause: { code: input.how === "connect" ? "ECONNREFUSED" : "ECONNRESET" },
      });
      if (open.told) open.stream!.error(error);
      else open.broken(error);
    } else {
      try {
        if ("chunk" in input) open.stream!.enqueue(new TextEncoder().encode(input.text));
        else open.stream!.close();
      } catch {
        // Nobody reads it any more.
      }
    }
  }

  /** Compares what was done in this step with what the Rust client did. */
  #compare(effects: any[], at: number): void {
    // What is given up in the very step that sends it is a hold of less than a millisecond.
    const given = effects.map(({ abort }) => abort),
      wanted = effects.filter(({ send }) => send !== undefined && !given.includes(send)),
      sent = this.#sent.splice(0);
    const plain = ({ body, method, url }: { body: string; method: string; url: string }): unknown => ({
      method,
      url,
      body: body && sorted(JSON.parse(body)),
    });
    const inOrder = (a: unknown, b: unknown): number =>
      canonical(a) < canonical(b) ? -1 : Number(canonical(a) !== canonical(b));
    assert.deepEqual(sent.map(plain).sort(inOrder), wanted.map(plain).sort(inOrder), `requests at ${at}`);
    for (const effect of wanted) {
      const found = sent.findIndex((open) => inOrder(plain(open), plain(effect)) === 0);
      this.#open.set(effect.send, sent.splice(found, 1)[0]!);
    }
    const looks = effects.filter((effect) => "look" in effect),
      looked = this.#looked.splice(0);
    assert.equal(looked.length, looks.length, `looks at ${at}`);
    looks.forEach(({ look }, i) => this.#looks.set(look, looked[i]!));
    const news = effects.filter((effect) => !["send", "abort", "look", "look_abort"].some((name) => name in effect));
    const told = this.#told.splice(0);
    const rounded = (effect: any): unknown => {
      const { report, ...rest } = effect;
      return report ? { ...rest, report: { ...report, elapsed: Math.round(report.elapsed * 1000) } } : rest;
    };
    assert.deepEqual(told.map(rounded).sort(inOrder), news.map(rounded).sort(inOrder), `news at ${at}`);
  }
}

/** A set's jobs are in no order, and its hold may be written in several ways. */
const sorted = ({ jobs, wait, ...rest }: any): unknown => {
  if (!jobs) return rest;
  const spans = String(wait)
    .split(" ")
    .map((part) => millis(/[a-z]/.test(part) ? part : `${part}s`));
  return { ...rest, wait: spans.reduce((sum, span) => sum + span), jobs: jobs.map(canonical).sort() };
};

/** A value as a text that doesn't depend on the order of its members. */
const canonical = (value: any): string =>
  JSON.stringify(value, (_, part) =>
    part && typeof part === "object" && !Array.isArray(part) ? Object.fromEntries(Object.entries(part).sort()) : part,
  );

const counted = ({ channel, elapsedMs, failures, requests, strategy }: Report): unknown => ({
  requests,
  failures,
  channel: channel ?? null,
  strategy,
  elapsed: elapsedMs / 1000,
});

const described = (error: unknown): unknown => {
  const { code, jobId, status, timedOut } = error as AbideError;
  return {
    kind: error instanceof AbideError ? code.replace("_error", "") : String(error),
    timed_out: !!timedOut,
    status: status ?? null,
    job_id: jobId ?? null,
  };
};

for (const file of (await readdir(traces)).sort()) {
  test(`trace: ${file.replace(".json", "").replaceAll("_", " ")}`, async () => {
    const trace = JSON.parse(await readFile(new URL(file, traces), "utf8"));
    await new Player(trace).play(trace.steps);
  });
}
