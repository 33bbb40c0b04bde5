// The law of a random duration as fields to fill in, with its shape.

import { html } from '../html.js';

const LAWS = {
  fixed: { name: 'Always the same', fields: [['value', 'Duration']] },
  uniform: { name: 'Uniform', fields: [['min', 'Shortest'], ['max', 'Longest']] },
  exponential: { name: 'Exponential', fields: [['mean', 'Mean']] },
  lognormal: { name: 'Lognormal', fields: [['median', 'Median'], ['sigma', 'Sigma, 0 to 5']] },
  empirical: { name: 'Your own durations', fields: [] },
};

const BLANK = { law: 'fixed', value: '20s', min: '10s', max: '30s', mean: '20s', median: '20s', sigma: '0.5', list: '' };

/** The fields that stand for a law of the interface. */
export function fieldsOf(duration) {
  const [law = 'uniform', value = {}] = Object.entries(duration ?? {})[0] ?? [];
  if (law === 'fixed') return { ...BLANK, law, value: String(value) };
  if (law === 'empirical') return { ...BLANK, law, list: value.join('\n') };
  return { ...BLANK, law, ...Object.fromEntries(Object.entries(value).map(([name, part]) => [name, String(part)])) };
}

/** The law that the fields stand for. */
export function durationOf({ law, value, min, max, mean, median, sigma, list }) {
  const laws = {
    fixed: () => spanOf(value),
    uniform: () => ({ min: spanOf(min), max: spanOf(max) }),
    exponential: () => ({ mean: spanOf(mean) }),
    lognormal: () => ({ median: spanOf(median), sigma: Number(sigma) }),
    empirical: () => list.split(/[\n,]+/).map((one) => one.trim()).filter(Boolean).map(spanOf),
  };
  return { [law]: laws[law]() };
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
    ${fields.law === 'empirical' &&
    html`
      <div class="field">
        <label for="law-list">Past durations, one a line; each job draws one of them</label>
        <textarea id="law-list" required spellcheck="false" value=${fields.list} onInput=${edit('list')}></textarea>
      </div>
    `}
    <${Shape} fields=${fields} />
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
function densityOf({ law, min, max, median, sigma }) {
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
