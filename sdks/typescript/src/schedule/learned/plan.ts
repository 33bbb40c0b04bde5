/** A plan on the grid: the planner's solution for a learned law, and the way along it. */

import { BINS, EDGES, type Law, clamp } from "./grid.js";
import { type States, type Terms, solve } from "./planner.js";

/** The least pause beyond the grid, in seconds. */
const PAUSE_MIN_BEYOND = 60;

/**
 * How far apart the candidates for a poll are at most, in terms of the best pause where ends are as likely as there.
 */
const FINENESS = 0.125;

/** A bin is not made finer if less than this is to be gained, in terms of the price. */
const GAIN_MIN = 0.01;

/** In how many parts a bin is cut at most. */
const PARTS_MAX = 16;

/** Candidates are not nearer to each other than this, in terms of the least pause. */
const NEAREST = 0.1;

/** How many polls are looked ahead at once. A wait keeps these and not the plan. */
const AHEAD = 8;

/** By how much moving a poll may raise the cost of the pause before it, as a share. */
const GIVE = 0.08;

/** In how many steps, each by this factor, the room for jitter shrinks to nothing. */
const TRIES = 20,
  SHRINK = 0.85;

/**
 * A state is as near as another if it isn't further away by more than rounding: polls of one plan are often in the very
 * middle between two states of the next. Of two that are as near the later one counts.
 */
const AS_NEAR = 1 + 1e-9;

/** Ends that fall together within a bin, as those of a server that works in ticks. */
export interface Tick {
  bin: number;
  /** Which share of the bin's probability it has. */
  share: number;
  /** Where it lies, in seconds. */
  from: number;
  to: number;
}

/** One planned poll, in seconds since acceptance. */
export interface Poll {
  at: number;
  /** The pause before it. */
  pause: number;
  /** How far jitter of the full share of the pauses around it may move it. */
  earlier: number;
  later: number;
}

/** The next few polls of a plan, in order. */
export type Path = Poll[];

/** The first of ascending numbers that isn't below `x`. */
const firstFrom = (numbers: number[], x: number): number => {
  let low = 0,
    high = numbers.length;
  while (low < high) {
    const half = (low + high) >> 1;
    if (numbers[half]! < x) low = half + 1;
    else high = half;
  }
  return low;
};

/**
 * The bins' upper edges as states, more of them where polls are worth placing exactly, and fewer where they are nearer
 * to each other than polls may be.
 */
const statesOf = (law: Law, ticks: Tick[], { price, gap }: Terms): States => {
  const instants = [0],
    ended = [0],
    mean = [0];
  let endedBefore = 0,
    meanBefore = 0,
    nextTick = 0;
  law.forEach((mass, i) => {
    const from = EDGES[i]!,
      to = EDGES[i + 1]!,
      width = to - from;
    const tick = ticks[nextTick]?.bin === i ? ticks[nextTick++]! : undefined;
    const sharp = tick ? tick.share * mass : 0,
      even = mass - sharp;
    // What has happened by an instant within the bin.
    const by = (at: number): [number, number] => {
      const part = (at - from) / width,
        within = tick ? clamp((at - tick.from) / (tick.to - tick.from), 0, 1) : 0;
      const middle = tick ? tick.from + 0.5 * within * (tick.to - tick.from) : 0;
      return [
        endedBefore + even * part + sharp * within,
        meanBefore + even * part * 0.5 * (from + at) + sharp * within * middle,
      ];
    };
    const push = (at: number): void => {
      if (!(instants.at(-1)! < at)) return;
      const [endedBy, meanBy] = by(at);
      instants.push(at);
      ended.push(endedBy);
      mean.push(meanBy);
    };
    const worth = GAIN_MIN * price;
    const cuts = tick && sharp * (to - tick.to) > worth ? [tick.from, tick.to] : [];
    const rate = even / width / Math.max(1 - endedBefore, 1e-12);
    const pause = FINENESS * Math.sqrt((2 * price) / Math.max(rate, 1e-12));
    const parts = Math.max(Math.ceil(Math.min(width / pause, (even * width) / worth, PARTS_MAX)), 1);
    for (let part = 1; part <= parts; part++) {
      const at = Math.min(from + (width * part) / parts, to);
      while (cuts[0]! < at) push(cuts.shift()!);
      if (at - instants.at(-1)! >= NEAREST * gap || (i === BINS - 1 && part === parts)) push(at);
    }
    [endedBefore, meanBefore] = by(to);
  });
  return { instants, ended, mean };
};

/** The best polls for a law and the ticks in it, which are in the order of their bins. */
export class Plan {
  readonly terms: Terms;
  readonly #states: States;
  readonly #next: Uint16Array;

  constructor(law: Law, ticks: Tick[], terms: Terms) {
    this.terms = terms;
    this.#states = statesOf(law, ticks, terms);
    this.#next = solve(this.#states, terms);
  }

  /**
   * The polls after a look in vain at `from`, at most `greatest` apart; all in seconds since acceptance. With `probe`
   * each is preceded by one as shortly before as may be.
   */
  path(from: number, greatest: number, probe?: boolean): Path {
    let before = from,
      at = Math.min(this.after(from), from + greatest);
    const { gap } = this.terms;
    return Array.from({ length: AHEAD }, () => {
      if (probe && at - gap > before + gap) {
        const pause = at - gap - before;
        before = at - gap;
        return { at: before, pause, earlier: 0, later: 0 };
      }
      const after = Math.min(this.after(at), at + greatest),
        room = Math.min(at - before, after - at);
      const poll = {
        at,
        pause: at - before,
        earlier: this.#give(before, at, after, -room),
        later: this.#give(before, at, after, room),
      };
      [before, at] = [at, after];
      return poll;
    });
  }

  /** When to look again after having looked in vain at `now`. */
  after(now: number): number {
    const { instants } = this.#states;
    const above = firstFrom(instants, now),
      below = Math.max(above - 1, 0);
    const isAbove = above < instants.length && instants[above]! - now <= AS_NEAR * (now - instants[below]!),
      state = isAbove ? above : below;
    if (state < instants.length - 1) return instants[this.#next[state]!]!;
    // Where all jobs known have ended, the rate of ends is taken to be that of a law without a scale.
    return now + clamp(Math.sqrt(2 * this.terms.price * now), PAUSE_MIN_BEYOND, EDGES[BINS]! - EDGES[BINS - 1]!);
  }

  /**
   * How much of `room` (negative: to earlier) is left to jitter so that its cost stays small: all of it where the law
   * is smooth, next to nothing where it has an edge.
   */
  #give(before: number, at: number, after: number, room: number): number {
    const { instants, ended, mean } = this.#states,
      { price, loss } = this.terms;
    type Look = readonly [at: number, ended: number, mean: number];
    // What has happened by an instant, evenly between two states; at the state before it where `edge` is set.
    const look = (at: number, edge?: boolean): Look => {
      const i = clamp(firstFrom(instants, at), 1, instants.length - 1),
        low = instants[i - 1]!;
      const share = edge ? 0 : clamp((at - low) / (instants[i]! - low), 0, 1);
      const between = (sums: number[]): number => sums[i - 1]! + share * (sums[i]! - sums[i - 1]!);
      return [at, between(ended), between(mean)];
    };
    const leg = (from: Look, to: Look): number => {
      const missed = loss * (to[1] - from[1]);
      return price * (ended.at(-1)! - to[1] + missed) + to[0] * missed - loss * (to[2] - from[2]);
    };
    const first = look(before),
      here = look(at),
      last = look(after),
      own = leg(first, here),
      cost = own + leg(here, last) + GIVE * own;
    for (let tries = TRIES, left = room; tries--; left *= SHRINK) {
      // The most that the default jitter makes of it. A bin that is cut may hold all its ends after the cut.
      const moved = look(at + 0.25 * left, room < 0);
      if (leg(first, moved) + leg(moved, last) <= cost) return Math.abs(left);
    }
    return 0;
  }
}
