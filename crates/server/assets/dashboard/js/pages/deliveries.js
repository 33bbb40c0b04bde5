// Deliveries of webhooks, with their attempts, and the button that tries again.

import { call } from '../api.js';
import { ago, counted, shortId, span, time, words } from '../format.js';
import { html, useState } from '../html.js';
import { Badge } from '../ui/badge.js';
import { toast, toastProblem } from '../ui/toast.js';
import { useTask } from '../ui/use.js';

export function DeliveryTable({ deliveries, now, onRetried }) {
  return html`
    <ul class="deliveries">
      ${deliveries.map((delivery) => html`<${DeliveryRow} key=${delivery.id} delivery=${delivery} now=${now} onRetried=${onRetried} />`)}
    </ul>
  `;
}

function DeliveryRow({ delivery, now, onRetried }) {
  const { id, type, status, job_id: job, attempts, next_attempt_at: nextAt } = delivery;
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
          ${ago(delivery.created_at, now)}${last ? `, ${resultOf(last)}` : ''}${nextAt ? `, next ${ago(nextAt, now)}` : ''}
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
            (attempt) => html`
              <tr key=${attempt.number}>
                <td class="number">${attempt.number}</td>
                <td>${time(attempt.at)}</td>
                <td class=${isTaken(attempt) ? '' : 'bad'}>${attempt.status ?? 'none'}</td>
                <td class="number">${span(attempt.duration_ms)}</td>
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
  if (attempt.status) return `answered ${attempt.status} in ${span(attempt.duration_ms)}`;
  return words(attempt.error ?? 'no answer');
}
