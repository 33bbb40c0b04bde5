/** Waiting for the end of one job. */

import { AbideError, JobCanceled, JobFailed, StillRunning } from "../error.js";
import type { JobHandle } from "../job.js";
import type { Report } from "../report.js";
import type { RetryOptions } from "../retry.js";
import type { Duration } from "../rt/duration.js";
import type { Schedule } from "../schedule/cursor.js";
import type { Features } from "../schedule/feature.js";
import type { Price } from "../schedule/learned/schedule.js";
import type { Strategy } from "../strategy/plan.js";
import type { Job, Outcome } from "../wire.js";
import { type InSet, begin } from "./begin.js";

/** How to wait. What is left out is as the client has it. */
export interface WaitOptions {
  /**
   * Bounds everything: the request in flight, pauses after failures, the server's hints. One last look is taken just
   * before.
   */
  timeout?: Duration | undefined;
  /**
   * Ends the wait at once, the request in flight included; it rejects with the signal's reason, and the job goes on.
   */
  signal?: AbortSignal | undefined;
  /** How to learn of the end. Default: `auto()`. */
  strategy?: Strategy;
  /** When to poll, if it comes to polling. Default: the learned schedule, by server and kind of job. */
  schedule?: Schedule;
  /** How much earlier news is worth to the learned schedule. Default: `"balanced"`. */
  price?: Price;
  /** How failures are retried. */
  retry?: RetryOptions | false;
  /** The most that one exchange may take, beside the time that the server was asked to hold it. Default: 10 s. */
  attemptTimeout?: Duration;
  /** How big the job is, in any unit that is the same within one kind, such as seconds of video. */
  size?: number;
  /** What else is known of the job: `features({ model: "sdxl" })`. */
  features?: Features;
  /** Called with every change that is seen, the end included, in order of revisions. */
  onUpdate?: (job: Job) => void;
  /** What happens to the job when the deadline comes first. Default: it goes on. */
  onTimeout?: "detach" | "cancel";
}

/** A job that has ended, and what it took to learn of it. */
export class Done {
  /** The job. */
  readonly job: Job;
  /** What the wait cost. */
  readonly report: Report;

  /** @internal */
  constructor(job: Job, report: Report) {
    this.job = job;
    this.report = report;
  }

  /** Its id. */
  get id(): string {
    return this.job.id;
  }

  /** How it ended. */
  get outcome(): Outcome {
    return this.job.outcome ?? "failed";
  }

  /** What the job made. Throws `JobFailed` or `JobCanceled` if it didn't complete. */
  get result(): unknown {
    const { id, job, outcome, report } = this;
    if (outcome === "completed") return job.result;
    const facts = { jobId: id, job, report, problem: job.error ?? undefined };
    throw outcome === "canceled"
      ? new JobCanceled("the job was canceled", facts)
      : new JobFailed("the job failed", facts);
  }
}

/** Waits for the end of a job. */
export const wait = async (job: JobHandle, options: WaitOptions, inSet?: InSet): Promise<Done> => {
  const { onReport } = job.core,
    driver = begin(job, options, options.onUpdate !== undefined, inSet);
  try {
    for (;;) {
      const { ended, view } = await driver.step();
      options.onUpdate?.(view);
      if (ended) return new Done(view, driver.report());
    }
  } catch (error) {
    if (options.onTimeout === "cancel" && error instanceof StillRunning && (error as AbideError).timedOut) {
      await job.cancelOnce();
    }
    throw error;
  } finally {
    driver.close();
    onReport?.(job.id, driver.report());
  }
};
