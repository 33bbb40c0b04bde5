// Which jobs a person means, and in which order: arithmetic without drawing.

/** How far back a filter reaches, in milliseconds, by its word in the address. */
export const SPANS = { '5m': 300_000, '1h': 3_600_000, '24h': 86_400_000 };

/** Whether a job passes the filter `{status, kind, text, since}`; an empty member lets all through. */
export function matcher({ status = '', kind = '', text = '', since = '' }, now) {
  const wanted = text.trim().toLowerCase();
  const at = wanted.indexOf('=');
  const isPair = at > 0;
  const [name, value] = [wanted.slice(0, at), wanted.slice(at + 1)];
  // Instants in RFC 3339, all in UTC, are ordered as their text is.
  const from = SPANS[since] ? new Date(now - SPANS[since]).toISOString() : '';
  return (job) =>
    (!status || job.status === status) &&
    (!kind || job.kind === kind) &&
    job.created_at >= from &&
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

const PLACES = ['running', 'pending', 'failed', 'canceled', 'completed'];
const percent = (job) => (job.done ? 101 : (job.progress?.percent ?? 0));
const left = (job) => (job.done ? Infinity : (job.remaining_ms?.p50 ?? Number.MAX_VALUE));

/** What a list can be sorted by, ascending; `created` is how it comes. */
const KEYS = {
  created: (job) => job.created_at + job.id,
  status: (job) => PLACES.indexOf(job.status),
  kind: (job) => job.kind,
  progress: percent,
  left,
  duration: (job, now) => Date.parse(job.finished_at ?? new Date(now).toISOString()) - Date.parse(job.created_at),
};

/** The jobs, which come with the newest first, sorted by a name of `KEYS`; descending with a `-` before it. */
export function sorted(jobs, order, now) {
  if (order === '' || order === '-created') return jobs;
  const key = KEYS[order.replace('-', '')];
  if (!key) return jobs;
  const sign = order.startsWith('-') ? -1 : 1;
  const keyed = jobs.map((job) => [key(job, now), job]);
  keyed.sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0));
  return keyed.map(([, job]) => job);
}
