/** Watching one job change. */

import type { JobHandle } from "../job.js";
import type { Job } from "../wire.js";
import { begin } from "./begin.js";
import type { WaitOptions } from "./end.js";

/**
 * The states of a job, to the last one. Every state has a greater revision than the one before it; what the handle knew
 * from its create isn't repeated.
 */
export async function* watch(job: JobHandle, options: WaitOptions): AsyncGenerator<Job, void> {
  const driver = begin(job, options, true);
  try {
    for (;;) {
      const { ended, view } = await driver.step();
      yield view;
      if (ended) return;
    }
  } finally {
    driver.close();
    job.core.onReport?.(job.id, driver.report());
  }
}
