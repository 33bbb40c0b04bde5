// Deliveries of webhooks: what was sent, what came back, and the button that tries again.

import { call } from '../api.js';
import { ago, counted, shortId, span, time, words } from '../format.js';
import { html, useEffect, useRef, useState } from '../html.js';
import { Badge } from '../ui/badge.js';
import { Copy } from '../ui/copy.js';
import { toast, toastProblem } from '../ui/toast.js';
import { useData, useTask } from '../ui/use.js';

/** `endpoints` are those that the deliveries may be for. What all rows have in common, the job or the endpoint, isn't said in each: `names` is the other. */
export function DeliveryTable({ deliveries, endpoints, names, now, onRetried }) {
  return html`
    <ul class="deliveries">
      ${deliveries.map(
        (delivery) => html`
          <${DeliveryRow}
            key=${delivery.id}
            delivery=${delivery}
            endpoint=${endpoints?.find(({ id }) => id === delivery.endpoint_id)}
            names=${names}
            now=${now}
            onRetried=${onRetried}
          />
        `,
      )}
    </ul>
  `;
}

function DeliveryRow({ delivery, endpoint, names, now, onRetried }) {
  const { id, type, status, url, job_id: job, attempts } = delivery;
  const [isOpen, setOpen] = useState(false);
  const [retry, isBusy] = useTask(async () => {
    try {
      await call(`v1/deliveries/${encodeURIComponent(id)}/retry`, { method: 'POST' });
      retriedAfter.current = attempts.length;
      setOpen(true);
    } catch (problem) {
      toastProblem(problem);
    }
    onRetried();
  });
  const last = attempts.at(-1);
  // Says what came of a retry once it is known.
  const retriedAfter = useRef(null);
  useEffect(() => {
    if (retriedAfter.current === null || attempts.length <= retriedAfter.current) return;
    retriedAfter.current = null;
    toast(`${shortId(id)} was ${resultOf(last)}`, { bad: !isTaken(last) });
  }, [attempts.length]);
  return html`
    <li>
      <div class="delivery">
        <${Badge} status=${status} />
        <div class="what">
          <span>${type}</span>
          ${names === 'endpoint' && html`<a class="small whole" href=${`#/webhooks/${encodeURIComponent(delivery.endpoint_id)}`}>${url}</a>`}
          ${names === 'job' && job && html`<a class="mono small" href=${`#/jobs/${encodeURIComponent(job)}`} title=${job}>${shortId(job)}</a>`}
        </div>
        <span class="soft small when">
          ${[ago(delivery.created_at, now), last && resultOf(last), nextOf(delivery, endpoint, now)].filter(Boolean).join(', ')}
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
      <div id=${`attempts-${id}`} class="stack" hidden=${!isOpen}>
        ${isOpen && html`<${Attempts} delivery=${delivery} /><${Sent} delivery=${delivery} />`}
      </div>
    </li>
  `;
}

/** When it is tried next; nothing where it isn't. Nobody knows while its endpoint's circuit breaker is open. */
function nextOf({ status, next_attempt_at: next }, endpoint, now) {
  if (status === 'delivered' || status === 'failed' || status === 'held') return null;
  if (endpoint?.breaker?.state === 'open') return 'waiting for the endpoint';
  if (!next) return null;
  return Date.parse(next) <= now ? 'next attempt due' : `next attempt ${ago(next, now)}`;
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
            <th scope="col">Status</th>
            <th scope="col" class="number">Took</th>
            <th scope="col">Response body or error</th>
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
  `;
}

/** The request as it was sent, but for timestamp and signature, which each attempt has its own of. */
function Sent({ delivery }) {
  const { data, problem } = useData(() => call(`v1/deliveries/${encodeURIComponent(delivery.id)}`), [delivery.id]);
  if (problem) return html`<p class="problem small" role="alert">${problem.message}</p>`;
  if (!data?.body) return null;
  return html`
    <div class="field small">
      <div class="row spread">
        <h3>What was sent</h3>
        <${Copy} text=${curlOf(data)} label="Copy as curl" name="Copy as curl" />
      </div>
      <pre tabindex="0" role="region" aria-label="What was sent">${`POST ${data.url}\nwebhook-id: ${data.id}\n\n${pretty(data.body)}`}</pre>
      <p class="soft">Timestamp and signature differ with each attempt. <code class="whole">abide delivery ${data.id} --curl</code> signs it anew.</p>
    </div>
  `;
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

function curlOf({ id, url, body }) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  return `curl -i ${quoted(url)} -H 'content-type: application/json' -H ${quoted(`webhook-id: ${id}`)} --data-binary ${quoted(body)}`;
}

const isTaken = ({ status }) => status >= 200 && status < 300;

function resultOf(attempt) {
  if (attempt.status) return `answered ${attempt.status} in ${span(attempt.duration_ms)}`;
  return words(attempt.error ?? 'no answer');
}
