/** Where pushes arrive, and where waits listen for them. */

import { isSound } from "./answer.js";
import { type Clock, LATE, before } from "./rt/clock.js";
import type { Job } from "./wire.js";
import { ReplayGuard, Verifier, type Delivery } from "./webhook.js";

/** How many jobs without a waiter an inbox remembers. A push may come before the create's answer. */
const REMEMBERED_MAX = 1024;

/** The largest body of a delivery that is read, in bytes: the largest event that a server sends. */
const BODY_BYTES_MAX: number = 528 * 1024;

/** How long a body may take, in ms. */
const BODY_TIME_MAX = 10_000;

/** What an inbox may be told. */
export interface InboxOptions {
  /** What deliveries are verified with, `whsec_…`; several while one is being replaced. */
  secret?: string | readonly string[];
  /** Called with every verified delivery once; what it throws has the sender try again later. */
  onDelivery?: (delivery: Delivery) => void | Promise<void>;
}

/** What Express and the like hand to a middleware, in so far as it is used. */
export interface NodeRequest {
  method?: string | undefined;
  headers: Record<string, string | string[] | undefined>;
  body?: unknown;
  [Symbol.asyncIterator]?(): AsyncIterator<Uint8Array>;
}

/** What Express and the like answer with, in so far as it is used. */
export interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body?: string): unknown;
}

/** A job as it was last pushed, and who listens for it. */
interface Entry {
  job: Job | undefined;
  listeners: Set<Subscription>;
}

/**
 * A place for pushed jobs. `handler` and `express` receive and verify webhooks; whatever else does may `deliver`. Waits
 * by the strategy `webhook` listen.
 *
 * Pushes may come doubled, late, out of order and early: only a newer revision is news, an ended job never changes, and
 * the latest state of jobs that nobody waits for yet is remembered for up to 1,024 of them.
 */
export class Inbox {
  readonly #jobs: Map<string, Entry> = new Map();
  readonly #verifier: Verifier | undefined;
  readonly #secret: string | undefined;
  readonly #onDelivery: InboxOptions["onDelivery"];
  readonly #guard: ReplayGuard = new ReplayGuard();
  readonly #underWay: Set<string> = new Set();

  constructor(options: InboxOptions = {}) {
    const secrets = options.secret === undefined ? [] : [options.secret].flat();
    if (secrets.length) this.#verifier = new Verifier(secrets);
    this.#secret = secrets[0];
    this.#onDelivery = options.onDelivery;
  }

  /** Where a create shall have its events told: `webhook: inbox.target("https://me.example/hooks")`. */
  target(url: string, events?: string[]): { url: string; events?: string[]; secret?: string } {
    return { url, ...(events && { events }), ...(this.#secret && { secret: this.#secret }) };
  }

  /**
   * Takes in a job as a verified push told it. Returns whether it was news; one that contradicts itself or isn't whole,
   * such as a job that is done without an outcome, is none.
   */
  deliver(job: Job): boolean {
    // No wait would believe it, and it would take the place of the end.
    if (!isSound(job)) return false;
    const entry = this.#entry(job.id);
    if (entry.job && (entry.job.done || job.revision <= entry.job.revision)) return false;
    entry.job = job;
    for (const listener of [...entry.listeners]) listener.ring();
    return true;
  }

  /** How many waits are listening. */
  get listeners(): number {
    let listeners = 0;
    for (const entry of this.#jobs.values()) listeners += entry.listeners.size;
    return listeners;
  }

  /** A handler of requests, for Next.js, Hono, Deno, Bun and Workers: it reads the bytes itself. */
  handler(): (request: Request) => Promise<Response> {
    return async (request) => {
      const header = (name: string): string | null => request.headers.get(name);
      const [status, why] = await this.#take(request.method, header, () => bytesOf(request.body));
      return new Response(why || null, { status, headers: status === 405 ? { allow: "POST" } : {} });
    };
  }

  /**
   * A middleware for Express and the like, and a listener for `http.createServer`. Put it before any parser of bodies,
   * or behind `express.raw({ type: "*\/*" })`: a signature is over the bytes that came.
   */
  express(): (request: NodeRequest, response: NodeResponse) => Promise<void> {
    return async (request, response) => {
      const header = (name: string): string | null => [request.headers[name]].flat()[0] ?? null;
      const [status, why] = await this.#take(request.method ?? "GET", header, () => nodeBytesOf(request));
      response.statusCode = status;
      if (status === 405) response.setHeader("allow", "POST");
      response.end(why);
    };
  }

  /** @internal Listens for a job. */
  subscribe(id: string): Subscription {
    const entry = this.#entry(id);
    return new Subscription(entry);
  }

  async #take(
    method: string,
    header: (name: string) => string | null,
    read: () => Promise<Uint8Array>,
  ): Promise<[status: number, why: string]> {
    if (!this.#verifier) return [500, "the inbox has no secret"];
    if (method !== "POST") return [405, "webhooks are posted"];
    const type = (header("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
    if (!/^application\/(.+\+)?json$/.test(type)) return [415, "webhooks are JSON"];
    let id: string | undefined;
    try {
      const delivery = await this.#verifier.verify(header, await read());
      id = delivery.id;
      if (delivery.event === undefined) return [400, "the body is no JSON"];
      if (!this.#guard.isNew(id)) {
        // To acknowledge one that is being dealt with would lose it, should that come to nothing.
        return this.#underWay.has(id) ? [503, "it is being dealt with"] : [204, ""];
      }
      this.#underWay.add(id);
      try {
        await this.#onDelivery?.(delivery);
      } catch {
        this.#guard.forget(id);
        return [503, "it can't be taken now"];
      } finally {
        this.#underWay.delete(id);
      }
      if (delivery.job) this.deliver(delivery.job);
      return [204, ""];
    } catch (error) {
      const { message, status = 400 } = error as { message: string; status?: number };
      return [status, message];
    }
  }

  #entry(id: string): Entry {
    let entry = this.#jobs.get(id);
    if (!entry) {
      this.#forget();
      entry = { job: undefined, listeners: new Set() };
      this.#jobs.set(id, entry);
    }
    return entry;
  }

  /** Makes room for one more. Jobs with a waiter are kept, however many they are. */
  #forget(): void {
    if (this.#jobs.size < REMEMBERED_MAX) return;
    for (const [id, entry] of this.#jobs) {
      if (entry.listeners.size) continue;
      this.#jobs.delete(id);
      return;
    }
  }
}

/** One wait's ear. */
export class Subscription {
  readonly #entry: Entry;
  /** The latest job that was heard. */
  #heard: Job | undefined;
  readonly #bells: Set<() => void> = new Set();

  constructor(entry: Entry) {
    this.#entry = entry;
    entry.listeners.add(this);
  }

  /** There is news. */
  ring(): void {
    for (const bell of [...this.#bells]) bell();
  }

  close(): void {
    this.#entry.listeners.delete(this);
  }

  /** Whether the job's end has been told. */
  hasEnded(): boolean {
    return !!this.#entry.job?.done;
  }

  /** The next news. */
  async news(signal: AbortSignal): Promise<Job> {
    while (this.#entry.job === this.#heard) await this.#rung(signal);
    return (this.#heard = this.#entry.job!);
  }

  /** Does the work, unless the job's end is told before it is done. News that isn't the end is left to be heard. */
  unlessEnded<T>(
    clock: Clock,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | Job> {
    if (this.hasEnded()) return Promise.resolve(this.#entry.job!);
    const ended = async (signal: AbortSignal): Promise<Job> => {
      while (!this.hasEnded()) await this.#rung(signal);
      return this.#entry.job!;
    };
    const race = (signal: AbortSignal): Promise<T | Job> => Promise.race([ended(signal), work(signal)]);
    return before(clock, undefined, signal, race).then((done) => (done === LATE ? this.#entry.job! : done));
  }

  #rung(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#bells.delete(end);
        resolve();
      };
      this.#bells.add(end);
      signal.addEventListener("abort", () => this.#bells.delete(end), { once: true });
    });
  }
}

/** An answer to a delivery that can't be read. */
const unreadable = (status: number, message: string): Error => Object.assign(new Error(message), { status });

/** Reads a body of a request, within bounds of size and time. */
const bytesOf = async (body: ReadableStream<Uint8Array> | null): Promise<Uint8Array> => {
  const reader = body?.getReader(),
    parts: Uint8Array[] = [];
  let late = false,
    size = 0;
  const timer = setTimeout(() => {
    late = true;
    reader?.cancel().catch(() => {});
  }, BODY_TIME_MAX);
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true };
      if (late) throw unreadable(408, "the body was too slow");
      if (done) return joined(parts, size);
      size += value.length;
      if (size > BODY_BYTES_MAX) throw unreadable(413, "the body is too large");
      parts.push(value);
    }
  } finally {
    clearTimeout(timer);
    // What is left of it is not read.
    reader?.cancel().catch(() => {});
  }
};

/** Reads a body of a request of Node's, unless a parser has left its bytes. */
const nodeBytesOf = async (request: NodeRequest): Promise<Uint8Array> => {
  const { body } = request;
  if (body instanceof Uint8Array) {
    if (body.length > BODY_BYTES_MAX) throw unreadable(413, "the body is too large");
    return body;
  }
  if (body !== undefined) {
    const why = "a parser has read the body before: put the inbox before it, or behind express.raw({ type: '*/*' })";
    throw unreadable(500, why);
  }
  const parts = request[Symbol.asyncIterator]?.();
  return bytesOf(
    new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { done, value } = (await parts?.next()) ?? { done: true };
        if (done) controller.close();
        else controller.enqueue(value);
      },
    }),
  );
};

/** Parts as one. */
const joined = (parts: Uint8Array[], size: number): Uint8Array => {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
};
