/** What a client remembers of its server, shared by all of its waits. Times are in milliseconds. */

import { Skew } from "./rt/skew.js";
import type { Abilities } from "./strategy/plan.js";
import { HOLD_MAX } from "./wire.js";

/** For how long something that was tried in vain isn't tried again. */
const REMEMBERED = 600_000;

/** The shortest hold that is worth asking for. If even that is cut, nothing is held. */
const HOLD_MIN = 5_000;

/** How many held requests in a row must come back at once, or be cut, before it counts as "nothing is held". */
const TRIES = 2;

/**
 * Ends at once that are learned from although their kind is known only then, and how many a second beyond them: learning
 * takes a millisecond.
 */
const LATE_BURST = 128,
  LATE_RATE = 50;

/** Skew and abilities of one origin. */
export class Memory {
  readonly skew: Skew = new Skew();
  /** Whether the server is a foreign one, of which only answers are known. */
  onlyPolls = false;
  #held = false;
  #unheld = 0;
  #cuts = 0;
  #holdMax: number = HOLD_MAX;
  #noHoldUntil = -Infinity;
  #streamed = false;
  #noStreamUntil = -Infinity;
  #noSetsUntil = -Infinity;
  /** How many ends were learned from lately whose kind was known only then, and when the last one was. */
  #late = 0;
  #lateAt = 0;

  /** What the server can do, as far as it is known now. */
  abilities(now: number): Abilities {
    const ability = (seen: boolean, notUntil: number): Abilities["hold"] =>
      this.onlyPolls || now < notUntil ? "no" : seen ? "yes" : "unknown";
    return {
      hold: ability(this.#held, this.#noHoldUntil),
      holdMax: this.#holdMax,
      stream: ability(this.#streamed, this.#noStreamUntil),
    };
  }

  /** A request was held, or wasn't although nothing had happened. */
  noteHold(held: boolean, now: number): void {
    this.#held = held;
    if (held) {
      this.#unheld = this.#cuts = 0;
      this.#noHoldUntil = -Infinity;
    } else if (++this.#unheld >= TRIES) {
      this.#unheld = 0;
      this.#noHoldUntil = now + REMEMBERED;
    }
  }

  /** A held request was cut by something on the way after it had been held that long. */
  noteCut(held: number, now: number): void {
    // What fails at once fails for another reason than being held.
    if (held < 1000 || ++this.#cuts < TRIES) return;
    this.#cuts = 0;
    if (held * 0.8 < HOLD_MIN) this.#noHoldUntil = now + REMEMBERED;
    else this.#holdMax = Math.min(held * 0.8, this.#holdMax);
  }

  /** A stream brought something, or was caught keeping it to itself. */
  noteStream(works: boolean, now: number): void {
    this.#streamed = works;
    this.#noStreamUntil = works ? -Infinity : now + REMEMBERED;
  }

  /** Whether an end is learned from whose kind is known only now. Of a crowd a part is. */
  learnsLate(now: number): boolean {
    this.#late = Math.max(this.#late - ((now - this.#lateAt) / 1000) * LATE_RATE, 0);
    this.#lateAt = now;
    const learns = this.#late < LATE_BURST;
    this.#late += Number(learns);
    return learns;
  }

  /** Whether many jobs may be asked for at once. */
  sets(now: number): boolean {
    return now >= this.#noSetsUntil;
  }

  /** The server has no such route. */
  noteNoSets(now: number): void {
    this.#noSetsUntil = now + REMEMBERED;
  }
}
