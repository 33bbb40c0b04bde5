/**
 * Servers that work in ticks: durations that are multiples of a period.
 *
 * Behind them is a smooth law, of which each duration is the nearest multiple. So what was seen is taken for an
 * enclosure of what was rounded, the experts learn that, and what they expect is rounded again. Enclosures by polls
 * alone tell a period, too, as each must hold a multiple. One that something speaks for is probed: some jobs, the
 * scouts, are polled right before and right after multiples.
 */

import { BINS, EDGES, type Law, STEP, bin } from "./grid.js";
import type { Tick } from "./plan.js";
import { type Observation, isCensored, isExact } from "./ring.js";

/** The periods that are looked for, in seconds: those that people choose. */
const PERIODS = [2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 300, 600];

/** How far from a multiple an end that is known may be, and how far from one ends are expected, in seconds. */
const TOLERANCE = 0.05;

/** How many ends it takes to see a period. */
const ENDS_MIN = 8;

/**
 * What must speak for a period that it is probed, believed, and probed by few, and what an end that is at no multiple
 * says, in nats.
 */
const SUSPECTED = 1.5,
  CONVINCING = 6,
  SURE = 15,
  MISS = -4;

/** Which share of jobs are scouts, of a period that isn't sure and of one that is. */
const SCOUTS = 0.125,
  SCOUTS_OF_SURE = 0.05;

/** A period that so much speaks against isn't looked at any further. */
const HOPELESS = -30;

/** The greatest period, in terms of the range that durations have at least, but for a twentieth at either end. */
const RANGE_SHARE = 1.05;

/** Which share of ends is still expected at no multiple. */
const OFF = 0.005;

/** Between what a duration was, in seconds, the upper one included; where it is known, with the tolerance. */
const boundsOf = (seen: Observation): readonly [low: number, high: number] => {
  const tolerance = isExact(seen) ? TOLERANCE : 0;
  return [Math.max(seen.after - tolerance, 0), seen.atMost + tolerance];
};

/** The first and the last multiple between such bounds; there is none if the last is less. */
const multiples = (low: number, high: number, period: number): readonly [first: number, last: number] => [
  Math.floor(low / period) + 1,
  Math.floor(high / period),
];

/**
 * The first bin of what is rounded to a multiple. No two multiples share a bin: what might be of either would be taken
 * for both.
 */
const firstBin = (multiple: number, period: number): number => bin(Math.log((multiple - 0.5) * period));

/** A period that something speaks for. */
export interface Period {
  seconds: number;
  /** Whether durations are taken for multiples of it. */
  believed: boolean;
  /** Which share of jobs are to probe it where durations aren't told. */
  scouts: number;
}

/** The period that most speaks for of the jobs that have ended; none if little speaks for any. */
export const periodOf = (ended: Observation[]): Period | undefined => {
  const ends = ended.filter((seen) => !isCensored(seen)).map(boundsOf);
  if (ends.length < ENDS_MIN || ended.some(({ lnSize }) => lnSize)) return undefined;
  const few = Math.floor(ends.length / 20),
    sorted = (which: 0 | 1): number[] => ends.map((end) => end[which]).sort((a, b) => a - b),
    range = sorted(0).at(-1 - few)! - sorted(1)[few]!;
  let seconds: number | undefined,
    most = SUSPECTED;
  for (const period of PERIODS) {
    let score = 0;
    for (const [low, high] of ends) {
      const [first, last] = multiples(low, high, period);
      score += first > last ? MISS : Math.log((period * (last - first + 1)) / (high - low));
      if (score < HOPELESS) break;
    }
    if (period <= RANGE_SHARE * range && score > most) [seconds, most] = [period, score];
  }
  if (!seconds) return undefined;
  return { seconds, believed: most > CONVINCING, scouts: most > SURE ? SCOUTS_OF_SURE : SCOUTS };
};

/** Between what the duration was before it was rounded to a multiple; as it is, if it holds none. */
export const unrounded = (seen: Observation, period: number | undefined): Observation => {
  if (!period) return seen;
  const [first, last] = multiples(...boundsOf(seen), period);
  if (first > last) return seen;
  const edge = (multiple: number): number => Math.fround(EDGES[firstBin(multiple, period)]!);
  return { ...seen, after: edge(first), atMost: isCensored(seen) ? seen.atMost : edge(last + 1) };
};

/** Rounds what is expected to multiples, as far as bins are narrow enough to tell them apart. */
export const rounded = (law: Law, period: number): [Law, Tick[]] => {
  const moved = law.slice(),
    ticks: Tick[] = [];
  for (let multiple = 1; multiple <= 0.5 / STEP; multiple++) {
    const at = multiple * period,
      tick = bin(Math.log(at)),
      next = firstBin(multiple + 1, period);
    if (next + 1 >= BINS) break;
    let sharp = 0;
    for (let i = firstBin(multiple, period); i < next; i++) {
      sharp += (1 - OFF) * moved[i]!;
      moved[i]! *= OFF;
    }
    moved[tick]! += sharp;
    ticks.push({
      bin: tick,
      share: sharp / moved[tick]!,
      from: Math.max(at - TOLERANCE, EDGES[tick]!),
      to: Math.min(at + TOLERANCE, EDGES[tick + 1]!),
    });
  }
  return [moved, ticks];
};
