/** What all waits of one client share. */

import type { Budget } from "./budget.js";
import { UsageError } from "./error.js";
import type { Memory } from "./memory.js";
import type { RetryBudget, RetryPolicy } from "./retry.js";
import type { Clock } from "./rt/clock.js";
import type { Rtt } from "./rt/rtt.js";

/** The most that one exchange may take where nothing else is said, in ms. */
export const ATTEMPT_TIMEOUT = 10_000;

/** The surroundings of a wait. */
export interface Surroundings {
  readonly clock: Clock;
  /** Numbers from 0 up to 1. */
  readonly random: () => number;
  readonly rtt: Rtt;
  readonly retry: RetryPolicy;
  readonly retryBudget: RetryBudget;
  readonly budget: Budget;
  /** The most that one exchange may take that isn't held. */
  readonly attemptTimeout: number;
  /** What the server was seen to be able to do; none where that says nothing. */
  readonly memory?: Memory;
}

/** One server as one client sees it. */
export interface Origin extends Surroundings {
  readonly memory: Memory;
  /** Where the server's paths begin, without a slash at the end; never with credentials, a query or a fragment. */
  readonly server: string;
  /** Sent with every request. */
  readonly headers: Record<string, string>;
  readonly fetch: typeof fetch;
  /** The most that one call may take, its retries included. */
  readonly timeout: number;
}

/** The server's address in a text; in a browser it may be relative to the page. */
export const addressOf = (text: string): string => {
  // Whatever stands before an `@` may be a password, and errors end up in logs.
  const shown = text.slice(text.lastIndexOf("@") + 1);
  const base = (globalThis as { location?: { href: string } }).location?.href;
  let url: URL | undefined;
  try {
    url = new URL(text, base);
  } catch {
    // Told below.
  }
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`${JSON.stringify(shown)} is not an address such as http://127.0.0.1:8080`);
  }
  if (url.username || url.password) {
    throw new UsageError("an address with a name or a password in it would end up in logs: use `apiKey`");
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
};

/** A path below the server's address. */
export const urlOf = ({ server }: Origin, path: readonly string[], query: Record<string, string> = {}): string => {
  const search = new URLSearchParams(query).toString();
  // Some APIs have verbs behind a colon.
  const parts = path.map((part) => encodeURIComponent(part).replaceAll("%3A", ":"));
  return `${server}/${parts.join("/")}${search && `?${search}`}`;
};
