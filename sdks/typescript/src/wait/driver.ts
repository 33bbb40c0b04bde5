/**
 * The one loop of every wait.
 *
 * The plan of a strategy says what to do next; the loop does it, through a target, under the deadline and the retry
 * policy, and asks the plan again. `step` returns whenever there is news, before anything sleeps again, so that a wait,
 * a stream of updates and a set are the same loop for different callers. The moves that only our server knows (held
 * requests, streams, pushes) are in `moves.ts`, so that a wait that merely looks doesn't carry them.
 */

import { Account } from "../budget.js";
import { type Facts, StillRunning, UsageError } from "../error.js";
import { Failure, tooSlow } from "../failure.js";
import type { Subscription } from "../inbox.js";
import type { Surroundings } from "../origin.js";
import type { Channel, Report } from "../report.js";
import type { RetryPolicy } from "../retry.js";
import { AWAKE, LATE, before, overslept, sleepUntil } from "../rt/clock.js";
import { PAUSE_MIN } from "../schedule/pacer.js";
import type { Ended } from "../schedule/seen.js";
import type { Move, Observed, Plan } from "../strategy/plan.js";
import type { Answer, Target } from "../target/target.js";
import type { Job } from "../wire.js";
import { type Deadline, GRACE, lookAt } from "./deadline.js";
import { Trouble } from "./trouble.js";

/** A wait that was given up sooner than this before its deadline hasn't used the time that it was given, in ms. */
const PROMPT = 50;

/** The most warnings of a wait: a server may say another word each time. */
const WARNINGS_MAX = 16;

/** How a wait is made. */
export interface Terms<V> {
  target: Target<V>;
  origin: Surroundings;
  plan: Plan;
  /** How to begin again once the kind of the job is known; none where it is. */
  replan?: ((view: V) => Plan) | undefined;
  strategy: string;
  inbox?: Subscription | undefined;
  retry: RetryPolicy;
  attemptTimeout: number;
  deadline: number | undefined;
  /** When the job was accepted, if this process was there; when, as an earlier process noted it; and its revision. */
  accepted?: number | undefined;
  noted?: number | undefined;
  revision?: number | undefined;
  /** What a failure means where that isn't what it says. */
  meant?: (failure: Failure) => Failure;
  signal: AbortSignal | undefined;
  /** The moves beyond asking and pausing. */
  moves?: Moves<V>;
}

/** News of what is waited for: a change, or the end. */
export interface Step<V> {
  view: V;
  ended: boolean;
}

/** What a move has come to: news or the end, if any. */
export type Moved<V> = Promise<Step<V> | undefined>;

/** Makes one sort of move. */
export type Moves<V> = { [M in Move["move"]]?: (driver: Driver<V>, move: Extract<Move, { move: M }>) => Moved<V> };

/** A wait under way. */
export class Driver<V> {
  readonly terms: Terms<V>;
  readonly origin: Surroundings;
  #plan: Plan;
  #replan: ((view: V) => Plan) | undefined;
  readonly account: Account = new Account();
  readonly deadline: Deadline;
  /** What the plan is told. */
  readonly seen: Observed;
  /** What the wait came to, if there was still news to tell before it. */
  parting: unknown;
  /** What was not understood. */
  readonly warnings: string[] = [];
  /** Closes what is open. */
  closing: () => void = () => {};
  /** Told that a look brought news. */
  looked: () => void = () => {};
  #trouble = new Trouble();
  /** How many requests failed in all. */
  #failures = 0;
  #last: V | undefined;
  accepted: number;
  /** When the server last answered anything, and whether that was no news. */
  answeredAt: number | undefined;
  #stale = false;
  /** The last instant, since acceptance, at which the job was surely running. */
  #notYet = 0;
  #channel: Channel | undefined;
  #detection: number | undefined;
  #finished = false;

  constructor(terms: Terms<V>) {
    this.terms = terms;
    this.origin = terms.origin;
    this.#plan = terms.plan;
    this.#replan = terms.replan;
    const begun = this.now();
    this.deadline = { at: terms.deadline, begun, looked: false };
    this.accepted = terms.accepted ?? terms.noted ?? begun;
    this.seen = {
      time: { elapsed: 0, rtt: 100, polls: 0 },
      happened: "began",
      ageKnown: terms.accepted !== undefined,
      revision: terms.revision,
      abilities: { hold: "no", holdMax: 0, stream: "no" },
    };
  }

  /** Goes on until there is news. Not to be called again after an end or an error. */
  async step(): Promise<Step<V>> {
    if (this.parting) throw this.parting;
    for (;;) {
      const step = await this.#move();
      if (step) return step;
    }
  }

  /** Gives up what is open, and tells the plan that the wait was given up unless it knows of an end. */
  close(): void {
    this.#finish({ after: this.#notYet });
    this.closing();
    this.terms.inbox?.close();
  }

  /** What it has cost so far. */
  report(): Report {
    return {
      requests: this.account.requests,
      requestsShare: this.account.share,
      failures: this.#failures,
      bytesReceived: this.account.received,
      channel: this.#channel,
      strategy: this.terms.strategy,
      elapsedMs: this.now() - this.deadline.begun,
      detectionMs: this.#detection,
      rttMs: this.origin.rtt.smoothed,
      warnings: this.warnings,
    };
  }

  /** Notes what was not understood, once. */
  warn(warning: string): void {
    if (this.warnings.length < WARNINGS_MAX && !this.warnings.includes(warning)) this.warnings.push(warning);
  }

  now(): number {
    return this.origin.clock.now();
  }

  /** That instant, or the last look if it comes first. */
  bounded(at: number): number {
    return Math.min(at, this.lookAt());
  }

  lookAt(): number {
    return lookAt(this.deadline, this.origin.rtt);
  }

  async #move(): Moved<V> {
    const now = this.now(),
      {
        seen,
        origin: { memory, rtt },
      } = this;
    if (now >= this.lookAt()) return this.#lastLook();
    if (this.#last !== undefined && this.#beginAgain(this.#last)) seen.happened = "began";
    seen.time.elapsed = now - this.accepted;
    seen.time.rtt = rtt.smoothed ?? seen.time.rtt;
    if (memory) seen.abilities = memory.abilities(now);
    const move = this.#plan.next(seen);
    if (move.move === "pause") {
      await this.pause(move.until);
      return undefined;
    }
    // Nothing is claimed of a job that hasn't been read.
    if (move.move === "ask" || (move.move === "stop" && this.answeredAt === undefined)) return this.#ask();
    if (move.move === "stop") throw this.#stillRunning("the schedule's attempts were used up", false);
    const make = this.terms.moves?.[move.move] as ((driver: this, move: Move) => Moved<V>) | undefined;
    if (!make) throw new UsageError(`nothing here can do what the strategy wants: ${move.move}`);
    return make(this, move);
  }

  /** Begins the plan again with what is known of the job's kind: what is learned of one kind says nothing of another. */
  #beginAgain(view: V): boolean {
    const replan = this.#replan;
    this.#replan = undefined;
    if (!replan) return false;
    this.#plan.finish({ after: 0 });
    this.#plan = replan(view);
    return true;
  }

  /** Does nothing until that instant since acceptance. */
  async pause(until: number): Promise<void> {
    // A plan that asks for pauses in the past must not become a busy loop.
    const least = this.seen.happened === "paused" ? this.now() + PAUSE_MIN : 0;
    await this.sleep(Math.max(this.accepted + until, least));
    this.seen.happened = "paused";
  }

  /** Sleeps until that instant, or the last look if it comes first. */
  sleep(at: number): Promise<unknown> {
    return sleepUntil(this.origin.clock, this.bounded(at), this.terms.signal);
  }

  /** Leaves the server alone for a moment after it had nothing new to say. */
  async turnAround(): Promise<void> {
    if (this.#stale && this.now() < this.answeredAt! + PAUSE_MIN) await this.sleep(this.answeredAt! + PAUSE_MIN);
  }

  /** How many turns at the request budget this wait gets in proportion to others. */
  weight(): number {
    // Without an opinion of the schedule's: of jobs that have run for long few end in the next second.
    const hazard = this.#plan.hazard(this.seen) ?? 1 / (1 + this.seen.time.elapsed / 1000);
    return Math.sqrt(Math.max(hazard, 0));
  }

  /** The terms of an exchange that may take that long. */
  exchange(
    signal: AbortSignal | undefined,
    weight: number | undefined,
    limit: number,
  ): Parameters<Target<V>["ask"]>[0] {
    return { account: this.account, limit, weight, signal };
  }

  /** Looks, until `cut` or the end in the inbox: then that job is the answer. */
  async #look(cut: number, limit: number, weight: number | undefined): Promise<Answer<V> | Job | typeof LATE> {
    const { inbox, signal, target } = this.terms;
    const look = (signal: AbortSignal): Promise<Answer<V> | typeof LATE> =>
      before(this.origin.clock, cut, signal, (signal) => target.ask(this.exchange(signal, weight, limit)));
    return inbox ? inbox.unlessEnded(this.origin.clock, signal, look) : look(signal!);
  }

  async #ask(): Moved<V> {
    await this.turnAround();
    const sent = this.now(),
      at = this.lookAt();
    // A look that is merely slow is the last look itself; one that is stuck gives way to another.
    const slow = this.answeredAt === undefined || at - sent < 4 * this.seen.time.rtt;
    const cut = slow ? (this.deadline.at ?? Infinity) + GRACE : at;
    try {
      const answer = await this.#look(cut, this.terms.attemptTimeout, this.weight());
      if (answer === LATE) {
        // Cut where it was the last look itself: there won't be another.
        if (!slow || overslept(cut, this.now())) return undefined;
        this.#failures++;
        throw this.#tooLate(tooSlow(cut - sent));
      }
      if (!("channel" in answer)) return this.told(answer);
      const step = this.#answered(answer, sent);
      if (step) this.looked();
      return step;
    } catch (failure) {
      return this.fail(failure, sent);
    }
  }

  #answered(answer: Answer<V>, sent: number): Step<V> | undefined {
    this.seen.happened = "answered";
    if (!answer.done) this.seen.time.polls++;
    return this.absorb(answer, (sent + this.now()) / 2);
  }

  /** Takes in what the inbox was told. */
  told(job: Job): Step<V> | undefined {
    this.seen.happened = "pushed";
    const answer = this.terms.target.pushed?.(job);
    return answer && this.absorb(answer, this.now());
  }

  /** Whether an answer tells something new. */
  isNews({ view, revision }: Answer<V>): boolean {
    return view !== undefined && revision !== undefined && revision > (this.seen.revision ?? -1);
  }

  /** Takes in an answer that shows the state of the instant `at`. */
  absorb(answer: Answer<V>, at: number): Step<V> | undefined {
    const now = this.now(),
      { seen } = this,
      { time } = seen;
    this.origin.retryBudget.deposit();
    this.#trouble = new Trouble();
    this.answeredAt = now;
    if (!seen.ageKnown && answer.acceptedFor !== undefined) {
      this.accepted = Math.min(now - answer.acceptedFor, this.deadline.begun);
      seen.ageKnown = true;
    }
    const sampled = Math.max(at - this.accepted, 0);
    if (answer.done) {
      this.#channel = answer.channel;
      // An end is never older than the last "not yet", whatever the clocks say.
      const bound = this.#notYet ? now - this.accepted - this.#notYet : Infinity;
      this.#detection = answer.age === undefined ? undefined : Math.min(answer.age, bound);
      this.#last = answer.view;
      // What is learned is learned of the right kind.
      if (this.#replan && this.origin.memory?.learnsLate(now)) this.#beginAgain(answer.view!);
      this.#finish({ after: this.#notYet, atMost: sampled, duration: answer.duration });
      return { view: answer.view!, ended: true };
    }
    this.#notYet = Math.max(this.#notYet, sampled);
    const { hint } = answer;
    time.notBefore = hint! >= 0 ? now - this.accepted + this.terms.retry.floor(hint!, this.origin.random()) : undefined;
    time.remaining = answer.remaining;
    time.progress = answer.progress;
    this.#stale = !this.isNews(answer);
    if (this.#stale) return undefined;
    seen.revision = answer.revision;
    this.#channel = answer.channel;
    this.#last = answer.view;
    return { view: answer.view!, ended: false };
  }

  /** What a failure means. Anything else than a failure is thrown on. */
  #meant(error: unknown): Failure {
    if (!(error instanceof Failure)) throw error;
    return this.terms.meant?.(error) ?? error;
  }

  /** Meets a failure: gives up, or pauses as the retry policy wants. Anything else than a failure is thrown on. */
  async fail(error: unknown, sent: number): Moved<V> {
    const failure = this.#meant(error);
    if (!failure.transient) throw this.#giveUp((facts) => failure.intoError(facts));
    const now = this.now(),
      { inbox, retry, signal } = this.terms,
      { hint } = failure.details,
      { clock, random, retryBudget } = this.origin;
    this.#stale = false;
    const pause = this.#trouble.meet(failure, retry, sent, now, random(), () => retryBudget.withdraw());
    this.#failures++;
    // A server that wants to be left alone beyond the deadline will not answer before it.
    if (pause === undefined || (hint !== undefined && now + retry.floor(hint, 0) >= this.deadline.at!)) {
      throw this.#giveUp((facts) => failure.intoError(facts));
    }
    const due = this.bounded(now + pause);
    const sleep = (signal: AbortSignal | undefined): Promise<unknown> => sleepUntil(clock, due, signal);
    const job = inbox ? await inbox.unlessEnded(clock, signal, sleep) : await sleep(signal);
    if (job && job !== LATE) return this.told(job as Job);
    this.#trouble.paused(due, this.now());
    this.seen.happened = "failed";
    return undefined;
  }

  /**
   * The look at the deadline. An end that it shows is a result; a prompt answer leaves time for another look. A process
   * that slept past its deadline takes this look when it wakes up, with time to look.
   */
  async #lastLook(): Moved<V> {
    const deadline = this.deadline.at!;
    if (this.#hasLooked()) {
      if (this.#mayLookAgain()) return undefined;
      throw this.#stillRunning();
    }
    for (;;) {
      const sent = this.now(),
        slept = sent > deadline + GRACE;
      const cut = Math.max(sent, deadline) + (slept ? AWAKE : GRACE);
      let failure: Failure;
      try {
        const answer = await this.#look(cut, cut - sent, undefined);
        if (answer === LATE) throw tooSlow(cut - sent);
        return "channel" in answer ? this.#lookedLast(answer, sent) : this.told(answer);
      } catch (error) {
        failure = this.#meant(error);
      }
      this.#failures++;
      if (!failure.transient) throw this.#giveUp((facts) => failure.intoError(facts));
      const left = deadline - this.now(),
        { timedOut } = failure.details;
      if (slept && timedOut && this.answeredAt !== undefined) {
        throw this.#stillRunning("still running when it was last seen, before the deadline passed");
      }
      if (left < PROMPT || timedOut) throw this.#tooLate(failure);
      await sleepUntil(this.origin.clock, this.now() + left / 2, this.terms.signal);
    }
  }

  #lookedLast(answer: Answer<V>, sent: number): Step<V> | undefined {
    const step = this.#answered(answer, sent);
    if (step?.ended) return step;
    if (this.#mayLookAgain()) return step;
    this.parting = this.#stillRunning();
    if (!step) throw this.parting;
    return step;
  }

  /** Whether there is time for a look that is closer to the deadline than the one that was just answered. */
  #mayLookAgain(): boolean {
    const first = !this.deadline.looked;
    this.deadline.looked = true;
    return first && this.lookAt() > this.now() + PAUSE_MIN;
  }

  /** Whether the job was seen running so shortly before the deadline that the answer was that of the last look. */
  #hasLooked(): boolean {
    return this.answeredAt !== undefined && this.accepted + this.#notYet >= this.lookAt();
  }

  /** What a wait comes to whose last look failed when there was no time left for another one. */
  #tooLate(failure: Failure): unknown {
    if (this.deadline.looked || this.#hasLooked()) return this.#stillRunning();
    // That there was no time left for an answer says less than the answers before it.
    const told = (failure.details.timedOut && this.#trouble.latest) || failure;
    return this.#giveUp((facts) => told.intoError({ ...facts, timedOut: true }));
  }

  #stillRunning(what = "still running at the deadline", timedOut = true): unknown {
    const elapsed = ((this.now() - this.deadline.begun) / 1000).toFixed(1);
    return this.#giveUp((facts) => new StillRunning(`${what}, after ${elapsed} s`, { ...facts, timedOut }));
  }

  #giveUp(error: (facts: Facts) => unknown): unknown {
    this.#finish({ after: this.#notYet });
    return error({ ...this.terms.target.facts(this.#last), report: this.report() });
  }

  #finish(ended: Ended): void {
    if (this.#finished) return;
    this.#finished = true;
    // Whichever of push and look was first, the push has come if it is there.
    this.#plan.finish({ ...ended, polls: this.seen.time.polls, pushed: this.terms.inbox?.hasEnded() });
  }
}
