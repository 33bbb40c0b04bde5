// The life of a job, and every look that a client took at it.
//
// Each look is a tick: a tall one brought news, a short one was for nothing. A held request is a line that ends in its tick. What lies in
// the warm field at the right is late.

import { amount, count, counted, span, time, words } from '../format.js';
import { html, useMemo, useState } from '../html.js';
import { useWidth } from '../ui/use.js';
import { scaleOf, stretchesOf, summaryOf, ticksOf } from './looks.js';

const LIFE = 34;
const LANE = 46;
/** Where a drawing is narrow, a lane's figures have a line of their own. */
const NARROW = 560;
const FIGURES_LINE = 16;
const AXIS = 26;
const LABEL = 18;
const ROOM = 12;

export function Timeline({ job, changes, lanes, watchers, deliveries, now }) {
  const [box, width] = useWidth(700);
  const [near, setNear] = useState(null);
  const created = Date.parse(job.created_at);
  const end = job.finished_at ? Date.parse(job.finished_at) : null;
  const remaining = job.remaining_ms;
  const forecast = end === null && remaining ? Date.parse(job.updated_at) + remaining.p90 : null;
  const looks = useMemo(() => lanes.flatMap((lane) => lane.looks), [lanes]);
  const pushes = useMemo(() => attemptsOf(deliveries), [deliveries]);
  const inner = Math.max(120, width - 2);
  const scale = scaleOf({ created, end, now, looks: [...looks, ...pushes], forecast, width: inner });
  const stretches = stretchesOf(job, changes, now);
  const rows = pushes.length > 0 ? [...lanes, { key: 'webhook', channel: 'webhook', pushes }] : lanes;
  const isNarrow = inner < NARROW;
  const lift = isNarrow ? FIGURES_LINE : 0;
  const lane = LANE + lift;
  const top = AXIS + LABEL + LIFE + ROOM;
  const height = top + rows.length * lane + 8;
  const nowX = end === null ? scale.x(now) : null;

  function onPointerMove(event) {
    const bounds = event.currentTarget.getBoundingClientRect();
    const x = event.clientX - bounds.left;
    const row = rows[Math.floor((event.clientY - bounds.top - top) / lane)];
    const close = (row?.looks ?? [])
      .map((look) => ({ look, x: scale.x(look.at), away: Math.abs(scale.x(look.at) - x) }))
      .reduce((best, one) => (!best || one.away < best.away ? one : best), null);
    setNear(close && close.away < 12 ? { ...close, row } : null);
  }

  return html`
    <div class="timeline" ref=${box}>
      <svg
        width=${inner}
        height=${height}
        viewBox=${`0 0 ${inner} ${height}`}
        role="img"
        aria-label=${describe(job, lanes, end, created)}
        onPointerMove=${onPointerMove}
        onPointerLeave=${() => setNear(null)}
      >
        ${scale.after && html`<${After} scale=${scale} height=${height} />`}
        <${Axis} scale=${scale} height=${height} />
        <g transform=${`translate(0 ${AXIS + LABEL})`}>
          ${stretches.map((stretch, index) => html`<${Stretch} key=${stretch.from} stretch=${stretch} index=${index} scale=${scale} />`)}
          ${end === null && remaining && html`<${Forecast} job=${job} now=${now} scale=${scale} />`}
          ${end !== null && html`<rect class=${`end ${job.outcome}`} x=${scale.x(end) - 3} y="-3" width="4" height=${LIFE + 6} rx="2" />`}
        </g>
        ${rows.map(
          (row, index) => html`
            <g key=${row.key} transform=${`translate(0 ${top + index * lane})`}>
              <line class="floor" x1="0" x2=${inner} y1=${lane} y2=${lane} />
              <${LaneTitle} row=${row} isNarrow=${isNarrow} />
              <g transform=${`translate(0 ${lift})`}>
                ${row.pushes
                  ? html`<${PushLane} lane=${row} scale=${scale} />`
                  : html`<${LookLane} lane=${row} job=${job} scale=${scale} end=${end} watchers=${watchers} now=${now} />`}
              </g>
            </g>
          `,
        )}
        ${nowX !== null && html`<line class="now" x1=${nowX} x2=${nowX} y1=${AXIS} y2=${height} />`}
        ${near && html`<circle class="near" cx=${near.x} cy=${top + rows.indexOf(near.row) * lane + lift + 30} r="6" />`}
      </svg>
      <p class="tip small numbers" aria-hidden="true">${near ? tipOf(near.look, created, end) : '\u00a0'}</p>
    </div>
  `;
}

export function Legend() {
  return html`
    <ul class="legend small soft" aria-label="What the marks mean">
      <li><svg width="10" height="18" aria-hidden="true"><path class="tick news" d="M5 1V17" /></svg>a request that brought news</li>
      <li><svg width="10" height="18" aria-hidden="true"><path class="tick waste" d="M5 6V12" /></svg>a wasted one</li>
      <li><svg width="26" height="18" aria-hidden="true"><path class="held" d="M1 9H25" /></svg>a request that is held, at no cost</li>
      <li><svg width="16" height="14" aria-hidden="true"><rect class="after" width="16" height="14" rx="3" /></svg>after the end: late</li>
    </ul>
  `;
}

function Axis({ scale, height }) {
  const [from, to, x0, x1] = scale.life;
  const ticks = ticksOf(to - from, Math.max(2, (x1 - x0) / 110));
  return html`
    <g class="axis">
      ${ticks.map((at) => {
        const x = scale.x(from + at);
        const anchor = x < 12 ? 'start' : x > x1 - 24 ? 'end' : 'middle';
        return html`
          <line key=${at} x1=${x} x2=${x} y1=${AXIS - 6} y2=${height} />
          <text key=${`t${at}`} x=${x} y="13" text-anchor=${anchor}>${at === 0 ? 'created' : axisSpan(at)}</text>
        `;
      })}
    </g>
  `;
}

function After({ scale, height }) {
  const [from, to, x0, x1] = scale.after;
  const all = ticksOf(to - from, Math.max(1, (x1 - x0) / 70)).slice(1);
  // A label at the very edge would lie on the one before it; a lone one is drawn to the left.
  const ticks = all.filter((at) => all.length === 1 || scale.x(from + at) <= x1 - 28);
  return html`
    <g class="axis late">
      <rect class="after" x=${x0} y="0" width=${x1 - x0} height=${height} rx="6" />
      ${ticks.map((at) => {
        const x = scale.x(from + at);
        const anchor = x > x1 - 20 ? 'end' : 'middle';
        return html`
          <line key=${at} x1=${x} x2=${x} y1=${AXIS - 6} y2=${height} />
          <text key=${`t${at}`} x=${anchor === 'end' ? x1 - 5 : x} y="13" text-anchor=${anchor}>+${axisSpan(at)}</text>
        `;
      })}
      <text class="title" x=${x0 + 8} y=${AXIS + 10}>${x1 - x0 > 96 ? 'after the end' : 'late'}</text>
    </g>
  `;
}

function Stretch({ stretch, index, scale }) {
  const x = scale.x(stretch.from);
  const width = Math.max(1, scale.x(stretch.to) - x - 1);
  const name = words(stretch.name);
  return html`
    <g>
      <rect class=${`stretch ${stretch.status === 'pending' ? 'pending' : `tone-${index % 2}`}`} x=${x} y="0" width=${width} height=${LIFE} rx="4">
        <title>${name}: ${span(stretch.to - stretch.from)}</title>
      </rect>
      ${width > name.length * 6.6 + 12 && html`<text class="stage" x=${x + 8} y=${LIFE / 2 + 4}>${name}</text>`}
    </g>
  `;
}

/** What the server has learned of jobs of this kind: eight in ten end in the field, half of them before the line. */
function Forecast({ job, now, scale }) {
  const { p10, p50, p90 } = job.remaining_ms;
  const base = Date.parse(job.updated_at);
  const [x0, xm, x1] = [p10, p50, p90].map((ms) => scale.x(Math.max(now, base + ms)));
  if (x1 - x0 < 2) return null;
  return html`
    <g class="forecast">
      <rect x=${x0} y="4" width=${x1 - x0} height=${LIFE - 8} rx="4"><title>Eight in ten jobs of this kind end in here</title></rect>
      <line x1=${xm} x2=${xm} y1="4" y2=${LIFE - 4} />
    </g>
  `;
}

/** Who looks, and what it came to. */
function LaneTitle({ row, isNarrow }) {
  const failed = row.pushes?.filter((push) => !push.isGood).length ?? 0;
  const figures = row.pushes
    ? [counted(row.pushes.length, 'attempt'), failed > 0 && `${count(failed)} failed`]
    : [
        counted(row.looks.length, 'request'),
        row.wasted > 0 && `${count(row.wasted)} wasted`,
        row.late !== null && `${span(row.late)} late`,
      ];
  const title = [words(row.channel), row.client].filter(Boolean).join(' · ');
  const place = isNarrow ? { x: 0, dy: FIGURES_LINE } : { dx: 10 };
  return html`<text class="lane" x="0" y="14">${title}<tspan class="figures" ...${place}>${figures.filter(Boolean).join(', ')}</tspan></text>`;
}

function LookLane({ lane, job, scale, end, watchers, now }) {
  const news = [];
  const waste = [];
  const held = [];
  for (const look of lane.looks) {
    const x = scale.x(look.at).toFixed(1);
    (look.news ? news : waste).push(look.news ? `M${x} 20V40` : `M${x} 26V34`);
    if (look.held_ms > 0) held.push(`M${scale.x(look.at - look.held_ms).toFixed(1)} 30H${x}`);
  }
  for (const watcher of end === null ? watchers : []) {
    if (watcher.channel !== lane.channel) continue;
    held.push(`M${scale.x(Date.parse(watcher.since)).toFixed(1)} 30H${scale.x(now).toFixed(1)}`);
  }
  return html`
    <path class="held" d=${held.join('')} />
    ${lane.late !== null &&
    html`<path class="lateness" d=${`M${scale.x(end)} 30H${scale.x(end + lane.late)}`} />`}
    <path class="tick waste" d=${waste.join('')} />
    <path class="tick news" d=${news.join('')} />
    ${lane.late !== null && html`<path class=${`tick ${job.outcome}`} d=${`M${scale.x(end + lane.late)} 18V42`} />`}
  `;
}

function PushLane({ lane, scale }) {
  const path = (isGood) =>
    lane.pushes
      .filter((push) => push.isGood === isGood)
      .map((push) => `M${scale.x(push.at).toFixed(1)} ${isGood ? '20V40' : '26V34'}`)
      .join('');
  return html`
    <path class="tick failed" d=${path(false)} />
    <path class="tick news" d=${path(true)} />
  `;
}

function attemptsOf(deliveries) {
  return deliveries
    .flatMap((delivery) => delivery.attempts ?? [])
    .map((attempt) => ({ at: Date.parse(attempt.at), isGood: attempt.status >= 200 && attempt.status < 300 }))
    .filter((push) => Number.isFinite(push.at));
}

function describe(job, lanes, end, created) {
  const { looks, wasted, late } = summaryOf(lanes);
  const life = end === null ? 'The job hasn’t ended.' : `The job ${job.outcome} after ${span(end - created)}.`;
  const seen = looks === 0 ? 'No client has read it.' : `${counted(looks, 'request')}, ${amount(wasted)} wasted.`;
  return `${life} ${seen}${late === null ? '' : ` The end was seen ${span(late)} late.`}`;
}

function tipOf(look, created, end) {
  const at = end !== null && look.at >= end ? `${span(look.at - end)} after the end` : `after ${span(look.at - created)}`;
  const held = look.held_ms > 0 ? `, held for ${span(look.held_ms)}` : '';
  const news = look.news ? `brought revision ${look.revision}` : `nothing newer than revision ${look.revision}`;
  return `${words(look.channel)} at ${time(look.at)}, ${at}${held}: ${news}`;
}

const axisSpan = (ms) => (ms < 1000 ? `${ms} ms` : ms < 60_000 ? `${ms / 1000} s` : span(ms));
