/** The errors of this package. */

import type { Job, Problem } from "./wire.js";
import type { Report } from "./report.js";

/** Marks the errors of every copy of this package, so that `instanceof` works across copies. */
const BRAND = Symbol.for("abide.error");

/** What an error may carry. */
export interface Facts {
  /** What caused it. */
  cause?: unknown;
  /** Whether time ran out: the deadline of a wait, or the time that one exchange may take. */
  timedOut?: boolean;
  /** The HTTP status of the last answer, where one came. */
  status?: number | undefined;
  /** What the server said is wrong; the job's own error where the job failed. */
  problem?: Problem | undefined;
  /** What the server answered, as it came, up to 64 KiB; none where no answer came. */
  body?: string | undefined;
  /** Whether a create was sent whose answer never came, so that the job may have been made. */
  mayHaveCreated?: boolean;
  /** How long the server asked to be left alone, in milliseconds. */
  retryAfterMs?: number | undefined;
  /** The job that it is about. */
  jobId?: string | undefined;
  /** The job as it was last seen. */
  job?: Job | undefined;
  /** What another process needs to go on waiting, or to send the create again; a text for `abide.resume`. */
  token?: string | undefined;
  /** The key of the create it is about: send the same create with it again, and there will be one job. */
  idempotencyKey?: string | undefined;
  /** What the wait had cost by then. */
  report?: Report | undefined;
}

/** Why a call or a wait has no good answer. Its subclasses say which kind it is. */
export class AbideError extends Error {
  /** The kind, which is the name of the class. */
  static readonly kind: string = "AbideError";
  /** The kind as a word for programs, such as `still_running`. */
  readonly code: string;
  declare readonly cause?: unknown;
  declare readonly timedOut?: boolean;
  declare readonly status?: number | undefined;
  declare readonly problem?: Problem | undefined;
  declare readonly body?: string | undefined;
  declare readonly mayHaveCreated?: boolean;
  declare readonly retryAfterMs?: number | undefined;
  declare readonly jobId?: string | undefined;
  declare readonly job?: Job | undefined;
  declare readonly token?: string | undefined;
  declare readonly idempotencyKey?: string | undefined;
  declare readonly report?: Report | undefined;

  constructor(message: string, facts: Facts = {}) {
    const { cause, ...rest } = facts,
      { jobId, mayHaveCreated, problem, idempotencyKey } = rest;
    const said = [problem?.title, problem?.detail].filter(Boolean).join(": ");
    const key = idempotencyKey
      ? ` (idempotency key ${idempotencyKey})`
      : mayHaveCreated
        ? "; the job may have been made: look for it before you create it again"
        : "";
    super(
      `${jobId ? `job ${jobId}: ` : ""}${message}${said && `: ${said}`}${jobId ? "" : key}`,
      cause === undefined ? {} : { cause },
    );
    Object.assign(this, rest);
    this.name = new.target.kind;
    this.code = this.name.replace(/(?!^)[A-Z]/g, "_$&").toLowerCase();
    const kinds: string[] = [];
    for (let kind: typeof AbideError = new.target; kind.kind; kind = Object.getPrototypeOf(kind)) kinds.push(kind.kind);
    Object.defineProperty(this, BRAND, { value: kinds });
  }

  static override [Symbol.hasInstance](error: unknown): boolean {
    return !!(error as { [BRAND]?: string[] } | undefined)?.[BRAND]?.includes(this.kind);
  }
}

/** The wait was over before the job was. The job is not harmed: wait again, later or elsewhere, by the `token`. */
export class StillRunning extends AbideError {
  static override readonly kind: string = "StillRunning";
}

/** The job ended with an error, where its result was asked for, or while its worker was at it. */
export class JobFailed extends AbideError {
  static override readonly kind: string = "JobFailed";
}

/** The job was canceled, where its result was asked for, or while its worker was at it. */
export class JobCanceled extends AbideError {
  static override readonly kind: string = "JobCanceled";
}

/** The job that a worker has claimed isn't its own any more: stop working on it. */
export class LeaseLost extends AbideError {
  static override readonly kind: string = "LeaseLost";
}

/** The server gave no answer, or none but "not now" (408, 425, 429, 5xx). It says nothing about the job. */
export class Unreachable extends AbideError {
  static override readonly kind: string = "Unreachable";
}

/** The server answered "no", for good. */
export class Refused extends AbideError {
  static override readonly kind: string = "Refused";
}

/** The server knows no such job: 404, or 410 for one whose record has been deleted. */
export class NotFound extends Refused {
  static override readonly kind: string = "NotFound";
}

/** What answered doesn't speak this protocol: check the address and what stands between. */
export class Garbled extends AbideError {
  static override readonly kind: string = "Garbled";
}

/** The call itself was wrong, and nothing was sent. */
export class UsageError extends AbideError {
  static override readonly kind: string = "UsageError";
}
