/**
 * How far a server's clock is ahead of ours, as an interval in milliseconds that each answer's `Date` narrows.
 *
 * `Date` has whole seconds, so one answer leaves a second of doubt and several answers leave little.
 */
export class Skew {
  #known: readonly [low: number, high: number] | undefined;

  /** Takes in an answer that was asked for at `sent`, arrived at `received`, and says `date`. */
  observe(sent: number, received: number, date: number): void {
    const low = date - received,
      high = date + 999 - sent;
    if (!(low <= high)) return;
    const [knownLow, knownHigh] = this.#known ?? [low, high];
    // Where the intervals have nothing in common one of the clocks was set: the newest answer is the truth.
    const overlap = low <= knownHigh && high >= knownLow;
    this.#known = overlap ? [Math.max(low, knownLow), Math.min(high, knownHigh)] : [low, high];
  }

  /** How long ago the server's instant was, seen from our instant `now`; none before the first answer. */
  age(server: number, now: number): number | undefined {
    if (!this.#known || Number.isNaN(server)) return undefined;
    const [low, high] = this.#known;
    // Clocks that are kept by the network agree to milliseconds, far better than `Date` can tell.
    return Math.max(now + (low <= 0 && high >= 0 ? 0 : (low + high) / 2) - server, 0);
  }
}
