// A new job, or several of them.

import { Problem, call, idempotencyKey } from '../api.js';
import { board, put } from '../jobs.js';
import { counted, shortId } from '../format.js';
import { html, useState } from '../html.js';
import { Dialog } from '../ui/dialog.js';
import { toast } from '../ui/toast.js';
import { useTask } from '../ui/use.js';

const AT_ONCE_MAX = 100;
/** Requests in flight at the same time; the feed holds another of the browser's six connections. */
const LANES = 3;

export function CreateDialog({ onClose }) {
  const [form, setForm] = useState({ kind: '', duration: '', chance: '', input: '', many: '1', worker: 'simulator' });
  const edit = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const [submit, isBusy, problem] = useTask(async () => {
    const many = Number(form.many);
    const made = await createMany(bodyOf(form), many);
    if (many === 1) {
      const [job] = made;
      toast(`${shortId(job.id)} is created`, { link: { href: `#/jobs/${encodeURIComponent(job.id)}`, text: 'Open' } });
    } else {
      toast(`${counted(made.length, 'job')} created`);
    }
    onClose();
  });
  const isSimulated = form.worker === 'simulator';

  return html`
    <${Dialog} title="New job" onClose=${onClose}>
      <form
        class="stack"
        onSubmit=${(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <div class="fields">
          <div class="field">
            <label for="create-kind">Kind</label>
            <input
              id="create-kind"
              list="create-kinds"
              maxlength="100"
              autofocus
              placeholder="video_translation"
              autocomplete="off"
              value=${form.kind}
              onInput=${edit('kind')}
            />
            <datalist id="create-kinds">
              ${[...board.value.byKind.keys()].map((kind) => html`<option key=${kind} value=${kind}></option>`)}
            </datalist>
          </div>
          <div class="field">
            <label for="create-many">How many</label>
            <input id="create-many" type="number" min="1" max=${AT_ONCE_MAX} required value=${form.many} onInput=${edit('many')} />
          </div>
        </div>
        <div class="field">
          <label for="create-worker">Who does the work</label>
          <select id="create-worker" value=${form.worker} onChange=${edit('worker')}>
            <option value="simulator">The simulator</option>
            <option value="external">A worker that reports to the server</option>
          </select>
        </div>
        ${isSimulated &&
        html`
          <div class="fields">
            <div class="field">
              <label for="create-duration">How long it runs</label>
              <input
                id="create-duration"
                placeholder="as the simulator is set"
                autocomplete="off"
                aria-describedby="create-duration-hint"
                value=${form.duration}
                onInput=${edit('duration')}
              />
              <span class="hint" id="create-duration-hint">such as 20s, 1m 30s or 500ms</span>
            </div>
            <div class="field">
              <label for="create-chance">Chance of an error, in percent</label>
              <input
                id="create-chance"
                type="number"
                min="0"
                max="100"
                step="any"
                placeholder="as the simulator is set"
                value=${form.chance}
                onInput=${edit('chance')}
              />
            </div>
          </div>
        `}
        <details>
          <summary>Input</summary>
          <div class="field">
            <label for="create-input">What the job is given, as JSON</label>
            <textarea
              id="create-input"
              spellcheck="false"
              placeholder=${'{"video_url": "https://example.com/talk.mp4", "language": "es"}'}
              value=${form.input}
              onInput=${edit('input')}
            ></textarea>
          </div>
        </details>
        ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
        <footer>
          <button class="primary" disabled=${isBusy}>${isBusy ? 'Creating …' : 'Create'}</button>
        </footer>
      </form>
    <//>
  `;
}

function bodyOf({ kind, duration, chance, input, worker }) {
  const body = {};
  if (kind.trim()) body.kind = kind.trim();
  if (input.trim()) body.input = parse(input);
  if (worker === 'external') {
    body.worker = worker;
    return body;
  }
  const simulate = {};
  if (duration.trim()) simulate.duration = { fixed: duration.trim() };
  if (chance !== '') simulate.outcome = { error_chance: Number(chance) / 100 };
  if (Object.keys(simulate).length > 0) body.simulate = simulate;
  return body;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem(0, { title: 'The input is not JSON.' });
  }
}

async function createMany(body, many) {
  const made = [];
  let left = many;
  async function lane() {
    while (left > 0) {
      left -= 1;
      const headers = { 'idempotency-key': idempotencyKey() };
      const job = await call('v1/jobs', { method: 'POST', body, headers });
      put(job);
      made.push(job);
    }
  }
  await Promise.all(Array.from({ length: Math.min(LANES, many) }, lane));
  return made;
}
