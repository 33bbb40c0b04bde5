/**
 * What a strategy and its plan are, what a plan is told, and what it may want done.
 *
 * A plan is pure: it is told what has been observed and returns one move; the loop of the wait makes the move, under
 * the deadline, the retry policy and the request budget, and asks again. All times are in ms since the job was
 * accepted.
 */

import type { Inbox } from "../inbox.js";
import type { Schedule } from "../schedule/cursor.js";
import type { Ended, Seen, Start } from "../schedule/seen.js";

/** How to learn of a job's end, as a value that many waits share. */
export interface Strategy {
  /** The name, for reports. */
  readonly name: string;
  /** Begins a plan for one wait. */
  begin(begin: Begin): Plan;
  /** Where pushes arrive, for a strategy that wants to wait for them. */
  readonly inbox?: Inbox;
}

/** What is known when a wait begins. */
export interface Begin {
  /** The wait's schedule, for polls and for attaching late. */
  schedule: Schedule;
  /** What the schedule is told. */
  start: Start;
  /** Whether the caller wants every change, or only the end. */
  updates: boolean;
}

/** One wait's walk along its strategy. */
export interface Plan {
  /** What to do next. Asked at the beginning and after every move, as long as the job isn't known to have ended. */
  next(seen: Observed): Move;
  /** How the wait ended, for plans that learn. Called once. */
  finish(ended: Ended): void;
  /** How likely the job ends in the next second; none without an opinion. */
  hazard(seen: Observed): number | undefined;
}

/** What counts as news to a held request. */
export type Until = "any" | "done";

/** What a plan wants done. */
export type Move =
  /** Asks for the status, to be answered at once. */
  | { move: "ask" }
  /** Asks for the status, to be answered when there is news, or after that long. */
  | { move: "hold"; upTo: number; until: Until }
  /** Does nothing until that instant. */
  | { move: "pause"; until: number }
  /** Reads the stream of events; says `quiet` if not one byte has come by `check`. */
  | { move: "listen"; check: number | undefined }
  /** Waits for a push until that instant. */
  | { move: "inbox"; until: number }
  /** Gives up: the wait ends as still running. */
  | { move: "stop" };

/**
 * What the last move came to: `released` is a held request that came back, `unheld` one that the server didn't hold;
 * `quiet` is a stream over which nothing came, `muted` one that was caught not telling; `none` is a stream that isn't
 * there.
 */
export type Happened =
  | "began"
  | "answered"
  | "released"
  | "unheld"
  | "news"
  | "paused"
  | "quiet"
  | "muted"
  | "closed"
  | "none"
  | "pushed"
  | "failed";

/** What has been seen so far. */
export interface Observed {
  /** The time since acceptance, the round trip, the answered polls, the hints of the latest answer. */
  time: Seen;
  happened: Happened;
  /** Whether it is known when the job was accepted. Until then `time.elapsed` is counted from the wait's beginning. */
  ageKnown: boolean;
  /** The newest revision; none before the first answer, unless it is known from the create. */
  revision: number | undefined;
  abilities: Abilities;
}

/** What a server has been seen to be able to do. */
export interface Abilities {
  /** Whether requests are held, and for how long before something on the way cuts them. */
  hold: "unknown" | "yes" | "no";
  holdMax: number;
  /** Whether streams bring their events when they happen. */
  stream: "unknown" | "yes" | "no";
}
