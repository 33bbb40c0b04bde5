// One job: its life, who looked at it and who was told.
//
// Looking at a job is what is measured here, so this page doesn't: it reads the list for this one id, follows the feed of all jobs, and asks for
// the log of looks. None of these counts as a look.

import { Problem, call, optional } from '../api.js';
import { useCell } from '../cell.js';
import { useNow } from '../clock.js';
import { ago, count, counted, shortId, span, time, words } from '../format.js';
import { html, useEffect, useMemo, useState } from '../html.js';
import { board, forget, jobOf, onEvent, put } from '../jobs.js';
import { go } from '../router.js';
import { Badge } from '../ui/badge.js';
import { Copy } from '../ui/copy.js';
import { Icon } from '../ui/icon.js';
import { Json } from '../ui/json.js';
import { Sure } from '../ui/sure.js';
import { say, toast, toastProblem } from '../ui/toast.js';
import { useData, usePage, useTask } from '../ui/use.js';
import { CancelButton } from './cancel.js';
import { DeliveryTable } from './deliveries.js';
import { useHistory } from './history.js';
import { lanesOf, summaryOf } from './looks.js';
import { Legend, Timeline } from './timeline.js';

const LOOK_EVERY = 3000;
const LOOKS_SHOWN = 100;
const REQUESTS_READ = 1000;

/** What this server has turned out not to have isn't asked for again. */
const lacks = new Set();

export function JobPage({ id }) {
  const heading = usePage(shortId(id));
  useCell(board);
  const job = jobOf(id);
  // Read where the feed and the list haven't brought it.
  const { problem: missing } = useData(() => (job === null ? read(id) : null), [id, job === null]);
  const path = `v1/jobs/${encodeURIComponent(id)}`;
  const isOpen = job !== null && !job.done;
  const now = useNow(isOpen, 500);

  const log = useData(() => readLooks(id), [id, job !== null], isOpen ? LOOK_EVERY : 0);
  const told = useData(async () => (await unlessLacking('deliveries', id))?.deliveries ?? null, [id, job !== null], isOpen ? LOOK_EVERY * 2 : 0);
  const endpoints = useData(async () => (await optional('v1/webhooks?limit=100'))?.webhooks ?? [], [id, told.data?.length > 0], isOpen ? LOOK_EVERY * 2 : 0);
  const changes = useHistory(path, job, log.data?.changes ?? null);
  // The looks that saw the end come just after it, so read them once more.
  useEffect(() => {
    if (!job?.done) return undefined;
    const timers = [300, 1500, 5000].map((ms) => setTimeout(() => (log.reload(), told.reload()), ms));
    return () => timers.forEach(clearTimeout);
  }, [job?.done]);
  useEffect(
    () =>
      onEvent((event, other) => {
        if (other.id !== id) return;
        log.reload();
        if (other.done) say(`The job is ${words(other.status)}`);
      }),
    [id],
  );

  const lanes = useMemo(() => lanesOf(log.data?.looks ?? [], job?.finished_at), [log.data, job?.finished_at]);
  if (job === null) {
    return html`
      <div class="page">
        <header><h1 ref=${heading} tabindex="-1" class="mono">${shortId(id)}</h1></header>
        ${missing ? html`<${Missing} problem=${missing} />` : html`<p role="status" class="soft">Reading the job …</p>`}
      </div>
    `;
  }
  return html`
    <div class="page">
      <header>
        <div class="stack title-stack">
          <a class="row small" href="#/"><${Icon} name="back" />All jobs</a>
          <div class="row">
            <h1 ref=${heading} tabindex="-1" class="mono" title=${id}>${shortId(id)}</h1>
            <${Copy} text=${id} label="Copy the job’s id" />
            <span role="status"><${Badge} status=${job.status} /></span>
          </div>
        </div>
        <div class="row">${job.done ? html`<${DeleteButton} job=${job} />` : html`<${CancelButton} job=${job} kind="" />`}</div>
      </header>
      ${job.error && html`<p class="notice" role="note"><span>${job.error.detail ?? job.error.title}</span></p>`}
      <${Figures} job=${job} lanes=${lanes} hasLog=${log.data?.looks !== null} now=${now} />
      <section class="panel" aria-labelledby="timeline">
        <header>
          <h2 id="timeline">Timeline</h2>
          <${Legend} />
        </header>
        <${Timeline}
          job=${job}
          changes=${changes}
          lanes=${lanes}
          watchers=${log.data?.watchers ?? []}
          deliveries=${told.data ?? []}
          now=${now}
        />
        <${LookTable} log=${log} lanes=${lanes} created=${Date.parse(job.created_at)} />
        <${Requests} job=${job} />
      </section>
      <div class="columns">
        <${Facts} job=${job} now=${now} />
        <${Watchers} watchers=${log.data?.watchers} isDone=${job.done} now=${now} />
      </div>
      ${told.data?.length > 0 &&
      html`
        <section class="panel" aria-labelledby="told">
          <header><h2 id="told">Webhooks</h2></header>
          <${DeliveryTable} deliveries=${told.data} endpoints=${endpoints.data} names="endpoint" now=${now} onRetried=${told.reload} />
        </section>
      `}
      <${Contents} job=${job} />
    </div>
  `;
}

function Missing({ problem }) {
  const text =
    problem instanceof Problem && problem.status === 410
      ? 'The record of this job has been deleted.'
      : problem instanceof Problem && problem.status === 404
        ? 'The server knows no job of this id, or it belongs to another key.'
        : problem.message;
  return html`<div class="empty"><p>${text}</p><a href="#/">All jobs</a></div>`;
}

async function read(id) {
  const page = await call(`v1/jobs?ids=${encodeURIComponent(id)}`).catch(() => null);
  put(page?.jobs?.find((one) => one.id === id) ?? (await call(`v1/jobs/${encodeURIComponent(id)}`)));
}

async function unlessLacking(what, id) {
  if (lacks.has(what)) return null;
  const answer = await optional(`v1/jobs/${encodeURIComponent(id)}/${what}`);
  // An unknown job answers 404 too.
  if (answer === null && jobOf(id)) lacks.add(what);
  return answer;
}

async function readLooks(id) {
  const [log, watching] = await Promise.all([unlessLacking('looks', id), unlessLacking('watchers', id)]);
  return {
    looks: log?.looks ?? null,
    changes: log?.changes ?? [],
    dropped: log?.dropped ?? 0,
    watchers: watching?.watchers ?? [],
  };
}

function Figures({ job, lanes, hasLog, now }) {
  const { looks, wasted, late } = summaryOf(lanes);
  const created = Date.parse(job.created_at);
  const took = (job.finished_at ? Date.parse(job.finished_at) : now) - created;
  const left = job.remaining_ms;
  return html`
    <dl class="figures">
      <div><dt>${job.done ? 'Took' : 'Running for'}</dt><dd>${span(job.done ? took : Math.floor(took / 1000) * 1000)}</dd></div>
      ${!job.done && job.progress && html`<div><dt>Progress</dt><dd>${Math.round(job.progress.percent)} %</dd></div>`}
      ${!job.done && left && html`<div><dt>Left, as learned</dt><dd>${span(left.p50)}<small>${span(left.p10)} to ${span(left.p90)}</small></dd></div>`}
      ${hasLog &&
      html`
        <div><dt>Requests</dt><dd>${count(looks)}</dd></div>
        <div class=${wasted > 0 ? 'warn' : ''}><dt>Wasted</dt><dd>${count(wasted)}</dd></div>
        ${job.done && html`<div class=${late > 100 ? 'warn' : ''}><dt>Detection delay</dt><dd>${late === null ? 'not yet' : span(late)}</dd></div>`}
      `}
    </dl>
  `;
}

function LookTable({ log, lanes, created }) {
  if (log.data === undefined) return null;
  if (log.data.looks === null) return html`<p class="small soft">This server keeps no log of reads.</p>`;
  const looks = lanes.flatMap((lane) => lane.looks).sort((a, b) => b.at - a.at);
  if (looks.length === 0) return html`<p class="small soft">No client has read this job. This page doesn’t count: it reads the log.</p>`;
  const shown = looks.slice(0, LOOKS_SHOWN);
  return html`
    <details class="small">
      <summary>Every read as a table</summary>
      <div class="wide" tabindex="0" role="region" aria-label="Every read">
        <table>
          <thead>
            <tr><th scope="col">When</th><th scope="col" class="number">After</th><th scope="col">How</th><th scope="col">Who</th><th scope="col" class="number">Held</th><th scope="col">Saw</th></tr>
          </thead>
          <tbody>
            ${shown.map(
              (look, index) => html`
                <tr key=${index}>
                  <td>${time(look.at)}</td>
                  <td class="number">${span(look.at - created)}</td>
                  <td>${words(look.channel)}</td>
                  <td>${look.client ?? '–'}</td>
                  <td class="number">${look.held_ms > 0 ? span(look.held_ms) : '–'}</td>
                  <td>${look.news ? `revision ${look.revision}` : html`<span class="soft">nothing new</span>`}</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
      ${looks.length > LOOKS_SHOWN && html`<p class="soft">The last ${LOOKS_SHOWN} of ${count(looks.length)}.</p>`}
      ${log.data.dropped > 0 && html`<p class="soft">The server has forgotten ${counted(log.data.dropped, 'older read')}.</p>`}
    </details>
  `;
}

/** What came and was answered, word for word: the create, reads in a vendor's interface too, a worker's reports, with status and fault. */
function Requests({ job }) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <details class="small" onToggle=${(event) => setOpen(event.target.open)}>
      <summary>Every request as it came</summary>
      ${isOpen && html`<${RequestTable} job=${job} />`}
    </details>
  `;
}

function RequestTable({ job }) {
  const { data: requests, problem } = useData(
    async () => (await optional(`v1/requests?job=${encodeURIComponent(job.id)}&limit=${REQUESTS_READ}`))?.requests ?? [],
    [job.id, job.revision],
    job.done ? 0 : LOOK_EVERY,
  );
  if (problem) return html`<p class="soft">${problem.status === 403 ? 'Only a key with the role admin may read them.' : problem.message}</p>`;
  if (requests === undefined) return html`<p class="soft" role="status">Reading the requests …</p>`;
  if (requests.length === 0) return html`<p class="soft">The server remembers none that names this job.</p>`;
  return html`
    <div class="wide" tabindex="0" role="region" aria-label="Every request">
      <table>
        <thead>
          <tr><th scope="col">When</th><th scope="col">Request</th><th scope="col" class="number">Status</th><th scope="col" class="number">Took</th><th scope="col">Who</th><th scope="col">Simulated fault</th></tr>
        </thead>
        <tbody>
          ${requests.slice(-LOOKS_SHOWN).reverse().map(
            (one) => html`
              <tr key=${one.n}>
                <td>${time(one.at)}</td>
                <td><code class="whole">${one.method} ${one.target}</code></td>
                <td class=${`number ${one.status >= 400 ? 'bad' : ''}`}>${one.status}</td>
                <td class="number">${span(one.took_ms)}</td>
                <td>${one.client}</td>
                <td>${one.fault ?? '–'}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
    ${requests.length > LOOKS_SHOWN && html`<p class="soft">The last ${LOOKS_SHOWN} of ${count(requests.length)}.</p>`}
  `;
}

/** The flag that names this server, unless it is where one listens by default. */
function serverFlag() {
  const base = new URL('.', document.baseURI).href.replace(/\/$/, '');
  const isDefault = base === 'http://127.0.0.1:8080' || base === 'http://localhost:8080';
  return isDefault ? '' : ` --server ${base}`;
}

function Facts({ job, now }) {
  const facts = [
    ['Id', html`<code class="whole">${job.id}</code>`],
    ['Kind', words(job.kind)],
    ['Interface', job.metadata?.dialect && html`<a href=${`#/?${new URLSearchParams({ text: `dialect=${job.metadata.dialect}` })}`}>${job.metadata.dialect}</a>`],
    ['Revision', count(job.revision)],
    ['Attempts', job.attempts && count(job.attempts)],
    ['Created', time(job.created_at, now)],
    ['Started', job.started_at && time(job.started_at, now)],
    ['Ended', job.finished_at && time(job.finished_at, now)],
    ['Record deleted', job.expires_at && ago(job.expires_at, now)],
    ['In a terminal', html`<code class="whole">abide ${job.done ? 'status' : 'wait'} ${job.id}${serverFlag()}</code>`],
  ].filter(([, value]) => value);
  return html`
    <section class="panel" aria-labelledby="facts">
      <header><h2 id="facts">Record</h2></header>
      <dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    </section>
  `;
}

function Watchers({ watchers, isDone, now }) {
  return html`
    <section class="panel" aria-labelledby="watchers">
      <header><h2 id="watchers">Who is waiting now</h2></header>
      ${watchers?.length > 0
        ? html`
            <table>
              <thead><tr><th scope="col">How</th><th scope="col">From</th><th scope="col" class="number">For</th></tr></thead>
              <tbody>
                ${watchers.map(
                  (watcher, index) => html`
                    <tr key=${index}>
                      <td>${words(watcher.channel)}</td>
                      <td>${watcher.address ?? '–'}</td>
                      <td class="number">${span(Math.max(0, now - Date.parse(watcher.since)))}</td>
                    </tr>
                  `,
                )}
              </tbody>
            </table>
          `
        : html`<p class="soft">${isDone ? 'The job has ended; nobody waits any more.' : 'Nobody holds a request or a stream on this job.'}</p>`}
    </section>
  `;
}

function Contents({ job }) {
  const parts = [
    ['Result', job.result],
    ['Error', job.error],
    ['Input', job.input],
    ['Metadata', job.metadata],
  ].filter(([, value]) => value !== null && value !== undefined && Object.keys(Object(value)).length + String(value).length > 0);
  const shown = parts.filter(([, value]) => typeof value !== 'object' || Object.keys(value).length > 0);
  if (shown.length === 0) return null;
  return html`
    <section class="panel" aria-labelledby="contents">
      <header><h2 id="contents">Contents</h2></header>
      <div class="columns">${shown.map(([title, value]) => html`<${Json} key=${title} title=${title} value=${value} />`)}</div>
    </section>
  `;
}

function DeleteButton({ job }) {
  const [run, isBusy] = useTask(async () => {
    try {
      await call(`v1/jobs/${encodeURIComponent(job.id)}`, { method: 'DELETE' });
      forget(job.id);
      toast(`The record of ${shortId(job.id)} is deleted`);
      go('');
    } catch (problem) {
      toastProblem(problem);
    }
  });
  return html`<${Sure} name="Delete the record" sure="Delete for good" kind="" isBusy=${isBusy} onSure=${run} />`;
}
