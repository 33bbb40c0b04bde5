/** Short-lived tokens for event streams: what a page's `EventSource` puts into the URL, since it can send no header. */

import { call } from "./call.js";
import type { Core } from "./client.js";
import { UsageError } from "./error.js";
import { jsonOf } from "./exchange.js";
import type { CallOptions } from "./job.js";
import { urlOf } from "./origin.js";
import { type Duration, millis } from "./rt/duration.js";

/** What a token shall open. */
export interface StreamTokenOptions extends CallOptions {
  /** The one job whose stream it opens. Default: all streams of the caller. */
  job?: string;
  /** For how long it opens streams, 1 s to 10 min; one that is open stays open. Default: 60 s. */
  ttl?: Duration;
}

/** A token for `?token=` of `/v1/jobs/{id}/events` or `/v1/events`. */
export interface StreamToken {
  token: string;
  /** When it ceases to open streams. */
  expires_at: string;
}

/** Makes a token; see `Abide.streamToken`. */
export const streamToken = async (
  { origin, speech }: Core,
  { job, signal, ttl }: StreamTokenOptions,
): Promise<StreamToken> => {
  if (speech) throw new UsageError("only our own API has tokens for streams");
  const body = { job, ttl: ttl === undefined ? undefined : `${millis(ttl)}ms` },
    request = { method: "POST", url: urlOf(origin, ["v1", "stream-tokens"]), body };
  return call(origin, request, { jobId: job }, signal, (reply) => jsonOf<StreamToken>(reply, "token"));
};
