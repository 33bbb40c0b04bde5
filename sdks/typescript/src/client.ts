/** The client of one server. */

import { Budget } from "./budget.js";
import { type CreateOptions, create } from "./create.js";
import { UsageError } from "./error.js";
import { Hub } from "./hub/hub.js";
import { JobHandle } from "./job.js";
import { type ListOptions, list } from "./list.js";
import { Memory } from "./memory.js";
import { overNodes } from "./nodes.js";
import { ATTEMPT_TIMEOUT, type Origin, addressOf } from "./origin.js";
import type { Remote } from "./remote/describe.js";
import { Speech } from "./remote/speak.js";
import type { Report } from "./report.js";
import { readToken } from "./resume.js";
import { RetryBudget, type RetryOptions, RetryPolicy } from "./retry.js";
import { type Clock, systemClock } from "./rt/clock.js";
import { type Duration, millis } from "./rt/duration.js";
import { Rtt } from "./rt/rtt.js";
import type { Schedule } from "./schedule/cursor.js";
import { History } from "./schedule/learned/history.js";
import type { Strategy } from "./strategy/plan.js";
import type { WaitOptions } from "./wait/end.js";
import { type StreamToken, type StreamTokenOptions, streamToken } from "./streamToken.js";
import { type Change, type FeedOptions, feed } from "./wait/feed.js";
import { JobSet } from "./wait/set.js";
import type { Job, NewJob } from "./wire.js";
import { type ClaimOptions, claim } from "./worker/claim.js";
import type { Lease } from "./worker/lease.js";

/** Settings of a client. */
export interface AbideOptions {
  /** Sent as `Authorization: Bearer <key>`, or as a `remote` wants it. It appears in no error and no token. */
  apiKey?: string | undefined;
  /**
   * More addresses of the same server, if it is several nodes on one database. A node that can't be reached is left for
   * another one at once, and no read goes back for it. Only host and port differ from the first one's. Default: none.
   */
  servers?: readonly string[];
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** Speaks another API than ours. */
  remote?: Remote;
  /** What sends requests. Default: the host's `fetch`. */
  fetch?: typeof fetch;
  /** The most that one call (create, status, cancel, list, delete) may take, with all its retries. Default: 30 s. */
  timeout?: Duration;
  /** The most that one exchange may take that isn't held. Default: 10 s. */
  attemptTimeout?: Duration;
  /** The deadline of waits that name none. Default: none. */
  waitTimeout?: Duration;
  /** How waits that name none learn of the end. Default: `auto()`. */
  strategy?: Strategy;
  /** When waits that name none poll. Default: the learned schedule, by server and kind of job. */
  schedule?: Schedule;
  /** What was learned before. Default: a history of the client's own. */
  history?: History;
  /** How failures are retried. */
  retry?: RetryOptions | false;
  /** What all waits may send together. Default: 50 requests a second. */
  budget?: Budget;
  /** Called with the report of every wait and watch that ended or gave up, for metrics. */
  onReport?: (jobId: string, report: Report) => void;
  /** Where time comes from, for tests. */
  clock?: Clock;
  /** Where jitter comes from, for tests: numbers from 0 up to 1. */
  random?: () => number;
}

/** @internal What the handles of one client share. */
export interface Core {
  origin: Origin;
  hub: Hub;
  /** The API that is spoken, where it isn't ours. */
  speech: Speech | undefined;
  history: History;
  strategy: Strategy | undefined;
  schedule: Schedule | undefined;
  waitTimeout: Duration | undefined;
  onReport: AbideOptions["onReport"];
}

/** A client of one server. One per server and process is enough; making one sends nothing and starts nothing. */
export class Abide {
  readonly #core: Core;

  constructor(server: string, options: AbideOptions = {}) {
    const { apiKey, remote, timeout = 30_000, attemptTimeout = ATTEMPT_TIMEOUT } = options;
    const speech = remote && new Speech(remote),
      key = apiKey?.trim();
    if (!/^[!-~]+$/.test(key ?? "none")) throw new UsageError("an API key must be visible ASCII characters");
    let headers: Record<string, string>;
    try {
      const all = new Headers(remote?.headers);
      // Each name in one spelling: two spellings would be sent as one header with both values.
      new Headers(options.headers).forEach((value, name) => all.set(name, value));
      if (key !== undefined) all.set(remote?.key_header ?? "authorization", (remote?.key_prefix ?? "Bearer ") + key);
      headers = Object.fromEntries(all);
    } catch (cause) {
      throw new UsageError(`a header can't be sent: ${(cause as Error).message}`, { cause });
    }
    const memory = new Memory(),
      servers = [server, ...(options.servers ?? [])].map((one) => addressOf(String(one))) as [string, ...string[]],
      // Looked up at each request, for those who replace it later.
      send: typeof fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
      origin: Origin = {
        server: servers[0],
        headers,
        fetch: servers.length > 1 ? overNodes(send, servers) : send,
        clock: options.clock ?? systemClock,
        random: options.random ?? Math.random,
        memory,
        rtt: new Rtt(),
        retry: new RetryPolicy(options.retry),
        retryBudget: new RetryBudget(),
        budget: options.budget ?? new Budget(),
        attemptTimeout: millis(attemptTimeout),
        timeout: millis(timeout),
      };
    memory.onlyPolls = !!speech;
    speech?.on(origin);
    this.#core = {
      origin,
      hub: new Hub(origin),
      speech,
      history: options.history ?? new History(),
      strategy: options.strategy,
      schedule: options.schedule,
      waitTimeout: options.waitTimeout,
      onReport: options.onReport,
    };
  }

  /** The server's address. */
  get server(): string {
    return this.#core.origin.server;
  }

  /** What was learned of how long jobs take. */
  get history(): History {
    return this.#core.history;
  }

  /**
   * Creates a job. It carries an idempotency key that is the same for every retry, so that however often it is sent
   * there is one job. Every error has the key and a token: create again with `{ resume: error.token }`.
   */
  create(kind: string, job: NewJob = {}, options: CreateOptions = {}): Promise<JobHandle> {
    return create(this.#core, kind, job, options);
  }

  /** A handle to the job with that id. Nothing is sent. */
  job(id: string): JobHandle {
    return new JobHandle(this.#core, id, {});
  }

  /** A handle to the job of a token. Nothing is sent. */
  resume(token: string): JobHandle {
    const { created_at, job, key, kind, revision, server } = readToken(token);
    if (server !== this.server) {
      throw new UsageError(`this token is of the server ${server}, and this client is of ${this.server}`);
    }
    if (job === undefined) {
      const how = "create the same again, with `{ resume: token }`";
      throw new UsageError(`this token is of a create whose answer never came: ${how}`, { token, idempotencyKey: key });
    }
    return new JobHandle(this.#core, job, { key, kind, createdAt: created_at, revision });
  }

  /** Waits for many jobs together: `for await (const end of abide.asCompleted(jobs))`, or `await ….all()`. */
  asCompleted(jobs: Iterable<JobHandle>, options: WaitOptions = {}): JobSet {
    return new JobSet(jobs, options);
  }

  /** The caller's jobs, the newest first. Nothing is sent before the first is asked for. */
  list(options: ListOptions = {}): AsyncGenerator<Job, void> {
    return list(this.#core, options);
  }

  /** Follows the changes of all of the caller's jobs, from now on. */
  feed(options: FeedOptions = {}): AsyncGenerator<Change, void> {
    return feed(this.#core, options);
  }

  /**
   * Claims a job to work on: the oldest pending one with `worker: "external"`, of one of these kinds, of any kind by
   * default. It waits until there is one, by requests that the server holds, and resolves to nothing only where a
   * `timeout` was set and no job came until then.
   *
   * A claim whose answer was lost is sent again under its key, and takes no second job. One that is aborted takes none:
   * the server sees the connection end, and gives the job that it may just have claimed to the next worker.
   */
  claim(kinds?: string | readonly string[], options?: ClaimOptions & { timeout?: undefined }): Promise<Lease>;
  claim(kinds: string | readonly string[], options: ClaimOptions): Promise<Lease | undefined>;
  claim(kinds: string | readonly string[] = [], options: ClaimOptions = {}): Promise<Lease | undefined> {
    return claim(this.#core, [kinds].flat(), options);
  }

  /** Makes a token that opens event streams in place of a key, for the `EventSource` of a page. */
  streamToken(options: StreamTokenOptions = {}): Promise<StreamToken> {
    return streamToken(this.#core, options);
  }

  /** @internal How much is on its way for many waits together. */
  get load(): { members: number; flights: number } {
    return this.#core.hub.load;
  }
}
