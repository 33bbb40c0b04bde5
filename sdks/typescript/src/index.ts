/**
 * abide-client: waits for long-running jobs without wasting a request or a second.
 *
 * `pollUntil` waits for anything that can be looked at, on any vendor's API.
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
export { fixed } from "./schedule/fixed.js";
export type { PauseOptions } from "./schedule/fixed.js";
export { backoff } from "./schedule/backoff.js";
export type { BackoffOptions } from "./schedule/backoff.js";
export { countdown } from "./schedule/countdown.js";
export { fromFn, intervals } from "./schedule/custom.js";
export type { Jitter } from "./schedule/jitter.js";

export type { Job, Outcome, Problem } from "./wire.js";
