// Numbers and times for people.

const whole = new Intl.NumberFormat('en');
const clockTime = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dayTime = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});

/** 12345 → "12,345". */
export const count = (n) => whole.format(n);

/** 1, "look" → "1 look"; 2, "look" → "2 looks". */
export const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** A number with as many decimals as it deserves: 0.05, 1.6, 16. */
export function amount(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return '–';
  if (n === 0) return '0';
  if (Math.abs(n) < 1) return String(Number(n.toPrecision(2)));
  return Math.abs(n) < 100 ? String(Number(n.toFixed(1))) : count(Math.round(n));
}

/** A span of milliseconds: "340 ms", "12.3 s", "3 min 20 s", "5 h 3 min", "2 d 4 h". */
export function span(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return '–';
  const sign = ms < 0 ? '−' : '';
  const t = Math.abs(ms);
  if (t < 1) return t === 0 ? '0 ms' : `${sign}${amount(t)} ms`;
  if (t < 999.5) return `${sign}${Math.round(t)} ms`;
  if (t < 59_950) return `${sign}${(t / 1000).toFixed(1)} s`;
  const s = Math.round(t / 1000);
  if (s < 3600) return sign + pair(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 172_800) return sign + pair(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return sign + pair(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

/** Like `span`, in whole seconds, for what is counting. */
export const spanWhole = (ms) => (ms < 60_000 ? `${Math.max(0, Math.round(ms / 1000))} s` : span(ms));

/** "14:03:22", with the day where it isn't today's. */
export function time(instant, now = Date.now()) {
  const at = typeof instant === 'number' ? instant : Date.parse(instant);
  if (!Number.isFinite(at)) return '–';
  const isToday = new Date(at).toDateString() === new Date(now).toDateString();
  return (isToday ? clockTime : dayTime).format(at);
}

/** "5 s ago", "in 2 min". */
export function ago(instant, now) {
  const away = now - Date.parse(instant);
  if (Math.abs(away) < 1500) return 'now';
  return away > 0 ? `${spanWhole(away)} ago` : `in ${spanWhole(-away)}`;
}

/** The end of a long id, which is where ids that are ordered by time differ. */
export function shortId(id) {
  if (id.length <= 16) return id;
  const prefix = id.slice(0, id.indexOf('_') + 1);
  return `${prefix}…${id.slice(-10)}`;
}

/** "lip_sync" → "lip sync". */
export const words = (name) => String(name ?? '').replaceAll('_', ' ');

function pair(a, unitA, b, unitB) {
  return b === 0 ? `${a} ${unitA}` : `${a} ${unitA} ${b} ${unitB}`;
}
