/** A handle to one job, and what can be done to the job. */

import { readJob } from "./answer.js";
import { call } from "./call.js";
import type { Core } from "./client.js";
import { type Facts, NotFound, UsageError } from "./error.js";
import { type Call, type Reply, exchange } from "./exchange.js";
import { urlOf } from "./origin.js";
import { writeToken } from "./resume.js";
import { type Done, type WaitOptions, wait } from "./wait/end.js";
import { watch } from "./wait/watch.js";
import type { Job } from "./wire.js";

/** How long a cancel at a wait's deadline may take, in ms. */
const CANCEL_WAIT = 1000;

/** The longest id that is sent, in characters. */
const ID_CHARS_MAX = 1024;

/** What this process knows of a job before it asks. */
export interface Known {
  /** The job as the create's answer showed it. */
  snapshot?: Job | undefined;
  /** When it was accepted, by the client's clock, if this process was there. */
  accepted?: number | undefined;
  key?: string | undefined;
  kind?: string | undefined;
  revision?: number | undefined;
  createdAt?: string | undefined;
  replayed?: boolean;
}

/** What a call may be told. */
export interface CallOptions {
  /** Ends the call; it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** A job on a server. A handle does nothing by itself, and stays usable whatever became of the waits made from it. */
export class JobHandle {
  /** Its id. */
  readonly id: string;
  /** @internal */
  readonly core: Core;
  /** @internal */
  readonly known: Known;

  /** @internal Use `abide.create`, `abide.job` or `abide.resume`. */
  constructor(core: Core, id: string, known: Known) {
    if (typeof id !== "string" || !/^(?!\.{0,2}$)/.test(id) || id.length > ID_CHARS_MAX) {
      throw new UsageError(`${JSON.stringify(String(id).slice(0, 50))} is not the id of a job`);
    }
    this.core = core;
    this.id = id;
    this.known = known;
  }

  /** The job as the create's answer showed it; none for a handle that was made from an id or a token. */
  get snapshot(): Job | undefined {
    return this.known.snapshot;
  }

  /** Whether the create was answered with a job that had been created before under the same key. */
  get replayed(): boolean {
    return !!this.known.replayed;
  }

  /** What a later process needs to go on waiting: a text for `abide.resume`, without any secret. */
  get token(): string {
    return this.#token(undefined);
  }

  /** Waits for the end. A job that failed is no error of the wait: see `done.outcome`, or take `done.result`. */
  wait(options: WaitOptions = {}): Promise<Done> {
    return wait(this, options);
  }

  /**
   * Watches the job change: its states, progress included, to the last one. Leaving the loop gives up the request in
   * flight.
   */
  watch(options: WaitOptions = {}): AsyncGenerator<Job, void> {
    return watch(this, options);
  }

  /** Asks how the job stands now. */
  status(options: CallOptions = {}): Promise<Job> {
    return this.#call("status", options, (reply) => this.#read(reply));
  }

  /** Cancels the job. A job that has ended stays as it ended, and that is no error. */
  async cancel(options: CallOptions = {}): Promise<Job> {
    const read = (reply: Reply): Job | undefined => {
      try {
        return this.#read(reply);
      } catch {
        // Others answer a cancel with something else than the job.
        return undefined;
      }
    };
    return (await this.#call("cancel", options, read)) ?? this.status(options);
  }

  /** Deletes the record of a job that is done. A record that is already gone is no error. */
  async delete(options: CallOptions = {}): Promise<void> {
    try {
      await this.#call("delete", options, () => {});
    } catch (error) {
      // A retry of a delete whose answer was lost finds nothing.
      if (!(error instanceof NotFound)) throw error;
    }
  }

  /** @internal Cancels, without retries and without telling what came of it. */
  async cancelOnce(): Promise<void> {
    const { origin } = this.core;
    try {
      await exchange(origin, this.#request("cancel"), Math.min(origin.attemptTimeout, CANCEL_WAIT), undefined);
    } catch {
      // The caller is told that the job was still running; that it could not be canceled changes nothing.
    }
  }

  /** @internal What an error about this job carries. */
  facts(last?: Job): Facts {
    return { jobId: this.id, job: last ?? this.snapshot, token: this.#token(last), idempotencyKey: this.known.key };
  }

  #token(last: Job | undefined): string {
    const { createdAt, key, kind, revision } = this.known;
    return writeToken({
      server: this.core.origin.server,
      job: this.id,
      key,
      kind: last?.kind || kind || undefined,
      created_at: last?.created_at ?? createdAt,
      revision: last?.revision ?? revision,
    });
  }

  #read(reply: Reply): Job {
    return this.core.speech ? this.core.speech.read(reply, this.id, this.known.kind) : readJob(reply, this.id);
  }

  #call<T>(action: "status" | "cancel" | "delete", { signal }: CallOptions, read: (reply: Reply) => T): Promise<T> {
    return call(this.core.origin, this.#request(action), this.facts(), signal, read);
  }

  #request(action: "status" | "cancel" | "delete"): Call {
    const { origin, speech } = this.core,
      { accepted, kind } = this.known,
      method = { status: "GET", cancel: "POST", delete: "DELETE" }[action],
      path = ["v1", "jobs", this.id];
    const call = speech
      ? speech.request(action, this.id, kind, () => this.facts())
      : { method, url: urlOf(origin, action === "cancel" ? [...path, "cancel"] : path) };
    return action === "delete" ? call : { ...call, accepted };
  }
}
