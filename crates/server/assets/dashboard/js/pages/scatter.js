// Requests per job against how late the end is seen, a dot per client. Both scales are logarithmic: clients differ by factors.

import { amount, span, words } from '../format.js';
import { html } from '../html.js';
import { useWidth } from '../ui/use.js';

const LEFT = 58;
const BOTTOM = 40;
const TOP = 32;
/** Where a drawing is narrow, names are short. */
const NARROW = 520;
const RIGHT = 16;
const LABEL_WIDTH = 6.6;

export function Scatter({ clients }) {
  const [box, width] = useWidth(700);
  const dots = clients.filter((client) => client.perJob > 0 && client.p50 !== null);
  if (dots.length === 0) return html`<div ref=${box}><p class="soft">No client has seen a job’s end yet.</p></div>`;
  const height = Math.round(Math.min(420, Math.max(260, width * 0.5)));
  const x = logScale([1, ...dots.map((dot) => dot.perJob)], LEFT, width - RIGHT);
  const y = logScale(
    dots.flatMap((dot) => [dot.p50, dot.p90 ?? dot.p50]).map((ms) => Math.max(ms, 1)),
    height - BOTTOM,
    TOP,
  );
  const placed = dots.map((dot) => ({ ...dot, x: x.at(dot.perJob), y: y.at(Math.max(dot.p50, 1)), top: y.at(Math.max(dot.p90 ?? dot.p50, 1)) }));
  const labels = placeLabels(placed, width);
  return html`
    <div class="scatter" ref=${box}>
      <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${describe(dots)}>
        <g class="axis">
          ${x.ticks.map((n) => html`<line key=${n} x1=${x.at(n)} x2=${x.at(n)} y1=${TOP} y2=${height - BOTTOM} /><text key=${`t${n}`} x=${x.at(n)} y=${height - BOTTOM + 18} text-anchor="middle">${amount(n)}</text>`)}
          ${y.ticks.map((ms) => html`<line key=${ms} x1=${LEFT} x2=${width - RIGHT} y1=${y.at(ms)} y2=${y.at(ms)} /><text key=${`t${ms}`} x=${LEFT - 8} y=${y.at(ms) + 4} text-anchor="end">${ms < 1000 ? `${ms} ms` : `${ms / 1000} s`}</text>`)}
          <text class="name" x=${width - RIGHT} y=${height - 6} text-anchor="end">requests per job</text>
          <text class="name" x="0" y="12">delay of the end: median to p90</text>
        </g>
        ${placed.map((dot) => html`<line key=${dot.key} class=${`reach ${dot.channel}`} x1=${dot.x} x2=${dot.x} y1=${dot.y} y2=${dot.top} />`)}
        ${placed.map((dot) => html`<${Mark} key=${dot.key} dot=${dot} />`)}
        ${labels.map((label) => html`<text key=${label.key} class="label" x=${label.x} y=${label.y} text-anchor=${label.anchor}>${label.text}</text>`)}
      </svg>
      <ul class="legend small soft" aria-label="What the shapes mean">
        ${[...new Set(dots.map((dot) => dot.channel))].map(
          (channel) => html`
            <li key=${channel}>
              <svg width="16" height="16" aria-hidden="true"><${Mark} dot=${{ x: 8, y: 8, channel, name: '', perJob: 0, p50: 0, jobs: 0 }} /></svg>
              ${words(channel)}
            </li>
          `,
        )}
      </ul>
    </div>
  `;
}

/** A shape per channel, so that color isn't needed to tell them apart. */
function Mark({ dot: { x, y, channel, name, perJob, p50, jobs } }) {
  const r = Math.min(11, 5 + Math.log2(1 + jobs) * 0.8);
  const shapes = {
    poll: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    stream: `M${x} ${y - r * 1.2}L${x + r * 1.15} ${y + r * 0.85}H${x - r * 1.15}z`,
    webhook: `M${x} ${y - r * 1.3}L${x + r * 1.3} ${y}L${x} ${y + r * 1.3}L${x - r * 1.3} ${y}z`,
  };
  const round = `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
  return html`
    <path class=${`mark ${channel}`} d=${shapes[channel] ?? round}>
      <title>${name}, ${words(channel)}: ${amount(perJob)} requests per job, end seen after ${span(p50)}</title>
    </path>
  `;
}

/** Puts each name beside its mark, on the side that has room, and below another name rather than on it. */
function placeLabels(dots, width) {
  const taken = [];
  return [...dots]
    .sort((a, b) => a.y - b.y)
    .map((dot) => {
      const name = width < NARROW ? dot.name.split(' · ')[0] : dot.name;
      const text = name.length > 28 ? `${name.slice(0, 27)}…` : name;
      const long = text.length * LABEL_WIDTH;
      const anchor = dot.x + 16 + long > width ? 'end' : 'start';
      const x = anchor === 'start' ? dot.x + 16 : dot.x - 16;
      const from = anchor === 'start' ? x : x - long;
      let y = dot.y + 4;
      while (taken.some((other) => Math.abs(other.y - y) < 15 && other.from < from + long && from < other.to)) y += 5;
      taken.push({ y, from, to: from + long });
      return { key: dot.key, text, x, y, anchor };
    });
}

function logScale(values, from, to) {
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)) + 1e-9);
  const high = Math.max(...values) * 1.25;
  const top = Math.max(high, low * 8);
  const at = (value) => from + (Math.log(value / low) / Math.log(top / low)) * (to - from);
  const decades = Math.log10(top / low);
  const ticks = [];
  for (let power = low; power <= top * 1.001; power *= 10) {
    for (const step of decades < 2.2 ? [1, 2, 5] : [1]) if (power * step <= top * 1.001) ticks.push(Number((power * step).toPrecision(3)));
  }
  return { at, ticks };
}

function describe(dots) {
  const rows = dots.map((dot) => `${dot.name}: ${amount(dot.perJob)} requests per job, end seen after ${span(dot.p50)}`);
  return `Requests per job against delay. ${rows.join('. ')}.`;
}
