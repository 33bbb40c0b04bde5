/**
 * The learner proper: what one kind of job remembers, and the law it predicts from that.
 *
 * The memory is the past and one weight per expert. Everything else is a pure function of it and can be made anew.
 */

import { FIRST_WEIGHTS, LOGNORMAL_LANES, type Prior, fit, massOf, mix, mixed, priorOf } from "./experts.js";
import { EDGES, type Law, bin, clamp, sum } from "./grid.js";
import { Past, type Whose, enclose } from "./past.js";
import { type Period, periodOf, rounded, unrounded } from "./lattice.js";
import type { Enclosure } from "./parametric.js";
import type { Tick } from "./plan.js";
import { type Observation, inOrder, isCensored, isExact, middle, spanOf } from "./ring.js";
import { MEMORIES } from "./risk.js";

/**
 * How much of its weight an expert shares out after each job, so that none is ever beyond recall: always, and on top of
 * that where the best expected the job more than this many times as much.
 */
const SHARE_MIN = 0.0005,
  SHARE = 0.05,
  AS_GOOD = 2;

/**
 * The change-point rule: when the short memory holds this much of the weight of both, and this much of all, after more
 * than this many jobs, only the latest few are kept.
 */
const CHANGE_WEIGHT = 0.995,
  CHANGE_WEIGHT_MIN = 0.2,
  CHANGE_LEAST_JOBS = 12,
  CHANGE_KEEP = 8;

/** How far around a single end the next one is expected where ends fall together, in seconds. */
const TICK_MIN = 0.02;

/** A job hangs when this expert, the long kernel of middle width, gave it no more than this to run on. */
const OVERDUE_BY = 6,
  OVERDUE = 0.02;

/** The experts' laws, and the exponent of the size that they are for. */
interface Fitted {
  slope: number;
  /** The period that something speaks for. */
  period: Period | undefined;
  /** The period that durations are taken for multiples of; the laws are of what is rounded to one. */
  roundsTo: number | undefined;
  laws: Law[];
}

/** The learner of one kind. */
export class Model {
  prior: Prior;
  /** The exponent that is not to be learned: an estimate of the remaining time scales with it by definition. */
  readonly fixedSlope: number | undefined;
  readonly past: Past;
  /** The experts' weights; they sum to 1. */
  weights: readonly number[];
  #fitted: Fitted | undefined;
  #before: Law[] | undefined;

  constructor(prior: Prior, fixedSlope?: number, ended?: Observation[], weights: readonly number[] = FIRST_WEIGHTS) {
    this.prior = prior;
    this.fixedSlope = fixedSlope;
    this.past = new Past(ended);
    this.weights = weights;
  }

  /** Moves the prior's median as long as nothing was seen; returns whether it did. */
  expect(median: number): boolean {
    if (this.past.ended.length || this.prior.lnMedian === Math.log(median)) return false;
    this.prior = priorOf(median, this.prior.scale);
    this.#fitted = undefined;
    return true;
  }

  /** The median of the durations seen; none if there were none. */
  medianSeen(): number | undefined {
    const seen = this.past.ended.flatMap((seen) => middle(seen) ?? []).sort((a, b) => a - b);
    return seen[seen.length >> 1];
  }

  /** Learns how a job ended that was followed; returns the observation if it was. */
  close(job: Observation, after: number, atMost: number): Observation | undefined {
    return this.past.forget(job) ? this.#learn(enclose(job, after, atMost)) : undefined;
  }

  /** Learns from one job that wasn't followed. */
  observe(whose: Whose, after: number, atMost: number, lnSize: number): Observation {
    return this.#learn(this.past.observation(whose, after, atMost, lnSize));
  }

  #learn(seen: Observation): Observation {
    const { laws, roundsTo, slope } = this.#fit();
    const span = spanOf(unrounded(seen, roundsTo), slope);
    // Bayes among the experts, of which those who were right share out little.
    const evidence = laws.map((law) => massOf(law, span)),
      best = Math.max(...evidence),
      weights = this.weights.map((weight, e) => weight * evidence[e]!),
      total = sum(weights);
    if (total > 0) {
      const share = (e: number): number => SHARE_MIN + SHARE * Math.max(1 - (AS_GOOD * evidence[e]!) / best, 0);
      const kept = weights.map((weight, e) => (weight / total) * (1 - share(e)));
      const shared = 1 - sum(kept);
      this.weights = kept.map((weight, e) => weight + shared * FIRST_WEIGHTS[e]!);
    }
    this.past.remember(seen);
    this.#forgetAfterAChange();
    this.#before = laws;
    this.#fitted = undefined;
    return seen;
  }

  /** Fits the experts now: at the end of a job no caller waits for an answer; at the next plan one would. */
  refit(): void {
    this.#fit();
  }

  /** The law of u = T / size^slope for the next job, where within bins ends fall together, and the slope. */
  predict(): [Law, Tick[], number] {
    const { laws, roundsTo, slope } = this.#fit();
    const law = mix(laws, this.weights);
    return roundsTo ? [...rounded(law, roundsTo), slope] : [law, this.#ticks(), slope];
  }

  /** The period to be probed: one that polls alone tell of. */
  probed(): Period | undefined {
    return this.past.ended.some(isExact) ? undefined : this.#fit().period;
  }

  /**
   * Where within their bins ends have fallen together, as far as the experts who expect exactly what was there before
   * are believed.
   */
  #ticks(): Tick[] {
    const { laws, slope } = this.#fit();
    const ends = this.past.ended.filter(isExact).map((seen) => seen.after / Math.exp(slope * seen.lnSize));
    const byBin = new Map<number, number[]>();
    for (const end of ends.filter((end) => end > EDGES[0]!).sort((a, b) => a - b)) {
      const place = bin(Math.log(end));
      byBin.set(place, [...(byBin.get(place) ?? []), end]);
    }
    return [...byBin].map(([bin, ends]) => {
      const first = ends[0]!,
        last = ends.at(-1)!;
      // The next may lie as far outside of those seen as they are from each other.
      const beyond = TICK_MIN + (last - first) / ends.length;
      const share = mixed(laws.slice(0, MEMORIES), this.weights, bin) / mixed(laws, this.weights, bin);
      return { bin, share, from: Math.max(first - beyond, EDGES[bin]!), to: Math.min(last + beyond, EDGES[bin + 1]!) };
    });
  }

  /** Fits the experts if the memory has changed. */
  #fit(): Fitted {
    if (!this.#fitted) {
      const slope = this.fixedSlope ?? slopeOf(this.past.ended);
      const period = this.fixedSlope === undefined ? periodOf(this.past.ended) : undefined;
      const roundsTo = period?.believed ? period.seconds : undefined;
      const jobs = [...this.past.ended, ...this.past.underWay].sort(inOrder);
      // Of jobs begun together the first to end are the shortest: no level to follow.
      const oldest = this.#oldestUnderWay(slope);
      const until = oldest ? jobs.indexOf(oldest) : jobs.length;
      const all = jobs.map((job) => unrounded(job, roundsTo));
      const evidence = {
        seen: all.map((job) => ({ span: spanOf(job, slope), ended: !isCensored(job) })),
        durations: all
          .slice(0, until)
          .filter(middle)
          .map((job): Enclosure => {
            const shift = slope * job.lnSize;
            return [Math.log(job.after) - shift, Math.log(job.atMost) - shift];
          }),
        exact: all.every((job) => isExact(job) || isCensored(job)),
      };
      this.#fitted = { slope, period, roundsTo, laws: fit(this.prior, evidence, this.#before) };
    }
    return this.#fitted;
  }

  /** The oldest job that may be taken to go on as jobs do, and not to hang. */
  #oldestUnderWay(slope: number): Observation | undefined {
    if (!this.#before) return undefined;
    let left = 1;
    const overdue = this.#before[OVERDUE_BY]!.findIndex((mass) => (left -= mass) < OVERDUE);
    return this.past.underWay.filter((job) => overdue < 0 || spanOf(job, slope)[0] < overdue).sort(inOrder)[0];
  }

  /** Drops the past when only the short memory can explain the present. */
  #forgetAfterAChange(): void {
    let short = 0,
      long = 0;
    for (let e = 0; e < LOGNORMAL_LANES; e += MEMORIES) {
      long += this.weights[e]!;
      short += this.weights[e + 1]!;
    }
    // Levels may know it, too; where they alone do there is no change but a drift.
    const { ended } = this.past;
    if (short <= CHANGE_WEIGHT * (short + long) || short <= CHANGE_WEIGHT_MIN || ended.length <= CHANGE_LEAST_JOBS)
      return;
    ended.splice(0, ended.length - CHANGE_KEEP);
    this.weights = this.weights.map((weight, e, all) => (e < LOGNORMAL_LANES ? 0.5 * (weight + all[e ^ 1]!) : weight));
  }
}

/** The exponent b of the size in T = u·size^b: a ridge slope of ln T on ln size, drawn towards 1. */
const slopeOf = (ended: Observation[]): number => {
  const points = ended.filter(middle).map((seen) => [seen.lnSize, Math.log(middle(seen)!)] as const);
  if (!points.length) return 1;
  const mean = (of: 0 | 1): number => sum(points.map((point) => point[of])) / points.length;
  const x0 = mean(0),
    y0 = mean(1);
  let xy = 1,
    xx = 1;
  for (const [x, y] of points) {
    xy += (x - x0) * (y - y0);
    xx += (x - x0) ** 2;
  }
  return clamp(xy / xx, 0, 1.5);
};
