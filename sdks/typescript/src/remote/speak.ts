/** Requests to a foreign API and what its answers show, by its description. */

import { call } from "../call.js";
import type { Core } from "../client.js";
import { complaintOf, wordOf } from "../complaint.js";
import { type Facts, UsageError } from "../error.js";
import { type Call, type Reply, jsonOf } from "../exchange.js";
import { garbled } from "../failure.js";
import { JobHandle } from "../job.js";
import { type Origin, urlOf } from "../origin.js";
import { retryAfter } from "../retry.js";
import { writeToken } from "../resume.js";
import type { Job, NewJob, Outcome } from "../wire.js";
import { type Remote, checkRemote } from "./describe.js";

/** Milliseconds since 1970 from here on, where seconds would be in the year 5138, and up to there, as dates have it. */
const MILLIS_FROM = 1e11,
  MILLIS_MAX = 8.64e15;

/** What a JSON pointer points to. */
const at = (value: unknown, pointer: string | undefined): unknown =>
  pointer === undefined
    ? undefined
    : pointer
        .split("/")
        .slice(1)
        .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"))
        .reduce<unknown>((value, name) => (value as Record<string, unknown> | null | undefined)?.[name], value);

/** The JSON of an answer; some answer "not yet" without a word. */
const bodyOf = (reply: Reply): unknown => (reply.text.trim() ? jsonOf<unknown>(reply, "job") : null);

/** An instant as our own API writes it. */
const instant = (value: unknown): string | undefined => {
  const millis =
    typeof value === "number" ? (value >= MILLIS_FROM ? value : value * 1000) : Date.parse(String(value ?? ""));
  return millis > 0 && millis <= MILLIS_MAX ? new Date(millis).toISOString() : undefined;
};

/** See the module. */
export class Speech {
  readonly #remote: Remote;
  #origin: Origin | undefined;

  constructor(remote: Remote) {
    checkRemote(remote);
    this.#remote = remote;
  }

  /** Whether creates have idempotency keys. */
  get hasKeys(): boolean {
    return this.#remote.idempotency_header !== undefined;
  }

  get name(): string {
    return this.#remote.name;
  }

  /** Whether answers tell when jobs begin, and when they end. */
  get dates(): { start: boolean; end: boolean } {
    return { start: this.#remote.created_at !== undefined, end: this.#remote.finished_at !== undefined };
  }

  /** @internal Says where the API is. */
  on(origin: Origin): this {
    this.#origin = origin;
    return this;
  }

  /** The request that does something to a job. */
  request(action: "status" | "cancel" | "delete", id: string, kind: string | undefined, facts: () => Facts): Call {
    const template = this.#remote[action],
      method = { status: "GET", cancel: this.#remote.cancel_method ?? "POST", delete: "DELETE" }[action];
    if (template === undefined) throw new UsageError(`${this.name} knows no way to do this to a job`, facts());
    return { method, url: this.#url(template, id, kind) };
  }

  #url(template: string, id: string, kind: string = this.name): string {
    const [path = "", query = ""] = template.split("?"),
      fill = (text: string): string => text.replaceAll("{id}", id).replaceAll("{kind}", kind);
    const pairs = Object.fromEntries([...new URLSearchParams(query)].map(([name, value]) => [name, fill(value)]));
    // What may have slashes is filled in before the path is taken apart, and what may not after that.
    const whole = path.replaceAll("{+id}", id).replaceAll("{+kind}", kind);
    return urlOf(this.#origin!, whole.replace(/^\/+/, "").split("/").map(fill), pairs);
  }

  /** The request for the result of a job that has completed; none where the answer about the job has it. */
  resultCall(id: string, kind: string | undefined): Call | undefined {
    const { result_path } = this.#remote;
    return result_path === undefined ? undefined : { url: this.#url(result_path, id, kind) };
  }

  /** The result, in the answer that has nothing else. */
  resultOf(reply: Reply): unknown {
    return at(bodyOf(reply), this.#remote.result ?? "");
  }

  /** Creates a job. */
  async create(
    core: Core,
    kind: string,
    job: NewJob,
    key: string,
    signal: AbortSignal | undefined,
  ): Promise<JobHandle> {
    const { create, idempotency_header } = this.#remote,
      { server } = core.origin;
    if (create === undefined) throw new UsageError(`jobs of ${this.name} are made elsewhere`);
    const url = this.#url(create, "", kind),
      request: Call = { method: "POST", url, body: job.input ?? {}, repeatable: false };
    // Without a key a create whose answer was lost may have made a job, and is never repeated on its own.
    const facts: Facts = {};
    if (idempotency_header !== undefined) {
      request.headers = { [idempotency_header]: key };
      request.repeatable = true;
      Object.assign(facts, { token: writeToken({ server, key }), idempotencyKey: key });
    }
    return call(
      core.origin,
      request,
      facts,
      signal,
      (reply) => {
        const id = this.#created(reply);
        let made: Job;
        try {
          made = this.read(reply, id, kind);
        } catch {
          // Not every API tells the whole job at once.
          made = this.#fresh(id, kind);
        }
        const known = { snapshot: made, accepted: (reply.sent + reply.received) / 2, kind, createdAt: made.created_at };
        return new JobHandle(core, made.id, { ...known, key: idempotency_header && key });
      },
      true,
    );
  }

  /** The id that the answer to a create tells. */
  #created(reply: Reply): string {
    const { id = "/id", id_header } = this.#remote;
    if (id_header !== undefined) {
      const [address] = (reply.headers.get(id_header) ?? "").split("?"),
        last = address!.replace(/\/+$/, "").split("/").pop();
      if (last) return last;
      throw garbled(`the answer has no address of a job in "${id_header}"`);
    }
    const found = at(bodyOf(reply), id);
    if (found && (typeof found === "string" || typeof found === "number")) return String(found);
    throw garbled(`the answer has no id at "${id}"`);
  }

  /** A job of which nothing is known but its id. */
  #fresh(id: string, kind: string): Job {
    const now = new Date(this.#origin!.clock.wall()).toISOString();
    return { id, kind, status: "pending", done: false, outcome: null, revision: 0, created_at: now, updated_at: now };
  }

  /** What an answer shows of a job. */
  read(reply: Reply, id: string, kind: string = this.name): Job {
    const {
      canceled = [],
      completed,
      failed = [],
      progress,
      progress_whole = 100,
      result,
      result_path,
      state,
    } = this.#remote;
    const body = bodyOf(reply),
      said = at(body, state),
      word = typeof said === "boolean" ? String(said) : (wordOf(said) ?? "");
    if (!word && !this.#isRunning("")) {
      throw garbled(`the answer has no word for the status at "${state}"`, { status: reply.status });
    }
    const is = (list: readonly string[]): boolean => list.some((known) => known.toLowerCase() === word.toLowerCase());
    // A job may be done and tell beside that what went wrong.
    const good = (at(body, this.#remote.failed_if) ?? null) === null ? "completed" : "failed";
    const outcome: Outcome | null = is(completed) ? good : is(failed) ? "failed" : is(canceled) ? "canceled" : null;
    const fresh = this.#fresh(id, kind),
      finished = outcome ? instant(at(body, this.#remote.finished_at)) : undefined,
      part = at(body, progress),
      percent = typeof part === "number" ? (part / progress_whole) * 100 : NaN,
      code = wordOf(at(body, this.#remote.error_code)),
      why = { ...complaintOf(at(body, this.#remote.error)), ...(code !== undefined && { code }) };
    if (!outcome && this.#remote.strict && !this.#isRunning(word)) {
      throw garbled(`nobody knows what the status "${word}" of ${this.name} means`, { status: reply.status });
    }
    return {
      ...fresh,
      status: outcome ?? (word || "running"),
      done: outcome !== null,
      outcome,
      revision: 1,
      progress: percent >= 0 && percent <= 100 ? { percent } : null,
      result: outcome === "completed" && result_path === undefined ? at(body, result ?? "") : undefined,
      error: outcome === "failed" ? why : null,
      created_at: instant(at(body, this.#remote.created_at)) ?? fresh.created_at,
      updated_at: finished ?? fresh.updated_at,
      finished_at: finished ?? null,
    };
  }

  /** Whether a word is in none of the lists. */
  isUnknown({ done, status }: Job): boolean {
    return !done && status !== "running" && !this.#isRunning(status);
  }

  #isRunning(word: string): boolean {
    return !!this.#remote.running?.some((known) => known.toLowerCase() === word.toLowerCase());
  }

  /** How long the server wants to be left alone, in ms. */
  hint({ headers }: Reply): number | undefined {
    return retryAfter((name) => headers.get(name), this.#remote.hint_headers);
  }

  /** How long the job will still take, as the server says, in ms. */
  remaining(reply: Reply): number | undefined {
    const seconds = at(bodyOf(reply), this.#remote.remaining);
    return typeof seconds === "number" && seconds >= 0 ? seconds * 1000 : undefined;
  }
}
