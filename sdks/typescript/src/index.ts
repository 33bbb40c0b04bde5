/**
 * abide-client: waits for long-running jobs without wasting a request or a second.
 *
 * `pollUntil` waits for anything that can be looked at, on any vendor's API. `Abide` is a client of an abide server,
 * or, by a `remote`, of a job API that is described by data.
 */

export { pollUntil } from "./wait/pollUntil.js";
export type { Found, LookContext, PollUntilOptions } from "./wait/pollUntil.js";
export type { Looked } from "./target/closure.js";
export type { Channel, Report } from "./report.js";
export {
  AbideError,
  Garbled,
  JobCanceled,
  JobFailed,
  LeaseLost,
  NotFound,
  Refused,
  StillRunning,
  Unreachable,
  UsageError,
} from "./error.js";
export type { Facts } from "./error.js";
export { Budget } from "./budget.js";
export type { RetryOptions } from "./retry.js";
export type { Clock } from "./rt/clock.js";
export type { Duration } from "./rt/duration.js";

export type { Cursor, Schedule } from "./schedule/cursor.js";
export type { Ended, Push, Remaining, Seen, Start } from "./schedule/seen.js";
export { Learned, learned } from "./schedule/learned/schedule.js";
export type { LearnedOptions, Price } from "./schedule/learned/schedule.js";
export { History } from "./schedule/learned/history.js";
export { KeptHistory, localStorageStore, openHistory } from "./schedule/learned/store.js";
export type { HistoryStore } from "./schedule/learned/store.js";
export { features } from "./schedule/feature.js";
export type { Features } from "./schedule/feature.js";
export { fixed } from "./schedule/fixed.js";
export type { PauseOptions } from "./schedule/fixed.js";
export { backoff } from "./schedule/backoff.js";
export type { BackoffOptions } from "./schedule/backoff.js";
export { countdown } from "./schedule/countdown.js";
export { fromFn, intervals } from "./schedule/custom.js";
export type { Jitter } from "./schedule/jitter.js";

export { Abide } from "./client.js";
export type { AbideOptions } from "./client.js";
export { JobHandle } from "./job.js";
export type { CallOptions } from "./job.js";
export type { CreateOptions } from "./create.js";
export { Done } from "./wait/end.js";
export type { WaitOptions } from "./wait/end.js";
export { JobSet } from "./wait/set.js";
export type { End } from "./wait/set.js";
export type { Change, FeedOptions } from "./wait/feed.js";
export type { ListOptions } from "./list.js";
export type { StreamToken, StreamTokenOptions } from "./streamToken.js";
export type { Remote } from "./remote/describe.js";
export { Lease } from "./worker/lease.js";
export type { ClaimOptions } from "./worker/claim.js";

export { auto } from "./strategy/auto.js";
export { longPoll } from "./strategy/longPoll.js";
export type { LongPollOptions } from "./strategy/longPoll.js";
export { poll } from "./strategy/poll.js";
export { stream } from "./strategy/stream.js";
export { webhook } from "./strategy/webhook.js";
export type { Abilities, Begin, Happened, Move, Observed, Plan, Strategy, Until } from "./strategy/plan.js";

export { Inbox } from "./inbox.js";
export type { InboxOptions, NodeRequest, NodeResponse } from "./inbox.js";
export type { Delivery } from "./webhook.js";

export type { Event, Job, NewJob, Outcome, Problem } from "./wire.js";
