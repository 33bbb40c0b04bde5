/** Jobs that have just been made, and may not be found yet where they are read. */

import { Unreachable } from "../error.js";
import { Failure } from "../failure.js";
import type { Surroundings } from "../origin.js";

type Meeting = Pick<Surroundings, "clock" | "retry">;

/** Whether a failure is a 404 about a job that this process made at `accepted`, a moment ago. */
export const isFresh = ({ clock, retry }: Meeting, accepted: number | undefined, { details }: Failure): boolean =>
  details.status === 404 && clock.now() - accepted! < retry.notFoundFor;

/** The failure; such a 404 is one that may pass. */
export const unlessFresh = (meeting: Meeting, accepted: number | undefined, failure: Failure): Failure =>
  isFresh(meeting, accepted, failure) ? new Failure(Unreachable, failure.what, failure.details) : failure;
