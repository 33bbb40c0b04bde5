/** From the settings of a wait to its loop. */

import type { JobHandle } from "../job.js";
import { RetryPolicy } from "../retry.js";
import { millis } from "../rt/duration.js";
import type { Schedule } from "../schedule/cursor.js";
import { learned } from "../schedule/learned/schedule.js";
import { auto } from "../strategy/auto.js";
import type { Plan } from "../strategy/plan.js";
import { foreign } from "../target/foreign.js";
import { unlessFresh } from "../target/fresh.js";
import { native } from "../target/native.js";
import type { Job } from "../wire.js";
import { Driver } from "./driver.js";
import type { WaitOptions } from "./end.js";
import { allMoves } from "./moves.js";

/** What a set says of each of its waits. */
export interface InSet {
  /** The deadline of the whole set. */
  deadline?: number | undefined;
  /** Whether more waits begin together than may each hold a request. */
  crowded?: boolean;
}

/** The loop for one job. `updates` says that every change is wanted. */
export const begin = (
  job: JobHandle,
  options: WaitOptions,
  updates: boolean,
  { crowded, deadline }: InSet = {},
): Driver<Job> => {
  const { core, id, known } = job,
    { history, origin, speech } = core,
    { clock, random } = origin;
  const strategy = options.strategy ?? core.strategy ?? auto(),
    timeout = options.timeout ?? core.waitTimeout,
    retry = options.retry === undefined ? origin.retry : new RetryPolicy(options.retry);
  const start = { random, size: options.size, features: options.features, job: id, began: clock.wall(), history };
  const plan = (kind: string): Plan => {
    // A kind is slow or fast on one server, and another on the next.
    const learning = (): Schedule => learned(`${origin.server} ${kind}`, { history, price: options.price });
    return strategy.begin({ schedule: options.schedule ?? core.schedule ?? learning(), start, updates });
  };
  const age = clock.wall() - Date.parse(known.createdAt ?? "");
  const facts = (last: Job | undefined): ReturnType<typeof job.facts> => job.facts(last);
  const driver: Driver<Job> = new Driver<Job>({
    target: speech
      ? foreign(origin, speech, job, (warning) => driver.warn(warning))
      : native(origin, core.hub, id, !!crowded, known.accepted, facts),
    origin,
    plan: plan(known.kind ?? speech?.name ?? ""),
    replan: known.kind === undefined && !speech ? ({ kind }) => plan(kind) : undefined,
    strategy: strategy.name,
    inbox: strategy.inbox?.subscribe(id),
    retry,
    attemptTimeout: options.attemptTimeout === undefined ? origin.attemptTimeout : millis(options.attemptTimeout),
    deadline: deadline ?? (timeout === undefined ? undefined : clock.now() + millis(timeout)),
    accepted: known.accepted,
    meant: (failure) => unlessFresh({ clock, retry }, known.accepted, failure),
    noted: age >= 0 ? clock.now() - age : undefined,
    // To a wait for the end only, what an earlier process saw is of no use.
    revision: updates || known.accepted !== undefined ? known.revision : undefined,
    signal: options.signal,
    moves: allMoves(),
  });
  return driver;
};
