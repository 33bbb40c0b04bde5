// All jobs, live.

import { useCell } from '../cell.js';
import { useNow } from '../clock.js';
import { ago, count, counted, shortId, span, spanWhole, time, words } from '../format.js';
import { html, useCallback, useEffect, useMemo, useRef, useState } from '../html.js';
import { JOBS_MAX, STATUSES, board, list, loading } from '../jobs.js';
import { go, place } from '../router.js';
import { Badge } from '../ui/badge.js';
import { Icon } from '../ui/icon.js';
import { say } from '../ui/toast.js';
import { usePage } from '../ui/use.js';
import { WindowedGrid } from '../ui/window.js';
import { CancelButton, cancel } from './cancel.js';
import { CreateDialog } from './create.js';

const ROW = 56;
const ROW_NARROW = 84;
const NARROW = '(width < 56rem)';

export function JobsPage() {
  const heading = usePage('Jobs');
  const { list: jobs, byKind } = useCell(board);
  const { query } = useCell(place);
  const [isCreating, setCreating] = useState(false);
  const isNarrow = useMedia(NARROW);
  const now = useNow();
  const filter = { status: query.get('status') ?? '', kind: query.get('kind') ?? '', text: query.get('text') ?? '' };

  // The counts beside the statuses are of what the other filters let through.
  const found = useMemo(() => jobs.filter(matcher({ ...filter, status: '' })), [jobs, filter.kind, filter.text]);
  const byStatus = useMemo(() => countByStatus(found), [found]);
  const items = useMemo(() => found.filter((job) => !filter.status || job.status === filter.status), [found, filter.status]);
  useAnnounced(items.length, [filter.status, filter.kind, filter.text]);

  const setFilter = (change) => {
    const kept = Object.entries({ ...filter, ...change }).filter(([, value]) => value);
    go('', Object.fromEntries(kept), { replace: true });
    scrollTo({ top: Math.min(scrollY, 0) });
  };
  const open = useCallback((job) => go(`jobs/${encodeURIComponent(job.id)}`), []);
  const onKey = useCallback((key, job) => {
    if (key === 'Delete' && !job.done) cancel(job.id);
  }, []);

  return html`
    <div class="page">
      <header>
        <h1 ref=${heading} tabindex="-1">Jobs</h1>
        <button type="button" class="primary" onClick=${() => setCreating(true)}><${Icon} name="add" />New job</button>
      </header>
      <${LoadProblem} />
      <${Filters} filter=${filter} setFilter=${setFilter} total=${found.length} byStatus=${byStatus} byKind=${byKind} />
      ${items.length > 0
        ? html`
            <${WindowedGrid}
              items=${items}
              keyOf=${keyOf}
              rowHeight=${isNarrow ? ROW_NARROW : ROW}
              label="Jobs, the newest first. Arrow keys move, Enter opens, Delete cancels."
              columns="6"
              head=${HEAD}
              renderRow=${(job) => html`<${Row} job=${job} now=${now} />`}
              onOpen=${open}
              onKey=${onKey}
            />
          `
        : html`<${Nothing} isFiltered=${jobs.length > 0} onCreate=${() => setCreating(true)} onClear=${() => setFilter({ status: '', kind: '', text: '' })} />`}
      ${jobs.length >= JOBS_MAX && html`<p class="soft small">Only the newest ${count(JOBS_MAX)} jobs are shown.</p>`}
      ${isCreating && html`<${CreateDialog} onClose=${() => setCreating(false)} />`}
    </div>
  `;
}

const keyOf = (job) => job.id;

function countByStatus(jobs) {
  const counts = {};
  for (const { status } of jobs) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

const HEAD = ['Status', 'Job', 'Progress', 'Created', 'Length', html`<span class="unseen">Actions</span>`].map(
  (name, index) => html`<span key=${index} role="columnheader" aria-colindex=${index + 1}>${name}</span>`,
);

function Row({ job, now }) {
  return html`
    <span role="gridcell" class="cell-status"><${Badge} status=${job.status} /></span>
    <span role="gridcell" class="cell-job">
      <a class="mono" tabindex="-1" href=${`#/jobs/${encodeURIComponent(job.id)}`} title=${job.id}>${shortId(job.id)}</a>
      <span class="soft">${words(job.kind)}</span>
    </span>
    <span role="gridcell" class="cell-progress"><${Progress} job=${job} /></span>
    <span role="gridcell" class="cell-created soft"><time datetime=${job.created_at} title=${time(job.created_at, now)}>${ago(job.created_at, now)}</time></span>
    <span role="gridcell" class="cell-length numbers">${length(job, now)}</span>
    <span role="gridcell" class="cell-action">${!job.done && html`<${CancelButton} job=${job} tabindex="-1" />`}</span>
  `;
}

function Progress({ job }) {
  if (job.done) {
    if (job.outcome === 'failed') return html`<span class="soft clip">${job.error?.detail ?? job.error?.title}</span>`;
    return null;
  }
  const percent = job.progress?.percent ?? 0;
  const stage = job.progress?.stage;
  const left = job.remaining_ms?.p50;
  return html`
    <progress max="100" value=${percent} aria-label="Progress"></progress>
    <span class="soft clip">${[`${Math.round(percent)} %`, left && `${span(left)} left`, stage && words(stage)].filter(Boolean).join(' · ')}</span>
  `;
}

function length(job, now) {
  const from = Date.parse(job.created_at);
  return job.done ? span(Date.parse(job.finished_at) - from) : spanWhole(now - from);
}

function Filters({ filter, setFilter, total, byStatus, byKind }) {
  const others = Object.keys(byStatus).filter((status) => !STATUSES.includes(status));
  const choices = [['', 'All', total], ...[...STATUSES, ...others].map((status) => [status, words(status), byStatus[status] ?? 0])];
  const kinds = [...byKind.keys()].sort();
  return html`
    <div class="filters" role="search" aria-label="Jobs">
      <fieldset class="chips">
        <legend class="unseen">Status</legend>
        ${choices.map(
          ([value, name, n]) => html`
            <label key=${value}>
              <input
                type="radio"
                name="status"
                value=${value}
                checked=${filter.status === value}
                onChange=${() => setFilter({ status: value })}
              />
              <span>${name}</span> <b>${count(n)}</b>
            </label>
          `,
        )}
      </fieldset>
      <div class="narrowing">
        <select aria-label="Kind" value=${filter.kind} onChange=${(event) => setFilter({ kind: event.target.value })}>
          <option value="">All kinds</option>
          ${kinds.map((kind) => html`<option key=${kind} value=${kind} selected=${kind === filter.kind}>${words(kind)}</option>`)}
        </select>
        <input
          type="search"
          aria-label="Find by id or metadata"
          placeholder="Id, name=value or text"
          spellcheck="false"
          value=${filter.text}
          onInput=${(event) => setFilter({ text: event.target.value })}
        />
      </div>
    </div>
  `;
}

function LoadProblem() {
  const state = useCell(loading);
  if (state === 'loading' || state === 'ready') return null;
  return html`
    <div class="notice" role="alert">
      <span>The list couldn’t be read: ${state.message}</span>
      <button type="button" class="small" onClick=${list}>Try again</button>
    </div>
  `;
}

function Nothing({ isFiltered, onCreate, onClear }) {
  const state = useCell(loading);
  if (state === 'loading') return html`<p class="empty" role="status">Reading the jobs …</p>`;
  if (isFiltered) {
    return html`
      <div class="empty">
        <h2>No matching jobs</h2>
        <button type="button" onClick=${onClear}>Show all jobs</button>
      </div>
    `;
  }
  return html`
    <div class="empty">
      <img src="assets/icon.svg" alt="" />
      <h2>No jobs yet</h2>
      <p>Create one here, or in a terminal with <code>abide create</code>. Whoever creates it, it appears here at once.</p>
      <button type="button" onClick=${onCreate}>New job</button>
    </div>
  `;
}

function matcher({ status, kind, text }) {
  const wanted = text.trim().toLowerCase();
  const [name, value] = wanted.split('=', 2);
  const isPair = value !== undefined && name !== '';
  return (job) =>
    (!status || job.status === status) &&
    (!kind || job.kind === kind) &&
    (!wanted || isOfId(job.id, wanted) || (isPair ? hasPair(job, name, value) : metadataText(job).includes(wanted)));
}

/** Whether a text is the beginning of an id, with or without `job_`, or its end. Fewer than four characters are in too many ids. */
function isOfId(id, text) {
  return text.length >= 4 && (id.startsWith(text) || id.startsWith(`job_${text}`) || id.endsWith(text));
}

/** Whether the metadata has that name with a value that begins so, as `--metadata NAME=TEXT` wrote it. */
function hasPair(job, name, value) {
  const found = Object.entries(job.metadata ?? {}).find(([key]) => key.toLowerCase() === name);
  return found !== undefined && String(found[1]).toLowerCase().startsWith(value);
}

const metadataTexts = new WeakMap();
function metadataText(job) {
  let text = metadataTexts.get(job);
  if (text === undefined) {
    text = job.metadata ? JSON.stringify(job.metadata).toLowerCase() : '';
    metadataTexts.set(job, text);
  }
  return text;
}

/** Says how many jobs are left when a filter has changed; not when jobs come and go. */
function useAnnounced(n, inputs) {
  const isFirst = useRef(true);
  const latest = useRef(n);
  latest.current = n;
  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = false;
      return undefined;
    }
    const timer = setTimeout(() => say(counted(latest.current, 'job')), 500);
    return () => clearTimeout(timer);
  }, inputs);
}

function useMedia(query) {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const look = () => setMatches(media.matches);
    media.addEventListener('change', look);
    return () => media.removeEventListener('change', look);
  }, [query]);
  return matches;
}
