/**
 * Many waits, one held request.
 *
 * A few waits of a client hold a request each; the rest share. A wait that wants to hold joins here. One request is
 * sent for all of them, each job's news is handed to those that wait for it, and the next one is sent for the rest.
 * Newcomers get a request of their own at first, and requests are merged as they add up. How often is sent is bounded.
 */

import { check, toldOf } from "../answer.js";
import type { Account } from "../budget.js";
import { Garbled, Refused } from "../error.js";
import { Failure, garbled } from "../failure.js";
import type { Origin } from "../origin.js";
import { turnaround } from "../retry.js";
import { LATE, before } from "../rt/clock.js";
import type { Answer } from "../target/target.js";
import { type Job, type Problem, SET_JOBS_MAX } from "../wire.js";
import { Bucket } from "./bucket.js";
import { type Batch, type WaitResponse, fly, isNoSet } from "./flight.js";

/** How many waits of a client may each hold a request of their own; a browser has six connections to a server. */
export const ALONE_MAX: number = typeof window === "undefined" ? 8 : 2;

/** How long the first of a batch waits for others, in ms. */
const GATHER = 5;

/** The most bytes of ids in one request, and those of an item beside its id. */
const IDS_BYTES_MAX: number = 128 * 1024;
const ITEM_BYTES = 40;

/** What members want: how a job stands now, any news of it, or its end. */
export type Want = "now" | "any" | "done";
const WANTS: readonly Want[] = ["now", "any", "done"];

/** A wait that has joined. */
export interface Member {
  want: Want;
  id: string;
  /** The newest revision that it has seen. */
  after: number | undefined;
  account: Account;
  /** Tells it: an answer, a failure, or nothing, and then it holds alone. */
  tell: (told: Answer<Job> | Failure | undefined) => void;
  /** The last instant at which an answer said that there was no news. */
  notYet: number | undefined;
  flight: Batch | undefined;
}

/** Members that are in no request, and when the next one may leave. */
interface Lane {
  pending: Set<Member>;
  notBefore: number | undefined;
  /** How many answers in a row came at once and told nothing. */
  empty: number;
}

/** See the module. */
export class Hub {
  readonly #origin: Origin;
  readonly #alone: Record<"ask" | "hold" | "listen", number> = { ask: 0, hold: 0, listen: 0 };
  readonly #members: Set<Member> = new Set();
  readonly #flights: Set<Batch> = new Set();
  readonly #lanes: Record<Want, Lane>;
  readonly #bucket: Bucket = new Bucket();
  #timer: unknown;

  constructor(origin: Origin) {
    const lane = (): Lane => ({ pending: new Set(), notBefore: undefined, empty: 0 });
    this.#origin = origin;
    this.#lanes = { now: lane(), any: lane(), done: lane() };
  }

  /** How many waits have joined, and how many requests for many are on their way. */
  get load(): { members: number; flights: number } {
    return { members: this.#members.size, flights: this.#flights.size };
  }

  /** Leave to send a request of one's own, to be given back once: for the first few, and without sets. */
  alone(what: "ask" | "hold" | "listen"): (() => void) | undefined {
    const { clock, memory } = this.#origin;
    if (this.#alone[what] >= ALONE_MAX && memory.sets(clock.now())) return undefined;
    this.#alone[what]++;
    return () => {
      this.#alone[what]--;
    };
  }

  /** Waits together with others. Nothing is answered where the server knows no sets: hold alone then. */
  async join(
    id: string,
    want: Want,
    after: number | undefined,
    account: Account,
    signal: AbortSignal | undefined,
  ): Promise<Answer<Job> | undefined> {
    const member: Member = { id, want, after, account, tell: () => {}, notYet: undefined, flight: undefined };
    try {
      const told = await before(
        this.#origin.clock,
        undefined,
        signal,
        () =>
          new Promise<Answer<Job> | Failure | undefined>((tell) => {
            member.tell = tell;
            this.#members.add(member);
            this.#pend(member);
            this.#arm();
          }),
      );
      if (told instanceof Failure) throw told;
      return told === LATE ? undefined : told;
    } finally {
      this.#leave(member);
    }
  }

  #leave(member: Member): void {
    this.#members.delete(member);
    this.#lanes[member.want].pending.delete(member);
    const { flight } = member;
    member.flight = undefined;
    flight?.members.delete(member);
    // A request without members is given up.
    if (flight && !flight.members.size) this.#giveUp(flight);
    this.#arm();
  }

  #giveUp(flight: Batch): void {
    this.#flights.delete(flight);
    flight.aborting.abort(LATE);
  }

  /** Puts a member among those that are in no request. */
  #pend(member: Member): void {
    const lane = this.#lanes[member.want],
      now = this.#origin.clock.now();
    if (!lane.pending.size && !(lane.notBefore! > now)) lane.notBefore = now + GATHER;
    lane.pending.add(member);
  }

  /** When the next request of a lane may leave, if anybody waits for it to. */
  #due(want: Want, now: number): number {
    const { notBefore = now, pending } = this.#lanes[want];
    if (!pending.size) return Infinity;
    // A waiter that wants to know at once is at its deadline, and is not held back.
    return want === "now" ? notBefore : Math.max(notBefore, this.#bucket.ready(now, this.#members.size));
  }

  /** Sets the timer for the next request. */
  #arm(): void {
    const { clock } = this.#origin,
      now = clock.now();
    clock.clearTimeout(this.#timer);
    const due = Math.min(...WANTS.map((want) => this.#due(want, now)));
    this.#timer = due === Infinity ? undefined : clock.setTimeout(() => this.#depart(), Math.max(due - now, 0));
  }

  /** Sends the requests that may leave now. */
  #depart(): void {
    const now = this.#origin.clock.now();
    for (const want of WANTS) {
      if (this.#due(want, now) > now) continue;
      for (let batch; (batch = this.#batch(want));) void this.#send(batch);
    }
    this.#arm();
  }

  async #send(batch: Batch): Promise<void> {
    let told: WaitResponse | Failure;
    try {
      told = await fly(this.#origin, batch);
    } catch (error) {
      told = error instanceof Failure ? error : garbled("the shared request was abandoned", { cause: error });
    }
    // Of one that was given up nobody is left to be told.
    if (!this.#flights.delete(batch)) return;
    const { clock, memory, retryBudget } = this.#origin;
    if (!(told instanceof Failure)) {
      retryBudget.deposit();
      this.#handOut(batch, told);
    } else {
      const alone = isNoSet(told);
      if (alone) memory.noteNoSets(clock.now());
      for (const member of [...batch.members]) this.#tell(member, alone ? undefined : told);
    }
    this.#arm();
  }

  /**
   * The next request of a lane: all that are pending, and those of smaller requests on their way, which it replaces.
   */
  #batch(want: Want): Batch | undefined {
    const lane = this.#lanes[want];
    if (!lane.pending.size) return undefined;
    if (want !== "now") this.#swallow(want, lane);
    const batch: Batch = { want, members: new Set(), jobs: new Map(), aborting: new AbortController(), sent: 0 };
    let bytes = 0;
    for (const member of lane.pending) {
      const seen = want === "any" ? member.after : undefined,
        known = batch.jobs.has(member.id);
      if (!known && (batch.jobs.size >= SET_JOBS_MAX || bytes >= IDS_BYTES_MAX)) continue;
      // Where two wait for one job the older knowledge counts; each is told only what is news to it.
      const older = known ? batch.jobs.get(member.id) : seen;
      batch.jobs.set(member.id, seen === undefined || older === undefined ? undefined : Math.min(seen, older));
      if (!known) bytes += member.id.length + ITEM_BYTES;
      batch.members.add(member);
      lane.pending.delete(member);
    }
    for (const member of batch.members) {
      member.flight = batch;
      member.account.requests++;
      member.account.share += 1 / batch.members.size;
    }
    this.#flights.add(batch);
    if (want !== "now") this.#bucket.take();
    return batch;
  }

  /** Gives up requests on their way that are so small that the next one may take their members over. */
  #swallow(want: Want, lane: Lane): void {
    const small = [...this.#flights].filter((flight) => flight.want === want);
    small.sort((a, b) => a.members.size - b.members.size);
    let size = lane.pending.size;
    for (const flight of small) {
      const { members } = flight;
      if (members.size > 2 * size || size + members.size > SET_JOBS_MAX) break;
      size += members.size;
      for (const member of members) {
        member.flight = undefined;
        lane.pending.add(member);
      }
      this.#giveUp(flight);
    }
  }

  /** Hands each job's news to its members; those that are told nothing wait for the next request. */
  #handOut(batch: Batch, { errors, jobs }: WaitResponse): void {
    const { clock, rtt } = this.#origin,
      now = clock.now(),
      took = now - batch.sent,
      lane = this.#lanes[batch.want];
    // An answer that came at once and told nothing puts the next request off, each time for longer.
    if (jobs.length || errors.length || took >= 1000) lane.empty = 0;
    else lane.notBefore = now + turnaround(lane.empty++);
    const waiting = new Map<string, Member[]>();
    for (const member of batch.members) waiting.set(member.id, [...(waiting.get(member.id) ?? []), member]);
    for (const { error, id } of errors) {
      for (const member of waiting.get(id) ?? []) this.#tell(member, refusal(error));
      waiting.delete(id);
    }
    for (const job of jobs) {
      for (const member of waiting.get(job.id) ?? []) {
        const told = this.#read(job);
        if (told instanceof Failure) {
          this.#tell(member, told);
        } else if (isNews(member, job)) {
          // One that was held came when it happened; of one that came at once nobody knows better than the clocks.
          const held = took > 4 * (rtt.smoothed ?? 0) + 50,
            bound = member.notYet === undefined ? Infinity : now - member.notYet;
          const age = held
            ? (rtt.smoothed ?? 0) / 2
            : told.age === undefined
              ? member.notYet && bound
              : Math.min(told.age, bound);
          this.#tell(member, { ...told, granted: true, age: told.done ? age : undefined });
        }
      }
    }
    for (const member of [...batch.members]) {
      member.notYet = now;
      if (batch.want === "now") this.#tell(member, garbled("the answer leaves the job out"));
      else {
        member.flight = undefined;
        this.#pend(member);
      }
    }
  }

  /** What an answer says of a job; what is no job fails itself alone. */
  #read(job: Job): Answer<Job> | Failure {
    try {
      return toldOf(this.#origin, check(job), "shared");
    } catch (failure) {
      return failure instanceof Failure ? failure : new Failure(Garbled, "the answer holds no job", { cause: failure });
    }
  }

  /** Tells a member, which then leaves. */
  #tell(member: Member, told: Answer<Job> | Failure | undefined): void {
    member.flight?.members.delete(member);
    member.flight = undefined;
    member.tell(told);
  }
}

/** Whether a job, as it stands, is what the member waits for. */
const isNews = ({ after, want }: Member, { done, revision }: Job): boolean =>
  done || want === "now" || (want === "any" && !(revision <= after!));

/** That a job of a set can't be waited for. */
const refusal = (problem: Problem | undefined): Failure =>
  new Failure(Refused, "the server refused", { status: problem?.status ?? 400, problem });
