// All jobs, live.

import { useCell } from '../cell.js';
import { serverNow, useNow } from '../clock.js';
import { matcher, sorted } from '../find.js';
import { ago, count, counted, shortId, span, spanWhole, time, words } from '../format.js';
import { html, useCallback, useEffect, useMemo, useRef, useState } from '../html.js';
import { JOBS_MAX, STATUSES, board, list, loading } from '../jobs.js';
import { go, place } from '../router.js';
import { Badge } from '../ui/badge.js';
import { Icon } from '../ui/icon.js';
import { say } from '../ui/toast.js';
import { useMedia, usePage } from '../ui/use.js';
import { WindowedGrid } from '../ui/window.js';
import { CancelButton, cancel } from './cancel.js';
import { CreateDialog } from './create.js';

const ROW = 56;
const ROW_NARROW = 84;
const NARROW = '(width < 56rem)';

const FILTERS = ['status', 'kind', 'text', 'since', 'sort'];
const SINCE = { '': 'Any time', '5m': 'Last 5 minutes', '1h': 'Last hour', '24h': 'Last 24 hours' };
/** Orders for a screen without column heads. */
const SORTS = {
  '': 'Newest first',
  created: 'Oldest first',
  status: 'By status',
  kind: 'By kind',
  '-progress': 'By progress',
  left: 'Least time left',
  '-duration': 'Longest first',
};
/** Columns: name, and what a press on it sorts by, the second press the other way. */
const COLUMNS = [
  ['Status', 'status', '-status'],
  ['Job', 'kind', '-kind'],
  ['Progress', '-progress', 'progress'],
  ['Left', 'left', '-left'],
  ['Created', '', 'created'],
  ['Duration', '-duration', 'duration'],
  ['Actions'],
];

export function JobsPage() {
  const heading = usePage('Jobs');
  const { list: jobs, byKind } = useCell(board);
  const { query } = useCell(place);
  const [isCreating, setCreating] = useState(false);
  const isNarrow = useMedia(NARROW);
  const now = useNow();
  const filter = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? '']));
  const { status, kind, text, since, sort } = filter;
  const minute = since && Math.floor(now / 60_000);

  // The counts beside the statuses are of what the other filters let through.
  const found = useMemo(() => jobs.filter(matcher({ kind, text, since }, serverNow())), [jobs, kind, text, since, minute]);
  const byStatus = useMemo(() => countByStatus(found), [found]);
  const items = useMemo(
    () => sorted(found.filter((job) => !status || job.status === status), sort, serverNow()),
    [found, status, sort],
  );
  useAnnounced(items.length, [status, kind, text, since]);

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
              label="Jobs. Arrow keys move, Enter opens, Delete cancels."
              columns=${COLUMNS.length}
              head=${html`<${Head} sort=${sort} onSort=${(sort) => setFilter({ sort })} />`}
              renderRow=${(job) => html`<${Row} job=${job} now=${now} />`}
              onOpen=${open}
              onKey=${onKey}
            />
          `
        : html`<${Nothing} isFiltered=${jobs.length > 0} onCreate=${() => setCreating(true)} onClear=${() => setFilter({ status: '', kind: '', text: '', since: '' })} />`}
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

function Head({ sort, onSort }) {
  return COLUMNS.map(([name, first, second], index) => {
    if (first === undefined) return html`<span key=${name} role="columnheader" aria-colindex=${index + 1}><span class="unseen">${name}</span></span>`;
    const isFirst = sort === first;
    const isSorted = isFirst || sort === second;
    const isDown = (isFirst ? first || '-' : second).startsWith('-');
    return html`
      <span key=${name} role="columnheader" aria-colindex=${index + 1} aria-sort=${isSorted ? (isDown ? 'descending' : 'ascending') : 'none'}>
        <button type="button" class="sort" title=${`Sort by ${name.toLowerCase()}`} onClick=${() => onSort(isFirst ? second : first)}>
          ${name}${isSorted && html`<i aria-hidden="true">${isDown ? '↓' : '↑'}</i>`}
        </button>
      </span>
    `;
  });
}

function Row({ job, now }) {
  const left = job.done ? null : job.remaining_ms;
  return html`
    <span role="gridcell" class="cell-status"><${Badge} status=${job.status} /></span>
    <span role="gridcell" class="cell-job">
      <a class="mono" tabindex="-1" href=${`#/jobs/${encodeURIComponent(job.id)}`} title=${job.id}>${shortId(job.id)}</a>
      <span class="soft clip" title=${metadataLine(job)}>${[words(job.kind), metadataLine(job)].filter(Boolean).join(' · ')}</span>
    </span>
    <span role="gridcell" class="cell-progress"><${Progress} job=${job} /></span>
    <span role="gridcell" class="cell-left numbers" title=${left && `${span(left.p10)} to ${span(left.p90)}, as learned`}>${left && span(left.p50)}</span>
    <span role="gridcell" class="cell-created soft"><time datetime=${job.created_at} title=${time(job.created_at, now)}>${ago(job.created_at, now)}</time></span>
    <span role="gridcell" class="cell-length numbers">${length(job, now)}</span>
    <span role="gridcell" class="cell-action">${!job.done && html`<${CancelButton} job=${job} tabindex="-1" />`}</span>
  `;
}

const metadataLine = (job) => Object.entries(job.metadata ?? {}).map((pair) => pair.join('=')).join(' ');

function Progress({ job }) {
  if (job.done) {
    if (job.outcome === 'failed') return html`<span class="soft clip">${job.error?.detail ?? job.error?.title}</span>`;
    return null;
  }
  const percent = job.progress?.percent ?? 0;
  const stage = job.progress?.stage;
  return html`
    <progress max="100" value=${percent} aria-label="Progress"></progress>
    <span class="soft clip">${[`${Math.round(percent)} %`, stage && words(stage)].filter(Boolean).join(' · ')}</span>
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
        <select aria-label="Created" value=${filter.since} onChange=${(event) => setFilter({ since: event.target.value })}>
          ${Object.entries(SINCE).map(([value, name]) => html`<option key=${value} value=${value} selected=${value === filter.since}>${name}</option>`)}
        </select>
        <select class="order" aria-label="Order" value=${filter.sort} onChange=${(event) => setFilter({ sort: event.target.value })}>
          ${Object.entries(SORTS).map(([value, name]) => html`<option key=${value} value=${value} selected=${value === filter.sort}>${name}</option>`)}
        </select>
        <input
          type="search"
          aria-label="Find by id or metadata"
          placeholder="Id or name=value"
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
      <p>Create one here, or in a terminal with <code>abide create</code>. It appears here at once, whichever program creates it.</p>
      <button type="button" onClick=${onCreate}>New job</button>
    </div>
  `;
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
