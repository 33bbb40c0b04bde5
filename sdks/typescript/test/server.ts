/** A server of /v1 in a world of virtual time, behind a `fetch` that counts what is open. */

import type { Job } from "../dist/index.js";
import type { World } from "./world.js";

/** A job of the fake server: when it ends, and the revisions before that. */
interface Fake {
  id: string;
  created: number;
  end: number;
  /** When it changes before its end. */
  changes: number[];
  /** What else is shown of it. */
  shown?: Partial<Job>;
}

/** What is played instead of an answer. */
export type Fault = (request: { method: string; path: string; nth: number }) => Response | Error | "hang" | undefined;

const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(status === 304 ? null : JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", ...headers },
  });

export class Server {
  readonly world: World;
  readonly jobs: Map<string, Fake> = new Map();
  readonly keys: Map<string, string> = new Map();
  /** What was asked, in order. */
  readonly asked: { at: number; method: string; path: string; headers: Headers; body: any }[] = [];
  /** How many requests are on their way, and how many streams are open. */
  open = 0;
  streams = 0;
  /** Half a round trip, in ms. */
  half = 20;
  fault: Fault = () => undefined;
  /** The jobs that workers may claim, and the tokens of those who have. */
  readonly pending: string[] = [];
  readonly leases: Map<string, string> = new Map();
  /** Whether requests are held, and streams tell what happens. */
  holds = true;
  tells = true;
  /** Told before each step, for a test that cuts there. */
  step: () => void = () => {};

  constructor(world: World) {
    this.world = world;
  }

  /** Makes a job that ends in that time. */
  job(runs: number, changes: number[] = []): string {
    const id = `job_${this.jobs.size + 1}`,
      now = this.world.now();
    this.jobs.set(id, { id, created: now, end: now + runs, changes: changes.map((at) => now + at) });
    return id;
  }

  /** Makes a job for a worker. */
  work(): string {
    const id = this.job(Infinity);
    this.pending.push(id);
    return id;
  }

  /** Ends a job. */
  end(id: string, shown: Partial<Job>): void {
    Object.assign(this.jobs.get(id)!, { end: this.world.now(), shown });
  }

  paths(): string[] {
    return this.asked.map(({ method, path }) => `${method} ${path}`);
  }

  fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(String(input)),
      signal = init.signal as AbortSignal,
      method = init.method ?? "GET";
    const path = url.pathname + url.search,
      headers = new Headers(init.headers);
    signal.throwIfAborted();
    this.step();
    const body = init.body === undefined ? undefined : JSON.parse(String(init.body));
    this.asked.push({ at: this.world.now(), method, path, headers, body });
    this.open++;
    try {
      await this.world.sleep(this.half, signal);
      const fault = this.fault({ method, path, nth: this.asked.length });
      if (fault === "hang") await this.world.sleep(1e9, signal);
      if (fault instanceof Error) throw fault;
      const answer = (fault as Response | undefined) ?? (await this.answer(method, url, headers, body, signal));
      await this.world.sleep(this.half, signal);
      this.step();
      return answer;
    } finally {
      this.open--;
    }
  };

  show({ changes, created, end, id, shown }: Fake): Job {
    const now = this.world.now(),
      done = now >= end,
      past = changes.filter((at) => at <= now && at < end);
    const at = (ms: number): string => new Date(1_800_000_000_000 + ms).toISOString();
    return {
      id,
      kind: "k",
      status: done ? "completed" : "running",
      done,
      outcome: done ? "completed" : null,
      revision: 1 + past.length + Number(done),
      progress: past.length ? { percent: past.length } : null,
      result: done ? { made: id } : undefined,
      created_at: at(created),
      updated_at: at(done ? end : (past.at(-1) ?? created)),
      finished_at: done ? at(end) : null,
      ...shown,
    };
  }

  private async answer(method: string, url: URL, headers: Headers, body: any, signal: AbortSignal): Promise<Response> {
    const [, , , id, rest] = url.pathname.split("/");
    if (url.pathname === "/v1/jobs" && method === "POST") {
      const key = headers.get("idempotency-key")!,
        known = this.keys.get(key);
      const made = known ?? this.job(body.input?.runs ?? 10_000);
      this.keys.set(key, made);
      return this.told(json(this.show(this.jobs.get(made)!), 202, known ? { "idempotent-replayed": "true" } : {}));
    }
    if (id === "wait") return this.told(await this.set(body, signal));
    if (id === "claim") return this.claim(body, signal);
    const job = this.jobs.get(id!);
    if (!job) return json({ title: "Not found", status: 404, code: "not_found", retryable: false }, 404);
    if (method === "PATCH") {
      if (this.show(job).done) return json({ title: "Done", status: 409, code: "job_done" }, 409);
      if (headers.get("lease-token") !== this.leases.get(job.id)) {
        return json({ title: "The lease is lost", status: 409, code: "lease_lost" }, 409);
      }
      if ("result" in body) this.end(job.id, { result: body.result, attempts: 1 });
      if ("error" in body) this.end(job.id, { outcome: "failed", status: "failed", error: body.error, attempts: 1 });
      if (body.release) this.pending.push(job.id);
      return this.told(json(this.show(job)));
    }
    if (rest === "cancel") {
      job.end = Math.min(job.end, this.world.now());
      return json(this.show(job));
    }
    if (rest === "events") return this.events(job, headers, signal);
    const wait = Number(url.searchParams.get("wait") ?? 0) * 1000,
      after = url.searchParams.get("after");
    if (wait && this.holds) await this.hold([job], after === null ? "done" : "any", Number(after), wait, signal);
    const granted: Record<string, string> = wait && this.holds ? { "preference-applied": `wait=${wait / 1000}` } : {};
    return this.told(json(this.show(job), 200, granted));
  }

  private async claim(body: any, signal: AbortSignal): Promise<Response> {
    const end = this.world.now() + body.wait * 1000;
    while (!this.pending.length && this.world.now() < end) {
      await this.world.sleep(Math.min(1000, end - this.world.now()), signal);
    }
    const id = this.pending.shift();
    if (id === undefined) return new Response(null, { status: 204 });
    const token = `lease of ${id}`;
    this.leases.set(id, token);
    const lease = { token, expires_at: new Date(this.world.wall() + body.lease_s * 1000).toISOString() };
    return this.told(json({ ...this.show(this.jobs.get(id)!), attempts: 1, lease }));
  }

  private told(answer: Response): Response {
    answer.headers.set("date", new Date(this.world.wall()).toUTCString());
    return answer;
  }

  private async hold(jobs: Fake[], until: string, after: number, wait: number, signal: AbortSignal): Promise<void> {
    const end = this.world.now() + wait;
    for (;;) {
      const now = this.world.now();
      if (jobs.some((job) => job.end <= now || (until === "any" && this.show(job).revision > after))) return;
      const next = jobs.flatMap((job) => [job.end, ...(until === "any" ? job.changes : [])]).filter((at) => at > now);
      const at = Math.min(end, ...next);
      if (now >= end) return;
      await this.world.sleep(at - now, signal);
    }
  }

  private async set(body: any, signal: AbortSignal): Promise<Response> {
    const known: { job: Fake; after?: number }[] = [],
      errors: unknown[] = [];
    for (const { after, id } of body.jobs) {
      const job = this.jobs.get(id);
      if (job) known.push({ job, after });
      else errors.push({ id, error: { title: "Not found", status: 404, code: "not_found" } });
    }
    const end = this.world.now() + body.wait * 1000;
    for (;;) {
      const now = this.world.now();
      const news = known.filter(
        ({ after, job }) => job.end <= now || (body.until === "any" && this.show(job).revision > (after ?? 0)),
      );
      if (news.length || errors.length || now >= end || !this.holds)
        return json({ jobs: news.map(({ job }) => this.show(job)), errors });
      const at = Math.min(end, ...known.flatMap(({ job }) => [job.end, ...job.changes]).filter((at) => at > now));
      // A worker's job may end at any time.
      await this.world.sleep(Math.min(at - now, known.some(({ job }) => job.end === Infinity) ? 500 : at), signal);
    }
  }

  private events(job: Fake, headers: Headers, signal: AbortSignal): Response {
    let seen = Number(headers.get("last-event-id") ?? 0),
      beat = 0;
    if (this.show(job).done && seen >= this.show(job).revision) return new Response(null, { status: 204 });
    const encoder = new TextEncoder();
    this.streams++;
    let over = false;
    const end = (): void => {
      if (!over) this.streams--;
      over = true;
    };
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        this.step();
        try {
          for (;;) {
            const shown = this.show(job),
              now = this.world.now();
            if (this.tells && shown.revision > seen) {
              seen = shown.revision;
              const event = {
                type: shown.done ? "job.completed" : "job.progress",
                timestamp: shown.updated_at,
                data: shown,
              };
              controller.enqueue(
                encoder.encode(`event: ${event.type}\nid: ${seen}\ndata: ${JSON.stringify(event)}\n\n`),
              );
              return;
            }
            if (this.tells && shown.done) {
              end();
              return controller.close();
            }
            beat ||= now + 15_000;
            const next = this.tells ? [job.end, ...job.changes].filter((at) => at > now) : [];
            await this.world.sleep(Math.min(beat, ...next) - now, signal);
            if (this.world.now() >= beat && this.tells) {
              beat = 0;
              controller.enqueue(encoder.encode(": alive\n\n"));
              return;
            }
            if (this.world.now() >= beat) beat = 0;
          }
        } catch (error) {
          controller.error(error);
        }
      },
      cancel: end,
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
}
