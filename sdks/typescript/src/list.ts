/** Listing jobs. */

import { isSound } from "./answer.js";
import { call } from "./call.js";
import type { Core } from "./client.js";
import { UsageError } from "./error.js";
import { JOBS_BYTES_MAX, jsonOf } from "./exchange.js";
import { garbled } from "./failure.js";
import { urlOf } from "./origin.js";
import type { Job } from "./wire.js";

/** Which jobs to list. */
export interface ListOptions {
  /** Only jobs with any of these statuses. */
  status?: string | readonly string[];
  /** Only jobs of that kind. */
  kind?: string;
  /** Only jobs that were created after, and before, that instant. */
  createdAfter?: Date | string;
  createdBefore?: Date | string;
  /** Only jobs with that metadata. */
  metadata?: Record<string, string>;
  /** Only these jobs; those that don't exist are left out. */
  ids?: readonly string[];
  /** How many jobs are asked for at a time, 1 to 1,000. Default: the server's, 100. */
  pageSize?: number;
  /** Told of each job that can't be read, which is left out; none where it has no id. `job.status()` says why. */
  onUnreadable?: (id: string | undefined) => void;
  signal?: AbortSignal | undefined;
}

const instant = (at: Date | string): string => (typeof at === "string" ? at : at.toISOString());

/** The caller's jobs, the newest first, page by page behind the scenes. */
export async function* list({ origin, speech }: Core, options: ListOptions): AsyncGenerator<Job, void> {
  if (speech) throw new UsageError("only our own API lists jobs");
  const { createdAfter, createdBefore, ids, kind, metadata = {}, pageSize, signal, status } = options;
  const query: Record<string, string> = {
    ...(status !== undefined && { status: [status].flat().join(",") }),
    ...(kind !== undefined && { kind }),
    ...(createdAfter !== undefined && { created_after: instant(createdAfter) }),
    ...(createdBefore !== undefined && { created_before: instant(createdBefore) }),
    ...(ids && { ids: ids.join(",") }),
    ...(pageSize !== undefined && { limit: String(Math.min(Math.max(pageSize, 1), 1000)) }),
  };
  for (const [name, value] of Object.entries(metadata)) query[`metadata.${name}`] = value;
  let page: string | undefined;
  do {
    const url = urlOf(origin, ["v1", "jobs"], page === undefined ? query : { ...query, page_token: page });
    const request = { url, limit: JOBS_BYTES_MAX },
      { jobs, next_page_token: next } = await call(origin, request, {}, signal, (reply) => {
        const page = jsonOf<{ jobs: Job[]; next_page_token?: string | null }>(reply, "page of jobs");
        if (!Array.isArray(page?.jobs)) throw garbled("the answer holds no page of jobs", { status: reply.status });
        return page;
      });
    for (const job of jobs) {
      if (isSound(job)) yield job;
      else options.onUnreadable?.((job as Job | null)?.id);
    }
    // A token that doesn't move would be a list without end.
    page = next === page ? undefined : (next ?? undefined);
  } while (page !== undefined);
}
