/** The round trip to a server, smoothed as TCP does it. Times are in milliseconds. */
export class Rtt {
  /** None before one was measured. */
  smoothed: number | undefined;
  /** How much round trips differ from the smoothed one, smoothed. */
  #spread = 0;

  /** A request that wasn't held took that long. */
  note(took: number): void {
    if (this.smoothed === undefined) {
      this.smoothed = took;
      this.#spread = took / 2;
    } else {
      this.#spread += (Math.abs(this.smoothed - took) - this.#spread) / 4;
      this.smoothed += (took - this.smoothed) / 8;
    }
  }

  /** In what time an answer comes, with that many spreads on top; none before a round trip was measured. */
  within(spreads: number): number | undefined {
    return this.smoothed === undefined ? undefined : this.smoothed + spreads * this.#spread;
  }
}
