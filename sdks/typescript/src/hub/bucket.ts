/** How often shared requests may be sent. Times are in milliseconds. */

/** The most requests in a second, for few jobs and for many. What lies between is shared out: `PACE` job-requests. */
const RATE_MAX = 10,
  RATE_MIN = 1.8,
  PACE = 500;

/** How many requests may follow each other without a pause. */
const BURST = 3;

/** In what time a crowd that is gone counts for a third. */
const CROWD_FADE = 60_000;

/** Tokens that come at a rate, one for each request. */
export class Bucket {
  #tokens: number = BURST;
  #filled: number | undefined;
  /** How many jobs there are, or were not long ago. */
  #crowd = 0;

  /** When there will be a token, with that many jobs. */
  ready(now: number, jobs: number): number {
    const since = now - (this.#filled ?? now);
    this.#crowd = Math.max(this.#crowd * Math.exp(-since / CROWD_FADE), jobs, 1);
    const rate = Math.min(Math.max(PACE / this.#crowd, RATE_MIN), RATE_MAX) / 1000;
    this.#tokens = Math.min(this.#tokens + since * rate, BURST);
    this.#filled = now;
    // A little later than computed, so that rounding never finds a token that is almost there.
    return this.#tokens >= 1 ? now : now + (1 - this.#tokens) / rate + 1;
  }

  /** Takes a token out. */
  take(): void {
    this.#tokens--;
  }
}
