/** One learner, shared by every wait for jobs of its kind. Times are in seconds. */

import { priorOf } from "./experts.js";
import type { Features } from "../feature.js";
import type { Effects } from "./effects.js";
import { endedBy } from "./forecast.js";
import { type Law, STEP, clamp, shift } from "./grid.js";
import { type Period, rounded } from "./lattice.js";
import { Model } from "./model.js";
import type { Whose } from "./past.js";
import { type Path, Plan, type Tick } from "./plan.js";
import type { Terms } from "./planner.js";
import { type Observation, RING } from "./ring.js";

/** How many plans of one state are kept for sharing: a few prices times a few floors. */
const SHARED_PLANS = 8;

/** The price that a budget starts from, in seconds of delay per request. */
const FIRST_PRICE = 0.5;

/** How fast a budget's price follows the polls spent, and how far it may go. */
const PRICE_STEP = 0.15,
  PRICE_SPAN = 9;

/** How fast the share of lost pushes and the comparison of learners forget. */
const COUNT_FADE = 0.99,
  SCORE_FADE = 0.9;

/** The most that one job may say for or against a learner, in nats. */
const SCORE_MAX = 3;

/** What is believed of pushes that come at all before any was counted. */
const PRIOR_LOST = 0.5,
  PRIOR_PUSHES = 10;

/** A job that runs although this share of its kind would have ended makes room for another to be followed. */
const OVERDUE = 0.99;

/** How likely a way that pushes come by breaks from one job to the next. */
const BREAK = 0.002;

/** What a kind remembers beside its durations. */
export interface Memory {
  /** The size that counts as 1: the first one seen. */
  reference?: number | undefined;
  /** ln of the price by which a budget is kept. */
  lnPrice: number;
  /** How many pushes were lost, and expected, while they came at all; both fade. */
  lost: number;
  pushes: number;
  /** How likely pushes don't come at all; 1 until the first one has come. */
  silent: number;
  /** By how much this learner has lately predicted better than the plain one, in nats per job. */
  advantage: number;
}

/** What is known of a job beforehand. */
export interface Traits {
  size?: number | undefined;
  features?: Features | undefined;
}

/** What is remembered of a kind that was never seen. */
export const noMemory = (): Memory => ({ lnPrice: Math.log(FIRST_PRICE), lost: 0, pushes: 0, silent: 1, advantage: 0 });

/** The next polls of a plan, and the version of the learner that it was made from. */
export interface Planned {
  version: number;
  path: Path;
}

/** What is expected, and the plans for it. */
interface Outlook {
  law: Law;
  ticks: Tick[];
  slope: number;
  /** The period that scouts probe. */
  probed: Period | undefined;
  plans: Plan[];
}

/** The learner of one kind of job, or of one kind of hint about such jobs. */
export class Kind {
  readonly model: Model;
  readonly memory: Memory;
  /** How often the learner has changed. */
  version = 0;
  /** The version that was last saved. */
  saved = 0;
  /** What was learned since then. */
  unsaved: Observation[] = [];
  /** What was learned of features, once a job had any; until then, what a record says of them. */
  effects: Effects | undefined;
  others: readonly string[] = [];
  noise: number | undefined;
  /** Made from the model when first needed. */
  #outlook: Outlook | undefined;

  constructor(model: Model, memory: Memory) {
    this.model = model;
    this.memory = memory;
  }

  /** A learner of durations that has seen nothing. */
  static ofDurations(median: number): Kind {
    return new Kind(new Model(priorOf(median, 1)), noMemory());
  }

  /** A learner of how estimates of `reference` seconds turn out; such durations scale with the estimate. */
  static ofEstimates(reference: number, scale: number): Kind {
    return new Kind(new Model(priorOf(reference, scale), 1), { ...noMemory(), reference });
  }

  /**
   * The best polls for such a job after a look in vain at `from`, at most `greatest` seconds apart. Jobs of the least
   * `rank`, from 0 to 1, are the first to be scouts.
   */
  plan(terms: Terms, traits: Traits, from: number, greatest: number, rank: number): Planned {
    const { version } = this,
      bins = this.#bins(this.#lnSize(traits)),
      { law, plans, probed, ticks } = this.#look();
    if (!bins && probed && rank < probed.scouts) {
      const plan = new Plan(...rounded(law, probed.seconds), terms);
      return { version, path: plan.path(from, greatest, true) };
    }
    let plan = bins
      ? new Plan(shift(law, bins), [], terms)
      : plans.find(
          ({ terms: { price, gap, loss } }) => price === terms.price && gap === terms.gap && loss === terms.loss,
        );
    if (!plan) {
      plan = new Plan(law, ticks, terms);
      plans.splice(0, plans.length - SHARED_PLANS + 1);
      plans.push(plan);
    }
    return { version, path: plan.path(from, greatest, false) };
  }

  /** The law of such a job. */
  law(traits: Traits): Law {
    const bins = this.#bins(this.#lnSize(traits)),
      { law } = this.#look();
    return bins ? shift(law, bins) : law;
  }

  /** Follows a job from its acceptance. */
  accept(whose: Whose, traits: Traits): Observation | undefined {
    const lnSize = this.#lnSize(traits, true),
      { past } = this.model,
      job = past.inTheWay();
    if (job && endedBy(this.#look().law, job.after / Math.exp(this.#bins(job.lnSize) * STEP)) > OVERDUE) {
      this.close(job, job.after, Infinity, {});
    }
    return past.accept(whose, lnSize);
  }

  /** Learns from a job that was followed: it ended within `(after, atMost]` seconds. */
  close(job: Observation, after: number, atMost: number, traits: Traits): void {
    this.#learned(this.model.close(job, after, atMost), traits);
  }

  /** Learns from one such job that wasn't followed. */
  observe(whose: Whose, after: number, atMost: number, traits: Traits = {}): void {
    this.#learned(this.model.observe(whose, after, atMost, this.#lnSize(traits, true)), traits);
  }

  #learned(seen: Observation | undefined, { features, size }: Traits): void {
    if (!seen) return;
    features?.of(this).learn(features.list, this.#lnSize({ size }, true), seen, this.model.past);
    this.model.refit();
    this.unsaved = [...this.unsaved.slice(1 - RING), seen];
    this.#changed();
  }

  /** Replaces the prior's median, as long as nothing was seen. */
  expect(median: number): void {
    if (this.model.expect(median)) this.#changed();
  }

  /** Says which size counts as 1, as long as none was seen. */
  countSizesFrom(size: number): void {
    if (this.memory.reference !== undefined) return;
    this.memory.reference = size;
    this.#changed();
  }

  /** Moves the price after a job that spent `polls` where `budget` were meant. */
  spent(polls: number, budget: number): void {
    const first = Math.log(FIRST_PRICE);
    // One absurd job may not move the price by more than a factor of e.
    const moved = this.memory.lnPrice + Math.min((PRICE_STEP * (polls - budget)) / budget, 1);
    this.memory.lnPrice = clamp(moved, first - PRICE_SPAN, first + PRICE_SPAN);
    this.#changed();
  }

  /** How likely the next push is lost: because none comes, or as some of those that come are. */
  loss(): number {
    return this.memory.silent + (1 - this.memory.silent) * this.#shareLost();
  }

  #shareLost(): number {
    return (this.memory.lost + PRIOR_LOST) / (this.memory.pushes + PRIOR_PUSHES);
  }

  /** Counts an expected push, by Bayes' rule over the two explanations of a lost one: this one was, or none comes. */
  pushed(came: boolean): void {
    const { memory } = this;
    let counted = 1;
    if (came) memory.silent = 0;
    else if (memory.silent) {
      memory.silent /= memory.silent + (1 - memory.silent) * this.#shareLost();
      counted = 1 - memory.silent;
    }
    memory.lost = COUNT_FADE * memory.lost + (came ? 0 : counted);
    memory.pushes = COUNT_FADE * memory.pushes + counted;
    memory.silent += BREAK * (1 - memory.silent);
    this.#changed();
  }

  /** Counts by how much it predicted the latest job better, in nats. */
  compared(nats: number): void {
    if (Number.isNaN(nats)) return;
    this.memory.advantage = SCORE_FADE * this.memory.advantage + (1 - SCORE_FADE) * clamp(nats, -SCORE_MAX, SCORE_MAX);
    this.#changed();
  }

  #changed(): void {
    this.#outlook = undefined;
    this.version++;
  }

  #look(): Outlook {
    if (!this.#outlook) {
      const [law, ticks, slope] = this.model.predict();
      this.#outlook = { law, ticks, slope, probed: this.model.probed(), plans: [] };
    }
    return this.#outlook;
  }

  /** By how many bins the law of a job of this size is shifted. */
  #bins(lnSize: number): number {
    return lnSize && (this.#look().slope * lnSize) / STEP;
  }

  /** The logarithm of the job's relative size, as its features make it; the first size counts as 1 if it `counts`. */
  #lnSize({ features, size }: Traits, counts?: boolean): number {
    if (counts) this.memory.reference ??= size;
    const own = Math.log((size ?? 1) / ((size && this.memory.reference) ?? size ?? 1));
    return own + (features ? features.of(this).sum(features.list) : 0);
  }
}

/** How likely a law found it that the job ended within `(after, atMost]`, knowing that it ran at `now`; in nats. */
export const logScore = (law: Law, now: number, after: number, atMost: number): number => {
  const until = atMost < Infinity ? endedBy(law, atMost) : 1;
  const left = 1 - endedBy(law, now),
    within = until - endedBy(law, Math.max(after, now));
  // The floors keep an impossible end finite; the prior makes them rare.
  return Math.log(Math.max(within, 1e-12) / Math.max(left, 1e-12));
};
