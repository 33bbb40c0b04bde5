/** Jobs that have just been made, and may not be found yet where they are read. */

import { Unreachable } from "../error.js";
import { Failure } from "../failure.js";
import type { Surroundings } from "../origin.js";

/** The answer about a job that was made at `accepted` by this process, if it was. A 404 right after that may pass. */
export const unlessFresh = async <T>(
  { clock, retry }: Surroundings,
  accepted: number | undefined,
  asked: Promise<T>,
): Promise<T> => {
  try {
    return await asked;
  } catch (failure) {
    const fresh = failure instanceof Failure && failure.details.status === 404;
    if (!fresh || !(clock.now() - accepted! < retry.notFoundFor)) throw failure;
    throw new Failure(Unreachable, failure.what, failure.details);
  }
};
