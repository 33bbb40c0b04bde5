// The law of a random duration as fields to fill in, with its shape.

import { html } from '../html.js';

// The members of each law: its name in the interface, its label, what stands there at first, and how it is read.
const LAWS = {
  fixed: { name: 'Always the same', fields: [['value', 'Duration', '20s', spanOf]] },
  uniform: { name: 'Uniform', fields: [['min', 'Shortest', '10s', spanOf], ['max', 'Longest', '30s', spanOf]] },
  exponential: { name: 'Exponential', fields: [['mean', 'Mean', '20s', spanOf]] },
  lognormal: { name: 'Lognormal', fields: [['median', 'Median', '20s', spanOf], ['sigma', 'Sigma, 0 to 5', '0.5', Number]] },
  weibull: { name: 'Weibull', fields: [['scale', 'Scale', '20s', spanOf], ['shape', 'Shape', '1.5', Number]] },
  pareto: { name: 'Pareto', fields: [['min', 'Shortest', '10s', spanOf], ['alpha', 'Exponent', '1.5', Number]] },
  empirical: { name: 'Your own durations', fields: [] },
  text: { name: 'As text or JSON', fields: [] },
};

const BLANK = Object.assign(
  { law: 'fixed', list: '', text: 'mixture:0.3:3s+0.7:lognormal:45s:0.2' },
  ...Object.values(LAWS).flatMap(({ fields }) => fields.map(([name, , first]) => ({ [name]: first }))),
);

/** The fields that stand for a law of the interface. */
export function fieldsOf(duration) {
  const [law = 'uniform', value = {}] = Object.entries(duration ?? {})[0] ?? [];
  if (law === 'fixed') return { ...BLANK, law, value: String(value) };
  if (law === 'empirical') return { ...BLANK, law, list: value.join('\n') };
  if (!LAWS[law]) return { ...BLANK, law: 'text', text: JSON.stringify(duration, null, 1) };
  return { ...BLANK, law, ...Object.fromEntries(Object.entries(value).map(([name, part]) => [name, String(part)])) };
}

/** The law that the fields stand for. */
export function durationOf(fields) {
  const { law, list, text } = fields;
  if (law === 'text') return jsonOr(text);
  if (law === 'empirical') return { [law]: list.split(/[\n,]+/).map((one) => one.trim()).filter(Boolean).map(spanOf) };
  const members = Object.fromEntries(LAWS[law].fields.map(([name, , , read]) => [name, read(fields[name])]));
  return { [law]: law === 'fixed' ? members.value : members };
}

export function DurationFields({ fields, onChange }) {
  const edit = (name) => (event) => onChange({ ...fields, [name]: event.target.value });
  return html`
    <div class="fields">
      <div class="field">
        <label for="law">Law</label>
        <select id="law" value=${fields.law} onChange=${edit('law')}>
          ${Object.entries(LAWS).map(([law, { name }]) => html`<option key=${law} value=${law} selected=${law === fields.law}>${name}</option>`)}
        </select>
      </div>
      ${LAWS[fields.law].fields.map(
        ([name, label]) => html`
          <div key=${name} class="field">
            <label for=${`law-${name}`}>${label}</label>
            <input id=${`law-${name}`} required autocomplete="off" value=${fields[name]} onInput=${edit(name)} />
          </div>
        `,
      )}
    </div>
    ${fields.law === 'empirical' && html`<${Area} label="Past durations, one a line; each job draws one of them" value=${fields.list} onInput=${edit('list')} />`}
    ${fields.law === 'text' && html`<${Area} label="Such as shifted:5s:LAW or mixture:0.3:LAW+0.7:LAW" value=${fields.text} onInput=${edit('text')} />`}
    <${Shape} fields=${fields} />
  `;
}

/** What the JSON says; a text that is none is the server's to judge. */
function jsonOr(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text.trim();
  }
}

function Area({ label, value, onInput }) {
  return html`
    <div class="field">
      <label for="law-list">${label}</label>
      <textarea id="law-list" required spellcheck="false" value=${value} onInput=${onInput}></textarea>
    </div>
  `;
}

/** The density as a small hill. It says how durations lie to each other, not how long they are. */
function Shape({ fields }) {
  const width = 240;
  const height = 44;
  const density = densityOf(fields);
  if (!density) return null;
  const points = Array.from({ length: 121 }, (_, n) => density(n / 120));
  const top = Math.max(...points, 1e-9);
  const path = points.map((p, n) => `${n === 0 ? 'M' : 'L'}${((n / 120) * width).toFixed(1)} ${(height - (p / top) * (height - 4)).toFixed(1)}`).join('');
  return html`
    <svg class="shape" viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="hill" d=${`${path}V${height}H0z`} /><path class="ridge" d=${path} />
    </svg>
  `;
}

/** The density over 0 to 1, where 1 is as far as is worth drawing. */
function densityOf({ law, min, max, median, sigma, shape, alpha }) {
  if (law === 'fixed') return (x) => (Math.abs(x - 0.5) < 0.005 ? 1 : 0);
  if (law === 'exponential') return (x) => Math.exp(-4 * x);
  if (law === 'uniform') {
    const [a, b] = [secondsOf(min), secondsOf(max)];
    if (!(b > 0) || !(a >= 0) || a > b) return null;
    return (x) => (x * b * 1.2 >= a && x * b * 1.2 <= b ? 1 : 0);
  }
  if (law === 'lognormal') {
    const s = Number(sigma);
    if (!(secondsOf(median) > 0) || !(s > 0.02) || s > 5) return null;
    const far = Math.exp(Math.min(s * 2.2, 3));
    return (x) => (x <= 0 ? 0 : Math.exp(-(Math.log(x * far) ** 2) / (2 * s * s)) / (x * far));
  }
  if (law === 'weibull') {
    const k = Number(shape);
    if (!(k > 0) || k > 100) return null;
    const far = 4 ** (1 / Math.max(k, 0.5));
    return (x) => Math.min((x * far) ** (k - 1) * Math.exp(-((x * far) ** k)), 4);
  }
  if (law === 'pareto') return Number(alpha) > 0 ? (x) => (x < 0.2 ? 0 : (x / 0.2) ** (-Number(alpha) - 1)) : null;
  return null;
}

/** A span as the interface takes it: a bare number is a number of seconds. */
function spanOf(text) {
  const trimmed = String(text).trim();
  return trimmed !== '' && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

/** Roughly how many seconds a span is, for the drawing alone. */
function secondsOf(text) {
  const units = { ms: 0.001, s: 1, m: 60, min: 60, h: 3600, d: 86_400 };
  let sum = 0;
  for (const [, n, unit] of String(text).matchAll(/([\d.]+)\s*(ms|min|[smhd])?/g)) sum += Number(n) * (units[unit] ?? 1);
  return sum;
}
