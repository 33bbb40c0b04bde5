/** No good answer. */

import { AbideError, type Facts, Garbled, NotFound, Refused, Unreachable, UsageError } from "./error.js";
import type { Problem } from "./wire.js";

/** What kind of failure it is, by what it becomes when it is given up. */
type Kind = typeof AbideError;

/** What is known of a failure beside its kind. */
interface Details {
  status?: number;
  /** Whether the request surely had no effect. */
  harmless?: boolean;
  /** How long the server asked to be left alone, in ms. */
  hint?: number | undefined;
  problem?: Problem | undefined;
  /** What the server answered, as it came. */
  body?: string | undefined;
  cause?: unknown;
  /** No answer in the time that an exchange may take. */
  timedOut?: boolean;
  /** Whether the same request will not be answered later. */
  final?: boolean;
  /** Whether the caller is told its own error. */
  own?: boolean;
}

/** Thrown by exchanges and looks; it becomes an error of this package when it is given up. */
export class Failure {
  readonly kind: Kind;
  readonly what: string;
  readonly details: Details;

  constructor(kind: Kind, what: string, details: Details = {}) {
    this.kind = kind;
    this.what = what;
    this.details = details;
  }

  /** Whether the same request may be answered later. */
  get transient(): boolean {
    return !this.details.final && (this.kind === Unreachable || this.kind === Garbled);
  }

  /** What to tell the caller when it is given up. */
  intoError(facts: Facts = {}): unknown {
    const { body, status, hint, problem, cause, timedOut = false, own } = this.details;
    if (own) return cause;
    const Kind = this.kind === Refused && (status === 404 || status === 410) ? NotFound : this.kind;
    return new Kind(this.what, { timedOut, status, retryAfterMs: hint, problem, body, cause, ...facts });
  }
}

/** No answer in time. */
export const tooSlow = (limit: number): Failure =>
  new Failure(Unreachable, `no answer within ${(limit / 1000).toFixed(3)} s`, { timedOut: true });

/** What answered doesn't speak this protocol. */
export const garbled = (what: string, details?: Details): Failure => new Failure(Garbled, what, details);

/** The call can't be sent at all. */
export const unsendable = (what: string, cause?: unknown): Failure => new Failure(UsageError, what, { cause });
