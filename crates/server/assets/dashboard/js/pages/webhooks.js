// Who is told by webhook, and what became of it.

import { call, optional } from '../api.js';
import { useNow } from '../clock.js';
import { ago, counted, span, words } from '../format.js';
import { html, useEffect, useState } from '../html.js';
import { onEvent } from '../jobs.js';
import { go } from '../router.js';
import { Badge } from '../ui/badge.js';
import { Copy } from '../ui/copy.js';
import { Dialog } from '../ui/dialog.js';
import { Icon } from '../ui/icon.js';
import { Sure } from '../ui/sure.js';
import { toast, toastProblem } from '../ui/toast.js';
import { useData, usePage, useTask } from '../ui/use.js';
import { DeliveryTable } from './deliveries.js';

const LOOK_EVERY = 5000;
const SHOWN_MAX = 100;
const ENDS = ['job.completed', 'job.failed', 'job.canceled'];
const EVENTS = ['job.created', 'job.started', 'job.progress', ...ENDS];

const REASONS = {
  owner: 'disabled by hand',
  gone: 'its receiver answered 410 Gone',
  failing: 'every attempt had failed for days',
};

export function WebhooksPage({ id }) {
  const heading = usePage('Webhooks');
  const now = useNow();
  const [isAdding, setAdding] = useState(false);
  const [shownSecret, setShownSecret] = useState(null);
  const { data: endpoints, problem, reload } = useData(async () => (await optional('v1/webhooks?limit=100'))?.webhooks ?? null, [], LOOK_EVERY);
  const chosen = endpoints?.find((one) => one.id === id) ?? endpoints?.[0] ?? null;

  return html`
    <div class="page">
      <header>
        <h1 ref=${heading} tabindex="-1">Webhooks</h1>
        <button type="button" class="primary" onClick=${() => setAdding(true)}><${Icon} name="add" />New endpoint</button>
      </header>
      ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
      ${endpoints === null && html`<p class="notice">This server sends no webhooks.</p>`}
      ${endpoints?.length === 0 && html`<${None} onAdd=${() => setAdding(true)} />`}
      ${endpoints?.length > 0 &&
      html`
        <div class="master">
          <nav aria-label="Endpoints">
            <ul class="stack cards">
              ${endpoints.map((one) => html`<li key=${one.id}><${EndpointCard} endpoint=${one} isChosen=${one === chosen} now=${now} /></li>`)}
            </ul>
          </nav>
          <${Endpoint} key=${chosen.id} endpoint=${chosen} now=${now} onChanged=${reload} onSecret=${setShownSecret} />
        </div>
      `}
      ${isAdding &&
      html`
        <${AddDialog}
          onClose=${() => setAdding(false)}
          onAdded=${(made) => {
            reload();
            setAdding(false);
            setShownSecret(made.secret ?? null);
            go(`webhooks/${encodeURIComponent(made.id)}`);
          }}
        />
      `}
      ${shownSecret && html`<${SecretDialog} secret=${shownSecret} onClose=${() => setShownSecret(null)} />`}
    </div>
  `;
}

function EndpointCard({ endpoint, isChosen, now }) {
  return html`
    <a class="card" href=${`#/webhooks/${encodeURIComponent(endpoint.id)}`} aria-current=${isChosen ? 'true' : null}>
      <span class="row spread">
        <${Badge} status=${!endpoint.enabled ? 'disabled' : isLeftAlone(endpoint) ? 'waiting' : 'enabled'} />
        ${endpoint.disabled && html`<span class="small soft">${ago(endpoint.disabled.at, now)}</span>`}
      </span>
      <strong class="whole">${endpoint.url}</strong>
      <span class="small soft">${eventsText(endpoint.events)}</span>
    </a>
  `;
}

function Endpoint({ endpoint, now, onChanged, onSecret }) {
  const path = `v1/webhooks/${encodeURIComponent(endpoint.id)}`;
  const { data: deliveries, problem, reload } = useData(
    async () => (await optional(`${path}/deliveries?limit=${SHOWN_MAX}`))?.deliveries ?? null,
    [path],
    LOOK_EVERY,
  );
  // A job that ends makes a delivery; don't wait for the next look.
  useEffect(() => {
    let timer = 0;
    const unwatch = onEvent(() => {
      timer ||= setTimeout(() => ((timer = 0), reload()), 700);
    });
    return () => (clearTimeout(timer), unwatch());
  }, [reload]);
  const after = (text) => (toast(text), onChanged(), reload());
  const [test, isTesting] = useAction(async () => {
    await call(`${path}/test`, { method: 'POST' });
    after('A test is sent');
    setTimeout(reload, 500);
  });
  const [toggle, isToggling] = useAction(async () => {
    await call(path, { method: 'PATCH', body: { enabled: !endpoint.enabled } });
    after(endpoint.enabled ? 'The endpoint is disabled' : 'The endpoint is enabled');
  });
  const [rotate, isRotating] = useAction(async () => {
    const answer = await call(`${path}/rotate`, { method: 'POST' });
    onSecret(answer?.secret ?? null);
    after('The secret is replaced; the old one signs too for 24 hours');
  });
  const [replay, isReplaying] = useAction(async () => {
    const since = new Date(now - 86_400_000).toISOString();
    await call(`${path}/replay?since=${encodeURIComponent(since)}`, { method: 'POST' });
    after('What was missed in the last 24 hours is sent again');
  });

  return html`
    <section class="panel" aria-labelledby="endpoint">
      <header>
        <h2 id="endpoint" class="whole">${endpoint.url}</h2>
        <div class="row">
          <button type="button" class="small" disabled=${isTesting} onClick=${test}>Send a test</button>
          <button type="button" class="small" disabled=${isReplaying} onClick=${replay}>Replay last 24 h</button>
          <${Sure} name="New secret" sure="Replace the secret" isBusy=${isRotating} onSure=${rotate} />
          <button type="button" class="small" disabled=${isToggling} onClick=${toggle}>${endpoint.enabled ? 'Disable' : 'Enable'}</button>
          <${RemoveButton} path=${path} onRemoved=${onChanged} />
        </div>
      </header>
      <${Standing} endpoint=${endpoint} now=${now} />
      ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
      ${deliveries === undefined && html`<p class="soft" role="status">Reading the deliveries …</p>`}
      ${deliveries?.length === 0 && html`<p class="soft">Nothing has been sent yet. Send a test, or let a job end.</p>`}
      ${deliveries?.length > 0 &&
      html`
        <h3 class="unseen">Deliveries</h3>
        <${DeliveryTable} deliveries=${deliveries} endpoints=${[endpoint]} names="job" now=${now} onRetried=${() => (reload(), setTimeout(reload, 500))} />
      `}
    </section>
  `;
}

const isLeftAlone = ({ breaker }) => breaker?.state === 'open';

/** Why it isn't called, or not at the moment. */
function Standing({ endpoint, now }) {
  const { disabled, breaker, failing_since: failingSince } = endpoint;
  if (disabled) {
    const reason = REASONS[disabled.reason] ?? disabled.reason;
    return html`<p class="notice">It isn’t called: ${reason}. What happens meanwhile is held for a replay.</p>`;
  }
  if (isLeftAlone(endpoint)) {
    const next = breaker.until ? `, next attempt ${Date.parse(breaker.until) > now ? ago(breaker.until, now) : 'now'}` : '';
    return html`<p class="notice">It failed too often: circuit breaker open${next}. Deliveries wait for the endpoint meanwhile.</p>`;
  }
  if (failingSince) return html`<p class="notice">Every attempt has failed, for ${span(now - Date.parse(failingSince))} now.</p>`;
  return null;
}

function useAction(action) {
  return useTask(async () => {
    try {
      await action();
    } catch (problem) {
      toastProblem(problem);
    }
  });
}

function RemoveButton({ path, onRemoved }) {
  const [remove, isBusy] = useAction(async () => {
    await call(path, { method: 'DELETE' });
    toast('The endpoint is deleted');
    onRemoved();
    go('webhooks');
  });
  return html`<${Sure} name="Delete" sure="Delete for good" isBusy=${isBusy} onSure=${remove} />`;
}

function AddDialog({ onClose, onAdded }) {
  const [url, setUrl] = useState('');
  const [events, setEvents] = useState(ENDS);
  const [submit, isBusy, problem] = useTask(async () => {
    onAdded(await call('v1/webhooks', { method: 'POST', body: { url: url.trim(), events } }));
  });
  const toggle = (name) => setEvents(events.includes(name) ? events.filter((one) => one !== name) : [...events, name]);
  return html`
    <${Dialog} title="New endpoint" onClose=${onClose}>
      <form
        class="stack"
        onSubmit=${(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <div class="field">
          <label for="endpoint-url">URL</label>
          <input
            id="endpoint-url"
            type="url"
            required
            autofocus
            maxlength="2048"
            placeholder="http://127.0.0.1:9000/webhook"
            spellcheck="false"
            value=${url}
            onInput=${(event) => setUrl(event.target.value)}
          />
          <span class="hint">No receiver at hand? <code>abide listen</code> is one.</span>
        </div>
        <fieldset class="field">
          <legend>Events</legend>
          ${EVENTS.map(
            (name) => html`
              <label key=${name} class="check">
                <input type="checkbox" checked=${events.includes(name)} onChange=${() => toggle(name)} />${name}
              </label>
            `,
          )}
        </fieldset>
        ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
        <footer><button class="primary" disabled=${isBusy || events.length === 0}>Create</button></footer>
      </form>
    <//>
  `;
}

function SecretDialog({ secret, onClose }) {
  return html`
    <${Dialog} title="The endpoint’s secret" onClose=${onClose}>
      <p>Deliveries are signed with it. It is shown this once.</p>
      <div class="row"><code class="whole">${secret}</code><${Copy} text=${secret} label="Copy the secret" /></div>
    <//>
  `;
}

function None({ onAdd }) {
  return html`
    <div class="empty">
      <img src="assets/icon.svg" alt="" />
      <h2>Nobody is told by webhook yet</h2>
      <p>An endpoint is told of every job’s end, signed, at least once. <code>abide listen</code> receives and verifies in a terminal.</p>
      <button type="button" onClick=${onAdd}>New endpoint</button>
    </div>
  `;
}

function eventsText(events) {
  const names = events.map((name) => words(name.replace(/^job\./, '')));
  return names.length > 3 ? counted(names.length, 'event') : names.join(', ');
}
