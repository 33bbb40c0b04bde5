// Deliveries of webhooks, with their attempts, and the button that tries again.

import { call } from '../api.js';
import { ago, counted, shortId, span, time, words } from '../format.js';
import { html, useState } from '../html.js';
import { Badge } from '../ui/badge.js';
import { toast, toastProblem } from '../ui/toast.js';
import { useTask } from '../ui/use.js';

/** The deliveries of an answer, in one shape; `null` where the server has none to tell. */
export function deliveriesOf(answer) {
  if (answer === null) return null;
  const list = answer.deliveries ?? answer.data ?? answer;
  return (Array.isArray(list) ? list : []).map((one) => ({
    id: one.id,
    endpoint: one.endpoint ?? one.webhook ?? one.webhook_id ?? one.endpoint_id ?? null,
    url: one.url ?? null,
    job: one.job ?? one.job_id ?? null,
    type: one.type ?? one.event ?? '',
    status: one.status ?? one.standing ?? 'pending',
    created_at: one.created_at ?? one.timestamp ?? null,
    next_at: one.next_attempt_at ?? one.next_at ?? one.due_at ?? null,
    attempts: (one.attempts ?? []).map((attempt) => ({
      at: attempt.at ?? attempt.started_at,
      status: attempt.status ?? attempt.status_code ?? null,
      ms: attempt.took_ms ?? attempt.duration_ms ?? null,
      error: attempt.error ?? null,
      answer: attempt.answer ?? attempt.body ?? attempt.response ?? '',
      next_at: attempt.next_at ?? null,
    })),
  }));
}

export function DeliveryTable({ deliveries, now, onRetried }) {
  return html`
    <ul class="deliveries">
      ${deliveries.map((delivery) => html`<${DeliveryRow} key=${delivery.id} delivery=${delivery} now=${now} onRetried=${onRetried} />`)}
    </ul>
  `;
}

function DeliveryRow({ delivery, now, onRetried }) {
  const { id, type, status, job, attempts, next_at: nextAt } = delivery;
  const [isOpen, setOpen] = useState(false);
  const [retry, isBusy] = useTask(async () => {
    try {
      await call(`v1/deliveries/${encodeURIComponent(id)}/retry`, { method: 'POST' });
      toast(`${shortId(id)} is sent again`);
      setOpen(true);
    } catch (problem) {
      toastProblem(problem);
    }
    onRetried();
  });
  const last = attempts.at(-1);
  return html`
    <li>
      <div class="delivery">
        <${Badge} status=${status} />
        <div class="what">
          <span>${type}</span>
          ${job && html`<a class="mono small" href=${`#/jobs/${encodeURIComponent(job)}`} title=${job}>${shortId(job)}</a>`}
        </div>
        <span class="soft small when">
          ${delivery.created_at ? ago(delivery.created_at, now) : ''}${last ? `, ${resultOf(last)}` : ''}${nextAt && status === 'pending' ? `, next ${ago(nextAt, now)}` : ''}
        </span>
        <button
          type="button"
          class="small"
          aria-expanded=${isOpen}
          aria-controls=${`attempts-${id}`}
          onClick=${() => setOpen(!isOpen)}
        >
          ${counted(attempts.length, 'attempt')}
        </button>
        <button type="button" class="small" disabled=${isBusy} aria-label=${`Retry ${shortId(id)}`} onClick=${retry}>Retry</button>
      </div>
      <div id=${`attempts-${id}`} hidden=${!isOpen}>
        ${isOpen && html`<${Attempts} delivery=${delivery} />`}
      </div>
    </li>
  `;
}

function Attempts({ delivery }) {
  if (delivery.attempts.length === 0) return html`<p class="soft small">It hasn’t been sent yet.</p>`;
  return html`
    <div class="wide" tabindex="0" role="region" aria-label=${`Attempts of ${shortId(delivery.id)}`}>
      <table class="small">
        <thead>
          <tr>
            <th scope="col" class="number">No.</th>
            <th scope="col">When</th>
            <th scope="col">Answer</th>
            <th scope="col" class="number">Took</th>
            <th scope="col">Its body, or why there was none</th>
          </tr>
        </thead>
        <tbody>
          ${delivery.attempts.map(
            (attempt, index) => html`
              <tr key=${index}>
                <td class="number">${index + 1}</td>
                <td>${time(attempt.at)}</td>
                <td class=${isTaken(attempt) ? '' : 'bad'}>${attempt.status ?? 'none'}</td>
                <td class="number">${span(attempt.ms)}</td>
                <td><code class="answer">${attempt.error ?? attempt.answer}</code></td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
    <p class="small soft">Its id on every attempt: <code class="whole">${delivery.id}</code></p>
  `;
}

const isTaken = ({ status }) => status >= 200 && status < 300;

function resultOf(attempt) {
  if (attempt.status) return `answered ${attempt.status} in ${span(attempt.ms)}`;
  return words(attempt.error ?? 'no answer');
}
