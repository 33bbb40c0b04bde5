/**
 * A worker's hold on a job.
 *
 * Beside the work the lease is renewed every third of its length, and a held request that all leases of the client share
 * waits for the job's end: so a cancel is known at once, and a lost lease at the next renewal.
 */

import { readJob } from "../answer.js";
import { Account } from "../budget.js";
import { persist } from "../call.js";
import type { Core } from "../client.js";
import { type AbideError, type Facts, JobCanceled, JobFailed, LeaseLost } from "../error.js";
import { type Call, type Reply, exchange } from "../exchange.js";
import { Failure } from "../failure.js";
import { type CallOptions, JobHandle } from "../job.js";
import { urlOf } from "../origin.js";
import { before, never, sleepUntil } from "../rt/clock.js";
import type { Job, Problem } from "../wire.js";

/** The codes of refusals that end the work: the job is done, gone, or another worker's. */
const ENDS = ["job_done", "lease_lost", "not_found", "gone"];

const isOver = (error: unknown): boolean =>
  error instanceof JobCanceled || error instanceof JobFailed || error instanceof LeaseLost;

/** Why there is nothing more to do for the worker, and the job if that has ended. */
interface Over {
  error: AbideError;
  ended?: Job;
}

/**
 * A job that this worker has claimed, and works on: made by `abide.claim`.
 *
 * It renews itself until the worker ends the job by `complete` or `fail`, gives it back by `release`, or lets go of it
 * by `close`. After `close` it is silent, and the server gives the job up when the lease runs out, as its creator chose.
 *
 * While the server doesn't answer the lease goes on: the time in which a server is down counts for no lease. If only
 * this worker can't reach it, the job may get another worker meanwhile, and this one's result is refused. Work that has
 * effects elsewhere should bear being done twice.
 */
export class Lease {
  /** The job as the claim showed it. */
  readonly job: Job;
  /** What names the lease: a program that reports by itself sends it as `Lease-Token`. It is a secret. */
  readonly token: string;
  readonly #core: Core;
  readonly #length: number;
  readonly #over: AbortController = new AbortController();
  /** Ends the renewing. */
  readonly #closing: AbortController = new AbortController();
  /** How many ends are being told, and what was heard meanwhile: most likely of these very ends. */
  #ending = 0;
  #heard: Over | undefined;

  /** @internal Use `abide.claim`. */
  constructor(core: Core, { lease, ...job }: Job, length: number) {
    this.job = job;
    this.token = lease!.token;
    this.#core = core;
    this.#length = length;
    const { clock } = core.origin;
    before(clock, undefined, this.#closing.signal, (signal) =>
      Promise.race([this.#renew(signal), this.#ended(signal)]),
    ).then(
      (over) => this.#tell(over as Over),
      // It was closed.
      () => {},
    );
  }

  /** The job's id. */
  get id(): string {
    return this.job.id;
  }

  /**
   * Aborted when there is nothing more to do for this worker. Its `reason` is `JobCanceled`, `JobFailed` if the job ran
   * past its deadline, or `LeaseLost`.
   */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /**
   * Does the work, whose signal is aborted if there is nothing more to do for this worker; then it rejects with the
   * reason, whatever the work does.
   */
  async whileHeld<T>(work: (signal: AbortSignal) => T | Promise<T>): Promise<T> {
    const { clock } = this.#core.origin;
    return (await before(clock, undefined, this.signal, async (signal) => work(signal))) as T;
  }

  /** Tells how far the work has come, in percent. */
  progress(percent: number, stage?: string, options: CallOptions = {}): Promise<Job> {
    return this.#report({ progress: { percent, ...(stage !== undefined && { stage }) } }, options, () => false);
  }

  /** Ends the job with a result. May be called again after an error: an end whose first answer was lost is one. */
  complete(result: unknown = null, options: CallOptions = {}): Promise<Job> {
    return this.#end({ result }, options, ({ outcome }) => outcome === "completed");
  }

  /** Ends the job as failed, because of that. May be called again after an error. */
  fail(problem: Problem | string, options: CallOptions = {}): Promise<Job> {
    const error = typeof problem === "string" ? { title: problem, status: 500, code: "failed" } : problem;
    return this.#end({ error }, options, (job) => job.error?.code === error.code);
  }

  /** Gives the job back: it is pending again, and the attempt doesn't count. */
  async release(options: CallOptions = {}): Promise<void> {
    try {
      await this.#end({ release: true }, options, () => false);
    } catch (error) {
      // What was canceled or lost needs not be given back.
      if (!this.signal.aborted || !isOver(error)) throw error;
    }
  }

  /** Lets go of the job without a word. Renews nothing from now on. */
  close(): void {
    this.#closing.abort();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #end(report: object, options: CallOptions, isOurs: (job: Job) => boolean): Promise<Job> {
    this.#ending++;
    try {
      const job = await this.#report(report, options, isOurs);
      this.close();
      return job;
    } finally {
      if (!--this.#ending && this.#heard) this.#tell(this.#heard);
    }
  }

  /** Sends a report until it is answered. `isOurs` tells the end that the report made from any other. */
  async #report(report: object, { signal }: CallOptions, isOurs: (job: Job) => boolean): Promise<Job> {
    const { origin } = this.#core,
      call = this.#call(report);
    try {
      return await persist(
        origin,
        () => [call, origin.attemptTimeout],
        signal,
        (reply) => this.#read(reply),
      );
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      const over = await this.#meaning(failure, signal);
      if (!over) throw failure.intoError(this.#facts());
      const { ended, error } = over;
      if (ended && isOurs(ended) && ended.attempts === this.job.attempts) return ended;
      this.#heard = undefined;
      this.#stop(error);
      throw error;
    }
  }

  #call(body: object): Call {
    const url = urlOf(this.#core.origin, ["v1", "jobs", this.id]);
    return { method: "PATCH", url, headers: { "lease-token": this.token }, body };
  }

  #read(reply: Reply): Job {
    return readJob(reply, this.id);
  }

  #facts(): Facts {
    return this.#handle().facts();
  }

  #handle(): JobHandle {
    return new JobHandle(this.#core, this.id, { kind: this.job.kind, createdAt: this.job.created_at });
  }

  /** What a refusal of a report says of the lease, if anything. */
  async #meaning({ details: { problem } }: Failure, signal: AbortSignal | undefined): Promise<Over | undefined> {
    if (!ENDS.includes(problem?.code ?? "")) return undefined;
    if (problem!.code === "job_done") {
      const job = await this.#handle()
        .status({ signal })
        .catch(() => undefined);
      signal?.throwIfAborted();
      if (job?.done) return this.#overBy(job);
    }
    return { error: this.#lost("the lease is lost; stop working on the job", problem) };
  }

  /** That the job has ended by another hand. */
  #overBy(ended: Job): Over {
    const facts = { ...this.#facts(), job: ended, problem: ended.error ?? undefined };
    if (ended.outcome === "canceled") return { ended, error: new JobCanceled("the job was canceled", facts) };
    if (ended.outcome === "failed") return { ended, error: new JobFailed("the job failed meanwhile", facts) };
    return { ended, error: this.#lost("another worker ended the job", undefined) };
  }

  #lost(what: string, problem: Problem | undefined): LeaseLost {
    return new LeaseLost(what, { ...this.#facts(), job: this.job, problem });
  }

  /** Renews the lease until it is over. */
  async #renew(signal: AbortSignal): Promise<Over> {
    const { origin } = this.#core,
      { clock, random, retry } = origin,
      every = this.#length / 3;
    let hint: number | undefined;
    for (let failures = 0; ;) {
      // Those that were claimed together not all at once; and a server that asks for a pause gets it, as far as can be.
      const pause = failures ? Math.min(retry.pause(failures, hint, random()), every) : every * (1 - 0.1 * random());
      await sleepUntil(clock, clock.now() + pause, signal);
      try {
        await exchange(origin, this.#call({}), Math.min(origin.attemptTimeout, this.#length), signal);
        failures = 0;
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        const over = await this.#meaning(failure, signal);
        if (over) return over;
        failures++;
        ({ hint } = failure.details);
      }
    }
  }

  /** Waits for the job's end, by a request that all leases of the client share. */
  async #ended(signal: AbortSignal): Promise<Over> {
    const { hub, origin } = this.#core,
      { clock, random, retry } = origin;
    for (let failures = 0; ;) {
      let pause = 0;
      try {
        const answer = await hub.join(this.id, "done", undefined, new Account(), signal);
        // Where there are no sets the renewals will tell.
        if (!answer) return never();
        if (answer.done) return this.#overBy(answer.view!);
        failures = 0;
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        if (!failure.transient) return never();
        pause = retry.pause(++failures, failure.details.hint, random());
      }
      await sleepUntil(clock, clock.now() + pause, signal);
    }
  }

  /** There is nothing more to do, unless that is this worker's own doing. */
  #tell(over: Over): void {
    this.#heard = over;
    if (!this.#ending && !this.#closing.signal.aborted) this.#stop(over.error);
  }

  #stop(error: AbideError): void {
    this.#over.abort(error);
    this.close();
  }
}
