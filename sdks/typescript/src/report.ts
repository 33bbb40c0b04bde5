/** What a wait cost, and how late the news was. */

/** The channel by which a wait learned something. */
export type Channel = "poll" | "long_poll" | "shared" | "stream" | "push";

/** What one wait cost. Every end and every error of a wait has one. */
export interface Report {
  /** Requests that were sent for this wait, failed ones too; one for many waits counts as one for each of them. */
  requests: number;
  /** This wait's part of them, where a request for `n` waits counts as `1/n`. */
  requestsShare: number;
  /** How many of the requests brought no answer, or none but "not now". */
  failures: number;
  /** Bytes of bodies that were received for this wait alone. */
  bytesReceived: number;
  /** By which way the end was learned, or the latest news where it wasn't. */
  channel: Channel | undefined;
  /** The strategy. */
  strategy: string;
  /** How long the wait took. */
  elapsedMs: number;
  /** How old the end was when this process learned of it; none where the server tells no times. */
  detectionMs: number | undefined;
  /** The round trip, where one was measured. */
  rttMs: number | undefined;
  /** What was not understood, such as a status that no list knows. */
  warnings: string[];
}

/** What `Server-Timing: since-end;dur=<ms>` says. */
export const sinceEnd = (header: string | null): number | undefined => {
  const found = /(?:^|,)\s*since-end\s*;[^,]*?dur="?(\d+(?:\.\d+)?)/.exec(header ?? "");
  return found ? Number(found[1]) : undefined;
};
