/** What goes over the wire, as the server's OpenAPI description has it. Unknown members are kept. */

/** How a job that is done has ended. A closed list. */
export type Outcome = "completed" | "failed" | "canceled";

/** What is wrong, as `application/problem+json` has it. */
export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  instance?: string;
  /** The sort of problem for a program to act on. An open list. */
  code?: string;
  /** Whether the same request may succeed later. */
  retryable?: boolean;
  request_id?: string;
}

/** A job. Decide on `done` and `outcome`; `status` is an open list of words, for people. */
export interface Job {
  id: string;
  kind: string;
  status: string;
  done: boolean;
  outcome: Outcome | null;
  /** How many changes it has seen. */
  revision: number;
  progress?: { percent: number; stage?: string | null } | null;
  input?: unknown;
  /** What it made, unless it didn't complete. */
  result?: unknown;
  /** Why it failed, if it did. */
  error?: Problem | null;
  metadata?: Record<string, unknown> | null;
  created_at: string;
  started_at?: string | null;
  updated_at: string;
  finished_at?: string | null;
  expires_at?: string | null;
  /** How often workers have claimed it. */
  attempts?: number | null;
  /** A worker's hold on it, in the answer to a claim alone. */
  lease?: { token: string; expires_at: string } | null;
  /** How long it will still take, in milliseconds: p10, p50 and p90. */
  remaining_ms?: { p10: number; p50: number; p90: number } | null;
}

/** What a create may say. */
export interface NewJob {
  /** What it is given; passed through as it is. */
  input?: unknown;
  /** What the creator notes on it. */
  metadata?: Record<string, unknown>;
  /** Who does the work; the simulator by default. */
  worker?: "simulator" | "external";
  /** How the simulator plays it. */
  simulate?: Record<string, unknown>;
  /** Where to tell of this job's events. */
  webhook?: { url: string; events?: string[]; secret?: string };
  /** After this many seconds the job fails. */
  deadline_s?: number;
  /** What becomes of it if its worker is lost. Default: `"fail"`. */
  on_worker_lost?: "fail" | "retry";
  /** After how many claims it fails, if it is tried again. Default: 3. */
  attempts_max?: number;
}

/** What a webhook or a stream tells. */
export interface Event {
  type: string;
  timestamp: string;
  data: Job;
}

/** The longest hold that a server grants by default, in ms. */
export const HOLD_MAX = 60_000;
/** A hold up to this length ends on time, in ms. A longer one lasts by up to `HOLD_SPREAD` of it longer. */
export const HOLD_EXACT_MAX = 10_000;
/** The share of a longer hold by which it may last longer. */
export const HOLD_SPREAD: number = 1 / 16;

/** The most jobs in one set wait. */
export const SET_JOBS_MAX = 1000;
