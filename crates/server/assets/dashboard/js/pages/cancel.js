// Canceling a job, from wherever.

import { call } from '../api.js';
import { shortId } from '../format.js';
import { html } from '../html.js';
import { put } from '../jobs.js';
import { toast, toastProblem } from '../ui/toast.js';
import { useTask } from '../ui/use.js';

/** Cancels a job and says so. */
export async function cancel(id) {
  try {
    const job = await call(`v1/jobs/${encodeURIComponent(id)}/cancel`, { method: 'POST' });
    if (job?.id) put(job);
    toast(job?.outcome === 'canceled' || !job ? `${shortId(id)} is canceled` : `${shortId(id)} had ended already`);
  } catch (problem) {
    toastProblem(problem);
  }
}

export function CancelButton({ job, tabindex = null, kind = 'small' }) {
  const [run, isBusy] = useTask(() => cancel(job.id));
  return html`
    <button
      type="button"
      class=${kind}
      tabindex=${tabindex}
      disabled=${isBusy}
      aria-label=${`Cancel ${shortId(job.id)}`}
      onClick=${run}
    >
      Cancel
    </button>
  `;
}
