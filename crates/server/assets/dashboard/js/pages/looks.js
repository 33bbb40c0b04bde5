// What is known of how a job was waited for, put in order: arithmetic without drawing.

/** The most lanes of a timeline; further clients share the last one. */
const LANES_MAX = 6;
/** A share of the width that belongs to what came after the end, which is drawn larger than life. */
const AFTER_SHARE = 0.24;

/** `looks` of one client by one channel, oldest first, with what they were good for. */
export function lanesOf(looks, finishedAt) {
  const end = finishedAt ? Date.parse(finishedAt) : null;
  const lanes = new Map();
  for (const look of looks) {
    const at = Date.parse(look.at);
    if (!Number.isFinite(at)) continue;
    const key = `${look.client ?? ''} ${look.channel}`;
    let lane = lanes.get(key);
    if (!lane && lanes.size >= LANES_MAX) lane = [...lanes.values()].at(-1);
    if (!lane) {
      lane = { key, channel: look.channel, client: look.client ?? null, looks: [], wasted: 0, late: null };
      lanes.set(key, lane);
    }
    lane.looks.push({ ...look, at });
    if (!look.news) lane.wasted += 1;
    if (end !== null && at >= end && look.news && lane.late === null) lane.late = at - end;
  }
  for (const lane of lanes.values()) lane.looks.sort((a, b) => a.at - b.at);
  return [...lanes.values()];
}

/** All lanes together: how many looks, how many for nothing, and how late the first and the last client learned of the end. */
export function summaryOf(lanes) {
  const late = lanes.map((lane) => lane.late).filter((ms) => ms !== null);
  return {
    looks: lanes.reduce((n, lane) => n + lane.looks.length, 0),
    wasted: lanes.reduce((n, lane) => n + lane.wasted, 0),
    late: late.length > 0 ? Math.min(...late) : null,
  };
}

/** The job's life as stretches `{from, to, name, status}` in milliseconds since the epoch. */
export function stretchesOf(job, changes, now) {
  const end = job.finished_at ? Date.parse(job.finished_at) : null;
  const marks = [{ at: Date.parse(job.created_at), status: 'pending', stage: null }];
  const known = changes.length > 0 ? changes : changesOf(job);
  for (const change of known) {
    const at = Date.parse(change.at);
    const last = marks.at(-1);
    const stage = change.stage ?? null;
    if (!Number.isFinite(at) || isEnd(change.status)) continue;
    if (change.status === last.status && stage === last.stage) continue;
    marks.push({ at, status: change.status, stage });
  }
  return marks
    .map((mark, index) => ({
      from: mark.at,
      to: marks[index + 1]?.at ?? end ?? Math.max(now, mark.at),
      name: mark.stage ?? mark.status,
      status: mark.status,
    }))
    .filter((stretch) => stretch.to > stretch.from);
}

/**
 * Where an instant lies on the drawing, between 0 and `width`.
 *
 * A job takes seconds and its end is seen milliseconds late, so one scale would hide what matters. There are two: the life of the job, and
 * what came after its end, larger, with a gap between them.
 */
export function scaleOf({ created, end, now, looks, forecast, width, gap = 10 }) {
  if (end === null) {
    // To a round number, so that the drawing stands still while time goes on.
    const to = created + roundAbove(Math.max(now, forecast ?? 0, created + 1) - created);
    return { x: linear(created, to, 0, width), life: [created, to, 0, width], after: null };
  }
  const last = looks.reduce((latest, look) => Math.max(latest, look.at), end);
  if (last <= end) return { x: linear(created, Math.max(end, created + 1), 0, width), life: [created, end, 0, width], after: null };
  const cut = Math.round(width * (1 - AFTER_SHARE));
  const to = end + roundAbove((last - end) * 1.08);
  const life = linear(created, Math.max(end, created + 1), 0, cut);
  const after = linear(end, to, cut + gap, width);
  return {
    x: (at) => (at <= end ? life(at) : after(at)),
    life: [created, end, 0, cut],
    after: [end, to, cut + gap, width],
  };
}

/** Round steps of about `count` ticks over a span of milliseconds. */
export function ticksOf(spanMs, count) {
  const step = niceAbove(spanMs / Math.max(1, count));
  const ticks = [];
  for (let at = 0; at <= spanMs + 1e-6; at += step) ticks.push(at);
  return ticks;
}

const NICE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 864e5];

function niceAbove(ms) {
  return NICE.find((nice) => nice >= ms) ?? Math.ceil(ms / 864e5) * 864e5;
}

/** A length a little above, of one or two digits. */
function roundAbove(ms) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(ms, 1)));
  const steps = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
  return unit * steps.find((step) => step * unit >= ms - 1e-6);
}

function linear(from, to, x0, x1) {
  return (at) => x0 + ((Math.min(Math.max(at, from), to) - from) / (to - from)) * (x1 - x0);
}

function changesOf(job) {
  return job.started_at ? [{ at: job.started_at, status: 'running', stage: null }] : [];
}

const isEnd = (status) => ['completed', 'failed', 'canceled'].includes(status);
