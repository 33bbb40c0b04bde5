/** One job's walk along a learned plan. Times are in seconds, but at the seam to the loop of a wait. */

import type { Cursor } from "../cursor.js";
import type { Ended, Seen, Start } from "../seen.js";
import { hazard, quantile } from "./forecast.js";
import { clamp } from "./grid.js";
import { Heard, SORTS, readHint } from "./hint.js";
import { type History, hash32 } from "./history.js";
import type { Kind, Planned, Traits } from "./kind.js";
import type { Whose } from "./past.js";
import type { Poll } from "./plan.js";
import type { Terms } from "./planner.js";
import type { Observation } from "./ring.js";
import type { Settings } from "./schedule.js";

/** How far a poll may be from where it was planned, as a share of the pause, before the plan is taken up anew. */
const ON_TRACK = 0.1;

/** Floors and round trips above the least interval are rounded up to powers of this, so that plans can be shared. */
const GAP_STEP = 1.05;

/** By how much a server's account of a duration may miss what was seen and still count. */
const CLOCK_DOUBT = 0.05;

/** The greatest time that is planned with; beyond it, arithmetic stays finite. */
const GREATEST = 1e9;

const seconds = (ms: number): number => Math.min(ms / 1000, GREATEST);

/** What a plan is counted from: the job's acceptance, or an estimate. */
interface Basis {
  learner: Kind;
  traits: Traits;
  origin: number;
}

/** The plan that is being followed, which of its polls is the latest, and where jitter moved that. */
interface Track {
  planned: Planned;
  terms: Terms;
  basis: Basis;
  index: number;
  aim: number;
}

/** See the module. */
export class Walk implements Cursor {
  readonly #settings: Settings;
  readonly #history: History;
  readonly #kind: Kind;
  readonly #traits: Traits;
  readonly #start: Start;
  /** The one random number of the job, from -1 (as early as jitter may) to 1 (as late). */
  readonly #phase: number;
  readonly #hints: (Heard | undefined)[] = [];
  #track: Track | undefined;
  readonly #whose: Whose;
  /** The job among those that the kind follows; none where it isn't followed. */
  #followed: Observation | undefined;
  /** When the job was last known to run; none before the first answer. */
  #running: number | undefined;

  constructor(settings: Settings, history: History, start: Start) {
    this.#settings = settings;
    this.#history = history;
    this.#kind = history.durations(settings.kind, settings.expected);
    if (settings.typicalSize) this.#kind.countSizesFrom(settings.typicalSize);
    this.#start = start;
    const { began, features, job, random, size } = start;
    this.#traits = { size: settings.size ?? (size! > 0 && size! < Infinity ? size : undefined), features };
    this.#phase = 2 * random() - 1;
    this.#whose = {
      random: Math.floor(random() * 2 ** 32),
      second: began === undefined ? undefined : Math.floor(began / 1000),
    };
    if (job !== undefined) this.#whose.job = hash32(job);
  }

  /** Has its kind follow the job, if it has room: whatever becomes of it is learned. */
  follow(): this {
    this.#followed = this.#kind.accept(this.#whose, this.#traits);
    return this;
  }

  next(seen: Seen): number {
    const halfTrip = seconds(0.5 * seen.rtt),
      elapsed = seconds(seen.elapsed);
    // The instant that the latest answer describes.
    const now = seen.polls ? Math.max(elapsed - halfTrip, 0) : elapsed;
    if (seen.polls) {
      this.#running = now;
      if (this.#followed) this.#followed.after = Math.max(this.#followed.after, Math.fround(now));
    }
    const fresh = this.#hear(seen, now);
    const track = this.#advance(this.#terms(seen), fresh),
      poll = pollOf(track);
    // Spread evenly over the room there is, which need not be the same on both sides.
    const jitter = 0.5 * (1 + this.#phase) * (poll.earlier + poll.later) - poll.earlier;
    track.aim = track.basis.origin + poll.at + this.#settings.jitter * jitter;
    this.#track = track;
    return Math.max(track.aim - halfTrip, elapsed) * 1000;
  }

  finish(ended: Ended): void {
    const followed = this.#followed;
    this.#followed = undefined;
    if (!followed) return;
    let after = seconds(ended.after),
      atMost = ended.atMost === undefined ? Infinity : Math.max(seconds(ended.atMost), after);
    if (ended.duration !== undefined && atMost < Infinity) {
      // The server's own account counts within what was seen; one that contradicts it is by a clock gone wrong.
      const exact = seconds(ended.duration);
      if (exact >= after - CLOCK_DOUBT && exact <= atMost + CLOCK_DOUBT) after = atMost = clamp(exact, after, atMost);
    }
    if (!after && atMost === Infinity) {
      // Given up before anything was known: that says nothing.
      this.#kind.model.past.forget(followed);
      return;
    }
    for (const heard of this.#hints) heard?.learn(after, atMost, this.#kind, this.#traits, this.#whose);
    this.#kind.close(followed, after, atMost, this.#traits);
    // Of a job that hasn't ended no push was due.
    if (atMost === Infinity) return;
    if (ended.pushed !== undefined) this.#kind.pushed(ended.pushed);
    if (this.#settings.price === undefined) this.#kind.spent(ended.polls ?? 0, this.#settings.budget);
  }

  quantile(probability: number, seen: Seen): number {
    const { learner, origin, traits } = this.#basis();
    return (origin + quantile(learner.law(traits), probability, Math.max(seconds(seen.elapsed) - origin, 0))) * 1000;
  }

  hazard(seen: Seen): number {
    const { learner, origin, traits } = this.#basis();
    return hazard(learner.law(traits), Math.max(seconds(seen.elapsed) - origin, 0));
  }

  /** Takes in the hints of the latest answer; returns whether there were any. */
  #hear(seen: Seen, now: number): boolean {
    let fresh = false;
    SORTS.forEach((sort, i) => {
      const estimate = readHint(sort, seen, now);
      if (!estimate) return;
      fresh = true;
      const heard = this.#hints[i];
      if (heard) heard.hear(estimate, this.#start.random());
      else this.#hints[i] = new Heard(this.#history, this.#settings.kind, sort, estimate);
    });
    return fresh;
  }

  /** The learner to believe, the best of those that have something to say, and what this job is in its eyes. */
  #basis(): Basis {
    let best: Basis = { learner: this.#kind, traits: this.#traits, origin: 0 },
      most = 0,
      open = true;
    for (const heard of this.#hints) {
      if (!heard) continue;
      const { learner, latest } = heard,
        { advantage } = learner.memory;
      // A hint that was never checked is preferred to none, and the better of two hints to the other.
      if (advantage > most || (open && advantage >= most)) {
        best = { learner, traits: { size: latest.seconds }, origin: latest.at };
        most = advantage;
        open = false;
      }
    }
    return best;
  }

  #terms({ elapsed, notBefore = 0, rtt }: Seen): Terms {
    const { price = Math.exp(this.#kind.memory.lnPrice), least } = this.#settings,
      { push = "none" } = this.#start;
    const wanted = Math.max(seconds(notBefore - elapsed), seconds(rtt));
    const gap = wanted > least ? least * GAP_STEP ** Math.ceil(Math.log(wanted / least) / Math.log(GAP_STEP)) : least;
    const loss = push === "none" ? 1 : push === "expected" ? this.#kind.loss() : push;
    // Below a thousandth a plan would trust the push for hours.
    return { price, gap, loss: clamp(loss, 1e-3, 1) || 1 };
  }

  /** The next planned poll: of the plan at hand if it still holds and was kept, else of a new one. */
  #advance(terms: Terms, fresh: boolean): Track {
    // Before the first answer nothing is known to run, however late the wait began.
    const now = this.#running ?? 0,
      track = this.#track;
    let from = now;
    if (
      track &&
      !fresh &&
      track.terms.price === terms.price &&
      track.terms.gap === terms.gap &&
      track.terms.loss === terms.loss &&
      track.planned.version === track.basis.learner.version &&
      Math.abs(now - track.aim) <= ON_TRACK * pollOf(track).pause
    ) {
      if (track.planned.path[track.index + 1]) return { ...track, index: track.index + 1 };
      from = track.basis.origin + pollOf(track).at;
    }
    const basis = this.#basis();
    const planned = basis.learner.plan(
      terms,
      basis.traits,
      Math.max(from - basis.origin, 0),
      this.#settings.greatest,
      0.5 * (1 - this.#phase),
    );
    return { planned, terms, basis, index: 0, aim: 0 };
  }
}

const pollOf = ({ planned, index }: Track): Poll => planned.path[index]!;
