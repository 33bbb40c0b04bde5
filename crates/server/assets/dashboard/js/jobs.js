// The jobs as this page knows them: listed once, then kept up to date by the feed.
//
// The feed is opened before the list is read, and whatever comes by either is merged by revision. So nothing falls between the two,
// and their order doesn't matter.

import { pages, Problem } from './api.js';
import { Cell } from './cell.js';
import { clockIsAtLeast, serverNow, syncClock } from './clock.js';
import { feed } from './feed.js';

/** The most jobs that are kept; of more, the newest. */
export const JOBS_MAX = 20_000;
const PAGE_JOBS = 1000;
/** How long changes are gathered before the page is drawn again. */
const GATHER_MS = 60;
const SWEEP_MS = 10_000;

export const STATUSES = ['pending', 'running', 'completed', 'failed', 'canceled'];

const jobs = new Map();
let newestFirst = [];
let fresh = [];
let timer = 0;
let listing = 0;
/** Who wants to hear of each event as it comes. */
const listeners = new Set();

/** What is drawn: `{list, byStatus, byKind}`. A new object after every change. */
export const board = new Cell({ list: [], byStatus: {}, byKind: new Map() });
/** Whether the list has been read, is being read, or couldn't be: `loading`, `ready`, or a `Problem`. */
export const loading = new Cell('loading');

/** Begins to follow; called once, and again when there is another key. */
let stop = () => {};
export function start() {
  stop();
  jobs.clear();
  newestFirst = [];
  fresh = [];
  draw();
  loading.value = 'loading';
  stop = feed('v1/events', {
    onEvent: hear,
    onOpen: (isGap) => {
      syncClock();
      // A feed that goes on from an event misses nothing, or says `reset`. One that begins needs the list.
      if (isGap || loading.value !== 'ready') list();
    },
  });
}

/** The job of that id, if it is known here. */
export function jobOf(id) {
  return jobs.get(id) ?? null;
}

/** Takes a job that was read elsewhere, if it is newer than what is known. */
export function put(job) {
  const known = jobs.get(job.id);
  if (known && known.revision >= job.revision) return;
  if (!known) fresh.push(job.id);
  jobs.set(job.id, job);
  clockIsAtLeast(job.updated_at);
  timer ||= setTimeout(draw, GATHER_MS);
}

/** Forgets a job whose record is gone. */
export function forget(id) {
  if (!jobs.delete(id)) return;
  newestFirst = newestFirst.filter((one) => one !== id);
  timer ||= setTimeout(draw, GATHER_MS);
}

/** Calls back with every event of the feed, until the function that it returns is called. */
export function onEvent(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Reads the list again. */
export async function list() {
  const mine = ++listing;
  const began = new Date(serverNow()).toISOString();
  const seen = new Set();
  loading.value = 'loading';
  try {
    await pages(`v1/jobs?limit=${PAGE_JOBS}`, (page) => {
      if (mine !== listing) return false;
      for (const job of page?.jobs ?? []) {
        seen.add(job.id);
        put(job);
      }
      return seen.size < JOBS_MAX;
    });
  } catch (error) {
    if (mine === listing) loading.value = error instanceof Problem ? error : new Problem(0, { title: String(error) });
    return;
  }
  if (mine !== listing) return;
  // What wasn't listed and isn't newer than the listing has been deleted meanwhile.
  if (seen.size < JOBS_MAX) {
    for (const job of [...jobs.values()]) if (!seen.has(job.id) && job.created_at < began) forget(job.id);
  }
  loading.value = 'ready';
}

function hear({ event, data }) {
  let job;
  try {
    job = JSON.parse(data);
  } catch {
    return;
  }
  if (event === 'reset') {
    list();
    return;
  }
  if (!job?.id) return;
  put(job);
  for (const listener of listeners) listener(event, job);
}

function draw() {
  clearTimeout(timer);
  timer = 0;
  if (fresh.length > 0) {
    const place = (id) => jobs.get(id).created_at + id;
    const added = fresh.filter((id) => jobs.has(id)).sort((a, b) => (place(a) < place(b) ? 1 : -1));
    const isNewer = newestFirst.length === 0 || added.length === 0 || place(added.at(-1)) > place(newestFirst[0]);
    newestFirst = [...added, ...newestFirst];
    if (!isNewer) newestFirst.sort((a, b) => (place(a) < place(b) ? 1 : -1));
    fresh = [];
    for (const id of newestFirst.slice(JOBS_MAX)) jobs.delete(id);
    newestFirst.length = Math.min(newestFirst.length, JOBS_MAX);
  }
  const byStatus = {};
  const byKind = new Map();
  const all = newestFirst.map((id) => {
    const job = jobs.get(id);
    byStatus[job.status] = (byStatus[job.status] ?? 0) + 1;
    byKind.set(job.kind, (byKind.get(job.kind) ?? 0) + 1);
    return job;
  });
  board.value = { list: all, byStatus, byKind };
}

// No event tells that a record was deleted at the end of its retention, but each job says when that will be.
setInterval(() => {
  const now = new Date(serverNow()).toISOString();
  for (const job of [...jobs.values()]) if (job.expires_at && job.expires_at < now) forget(job.id);
}, SWEEP_MS);
