/**
 * What features make of a job's duration.
 *
 * Each value of a text, and each number by its logarithm, has an effect on ln T, and effects add up. They are learned
 * one job after the other, as a Kalman filter does that takes them for independent. What may be chance is believed to
 * be: an effect counts by as much as it exceeds its own uncertainty. Numbers that are kept are in single precision.
 */

import { clamp, real, round, sum } from "./grid.js";
import type { Past } from "./past.js";
import { type Observation, middle } from "./ring.js";

/** How many effects are remembered; the one that was needed longest ago makes room. And how many ends are labeled. */
const EFFECTS_MAX = 64,
  LABELS_MAX = 64;

/** The key of what all jobs have in common, which is no part of their size. */
const COMMON = 0;

/** How uncertain an effect is at first, as a variance of ln T: that of what is common, and that of a feature. */
const COMMON_VARIANCE = 4,
  VARIANCE = 0.25;

/** The variance of ln T that no feature explains: at first, and at least; and how fast the past fades from it. */
const NOISE = 0.1,
  NOISE_MIN = 1e-6,
  NOISE_FADE = 0.97;

/** What an effect may drift from one of its jobs to the next, as a share of that variance. */
const DRIFT = 4e-4;

/** No end counts as farther from what was expected than that many standard deviations. */
const SURPRISE_MAX = 3;

/** How many times its variance the square of an effect must exceed to be believed at all. */
const DOUBT = 2;

/** By how much all effects together must have told ends better than one mean of all jobs, in nats. */
const TRUSTED = 3;

/** A variance of ln T that matters to no plan. */
const FINE = 2.5e-5;

/** How often the mean of all jobs is moved to where it is outside of the fewest enclosures. */
const ROUNDS = 8;

/** The greatest width of an enclosure in ln T that counts, and the greatest sum of effects: a factor of a thousand. */
const WIDTH_MAX = 2,
  SUM_MAX = 7;

/** What tells a feature from others, and the logarithm of a number; none for a text. */
export interface Feature {
  key: number;
  ln?: number | undefined;
}

/** The effect of one feature. `center` is the logarithm of a number that has no effect. */
interface Effect {
  key: number;
  center: number;
  mean: number;
  variance: number;
}

/** The features of a job that has ended, and the logarithm of its relative size without them. */
interface Label {
  second: number;
  key: number;
  lnSize: number;
  features: readonly Feature[];
}

const fround = Math.fround;

const isSame = (label: Label, job: Observation): boolean => label.second === job.second && label.key === job.key;

/** What of the mean is no chance. */
const believed = ({ mean, variance }: Effect): number =>
  mean && mean * Math.max(1 - (DOUBT * variance) / (mean * mean), 0);

/** How much there is of the feature. */
const amount = ({ center }: Effect, { ln }: Feature): number => (ln === undefined ? 1 : fround(ln - center));

/** See the module. */
export class Effects {
  /** Those that were needed last are at the end. */
  #table: Effect[] = [];
  #noise: number;
  #labels: Label[] = [];
  /** Whether they have told ends better than one mean of all jobs. */
  #trusted = false;

  /** What lines of a record say: effects `[key, center, mean, variance]`, labels `[second, key, lnSize, features]`. */
  constructor(lines: readonly string[], past: Past, noise: number = NOISE) {
    this.#noise = noise;
    const small = (number: unknown): boolean => typeof number === "number" && Math.abs(number) < 1e3;
    for (const line of lines) {
      const [one, two, three, four] = JSON.parse(line);
      if (Array.isArray(four)) {
        if (!small(three) || !four.every(Array.isArray)) continue;
        const features = four.map(([key, ln]) => ({ key, ln: ln === null ? undefined : fround(ln) }));
        this.#labels.push({ second: one, key: two, lnSize: fround(three), features });
      } else if ([two, three, four].every(small) && four > 0) {
        this.#table.push({ key: one, center: fround(two), mean: fround(three), variance: fround(four) });
      }
    }
    this.#table = this.#table.slice(-EFFECTS_MAX);
    this.#labels = this.#labels.slice(-LABELS_MAX);
    this.#judge(past);
  }

  /** The variance of ln T that no feature explains; none where nothing was learned. */
  get noise(): number | undefined {
    return this.#noise === NOISE ? undefined : round(this.#noise, 1e7);
  }

  /** By how much a job of these features takes longer than others, in ln T. */
  sum(features: readonly Feature[]): number {
    return this.#trusted ? this.#all(features) : 0;
  }

  /** The same, trusted or not. */
  #all(features: readonly Feature[]): number {
    const effects = features.map((feature) => {
      const effect = this.#table.find(({ key }) => key === feature.key);
      return effect ? believed(effect) * amount(effect, feature) : 0;
    });
    return clamp(sum(effects), -SUM_MAX, SUM_MAX);
  }

  /** Learns from a job of which the end was seen, of that relative size without its features, and sizes the past anew. */
  learn(features: readonly Feature[], lnSize: number, seen: Observation, past: Past): void {
    const at = middle(seen);
    if (!at) return;
    const width = Math.min(Math.log(fround(seen.atMost / seen.after)), WIDTH_MAX);
    this.#update(features, Math.log(at) - lnSize, (width * width) / 12);
    this.#labels.push({ second: seen.second, key: seen.key, lnSize: fround(lnSize), features });
    this.#labels = this.#labels.slice(-LABELS_MAX);
    this.#judge(past);
    for (const job of past.ended) {
      const label = this.#labels.find((label) => isSame(label, job));
      if (label) job.lnSize = fround(label.lnSize + fround(this.sum(label.features)));
    }
  }

  /**
   * Finds out whether effects have told the ends that are remembered better than one mean of all jobs. An end seen by
   * polls alone is told by whatever lies in its enclosure, so polls that straddle one instant speak for no effect.
   */
  #judge({ ended }: Past): void {
    const told = this.#labels.flatMap((label) => {
      const seen = ended.find((seen) => isSame(label, seen));
      if (!seen) return [];
      const high = Math.log(seen.atMost) - label.lnSize;
      return [
        [Math.max(Math.log(seen.after) - label.lnSize, high - WIDTH_MAX), high, this.#all(label.features)] as const,
      ];
    });
    const mean = (numbers: number[]): number => sum(numbers) / told.length;
    // What is left of the variance around the best mean, with or without effects.
    const left = (share: number): number => {
      const ends = told.map(([low, high, effect]) => [low - share * effect, high - share * effect] as const);
      let middle = mean(ends.map(([low, high]) => 0.5 * (low + high)));
      for (let round = ROUNDS; round--;) middle = mean(ends.map(([low, high]) => clamp(middle, low, high)));
      return mean(ends.map(([low, high]) => (clamp(middle, low, high) - middle) ** 2)) + FINE;
    };
    this.#trusted = 0.5 * told.length * Math.log(left(0) / left(1)) > TRUSTED;
  }

  /** What to add to a record about these jobs. */
  lines(jobs: readonly Observation[]): string[] {
    const labels = this.#labels.filter((label) => jobs.some((job) => isSame(label, job))),
      keys = new Set(labels.flatMap(({ features }) => features.map(({ key }) => key)));
    if (labels.length) keys.add(COMMON);
    const effects = this.#table.filter(({ key }) => keys.has(key));
    return [
      ...effects.map(({ center, key, mean, variance }) => {
        const numbers = [round(center), round(mean, 1e5), Math.max(round(variance, 1e8), 1e-8)];
        return `[${key},${numbers.map(real).join(",")}]`;
      }),
      ...labels.map(({ features, key, lnSize, second }) => {
        const each = features.map(({ key, ln }) => `[${key},${ln === undefined ? null : real(round(ln, 1e5))}]`);
        return `[${second},${key},${real(round(lnSize))},[${each.join(",")}]]`;
      }),
    ];
  }

  /** `blur` is the variance of what was seen. */
  #update(features: readonly Feature[], lnDuration: number, blur: number): void {
    const own = [{ key: COMMON } as Feature, ...features].map((feature) => {
      const known = this.#table.findIndex(({ key }) => key === feature.key);
      const effect =
        known < 0
          ? {
              key: feature.key,
              center: feature.ln ?? 0,
              mean: 0,
              variance: feature.key === COMMON ? COMMON_VARIANCE : VARIANCE,
            }
          : this.#table.splice(known, 1)[0]!;
      return { effect, x: amount(effect, feature) };
    });
    const common = own[0]!.effect;
    if (common.variance === COMMON_VARIANCE) common.mean = fround(lnDuration);
    const expected = sum(own.map(({ effect, x }) => effect.mean * x)),
      variance = this.#noise + blur + sum(own.map(({ effect, x }) => effect.variance * x * x)),
      limit = SURPRISE_MAX * Math.sqrt(variance),
      off = clamp(lnDuration - expected, -limit, limit);
    for (const { effect, x } of own) {
      const gain = (effect.variance * x) / variance;
      effect.mean = fround(effect.mean + fround(gain * off));
      effect.variance = fround(effect.variance * (1 - gain * x) + DRIFT * this.#noise);
    }
    // What was off is noise by as much as noise was expected to be part of it.
    const noise = (off * off * this.#noise) / variance;
    this.#noise = Math.max(NOISE_FADE * this.#noise + (1 - NOISE_FADE) * noise, NOISE_MIN);
    this.#table.push(...own.map(({ effect }) => effect));
    this.#table = this.#table.slice(-EFFECTS_MAX);
  }
}
