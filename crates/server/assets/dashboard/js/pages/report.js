// The report card of the clients, and what each strategy costs: requests against delay.

import { optional } from '../api.js';
import { useNow } from '../clock.js';
import { ago, amount, count, span, words } from '../format.js';
import { html } from '../html.js';
import { useData, usePage } from '../ui/use.js';
import { Scatter } from './scatter.js';

const READ_EVERY = 5000;

export function ReportPage() {
  const heading = usePage('Report');
  const now = useNow();
  const { data, problem } = useData(async () => cardOf(await optional('v1/report')), [], READ_EVERY);
  return html`
    <div class="page">
      <header>
        <h1 ref=${heading} tabindex="-1">Report</h1>
        ${data?.since && html`<p class="soft small">Clients seen since ${ago(data.since, now)}</p>`}
      </header>
      ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
      ${data === undefined && !problem && html`<p class="soft" role="status">Reading the report …</p>`}
      ${data === null && html`<p class="notice">This server keeps no report.</p>`}
      ${data && data.clients.length === 0 && html`<${Nobody} />`}
      ${data && data.clients.length > 0 && html`<${Card} card=${data} />`}
    </div>
  `;
}

/** The report in one shape, the most frugal client first; `null` where the server keeps none. */
function cardOf(report) {
  if (report === null) return null;
  const clients = (report.clients ?? []).map((one, index) => {
    // As the server counts them: a client may create jobs that it never reads.
    const jobs = Math.max(one.jobs ?? 0, one.creates ?? 0);
    const per = (n) => (n === undefined || n === null || jobs === 0 ? null : n / jobs);
    const late = one.detection_ms ?? one.delay_ms ?? null;
    return {
      key: `${index} ${one.client ?? ''}`,
      name: one.client ?? one.name ?? 'unnamed',
      channel: one.channel ?? one.strategy ?? 'poll',
      jobs,
      requests: one.requests ?? null,
      perJob: one.requests_per_job ?? per(one.requests),
      wastedPerJob: one.wasted_per_job ?? per(one.wasted),
      optimum: one.optimum_per_job ?? null,
      p50: late?.p50 ?? null,
      p90: late?.p90 ?? null,
      given: one.retry_after?.given ?? null,
      obeyed: one.retry_after?.obeyed ?? null,
      duplicates: one.duplicate_creates ?? null,
      grade: one.grade ?? null,
      ratio: one.bound_s ? one.cost_s / one.bound_s : null,
    };
  });
  clients.sort((a, b) => (a.perJob ?? Infinity) - (b.perJob ?? Infinity));
  return { since: report.since ?? null, jobs: report.jobs ?? null, clients };
}

function Card({ card }) {
  const { clients } = card;
  const hasDuplicates = clients.some((client) => client.duplicates !== null);
  const total = (read) => clients.reduce((sum, client) => sum + (read(client) ?? 0), 0);
  const jobs = total((client) => client.jobs);
  const wasted = total((client) => (client.wastedPerJob ?? 0) * client.jobs);
  const requests = total((client) => client.requests ?? (client.perJob ?? 0) * client.jobs);
  const best = clients.filter((client) => client.p50 !== null)[0];
  return html`
    <dl class="figures">
      <div><dt>Clients</dt><dd>${count(clients.length)}</dd></div>
      <div><dt>Requests</dt><dd>${count(Math.round(requests))}</dd></div>
      <div><dt>Requests per job</dt><dd>${amount(jobs > 0 ? requests / jobs : null)}</dd></div>
      <div class=${wasted > 0.2 * requests ? 'warn' : ''}>
        <dt>Wasted</dt>
        <dd>${requests > 0 ? `${Math.round((100 * wasted) / requests)} %` : '–'}</dd>
      </div>
    </dl>
    <section class="panel" aria-labelledby="scatter">
      <header>
        <h2 id="scatter">Requests against delay</h2>
        <p class="small soft">The nearer to the lower left corner, the better.</p>
      </header>
      <${Scatter} clients=${clients} />
      ${best && html`<p class="small soft">The most frugal is ${best.name}: ${best.perJob === 1 ? '1 request' : `${amount(best.perJob)} requests`} per job, the end seen after ${span(best.p50)} at the median.</p>`}
    </section>
    <section class="panel" aria-labelledby="clients">
      <header><h2 id="clients">Clients</h2></header>
      <div class="wide" tabindex="0" role="region" aria-label="Table of clients">
        <table>
          <thead>
            <tr>
              <th scope="col">Client</th>
              <th scope="col">Transport</th>
              <th scope="col">Grade</th>
              <th scope="col" class="number">Jobs</th>
              <th scope="col" class="number">Requests per job</th>
              <th scope="col" class="number">Wasted per job</th>
              <th scope="col" class="number">Delay, median</th>
              <th scope="col" class="number">Delay, p90</th>
              <th scope="col">Retry-After</th>
              ${hasDuplicates && html`<th scope="col">Duplicate creates</th>`}
            </tr>
          </thead>
          <tbody>
            ${clients.map(
              (client) => html`
                <tr key=${client.key}>
                  <th scope="row">${client.name}</th>
                  <td>${words(client.channel)}</td>
                  <td>${gradeOf(client)}</td>
                  <td class="number">${count(client.jobs)}</td>
                  <td class="number">${amount(client.perJob)}${client.optimum !== null && html`<small class="soft"> of ${amount(client.optimum)}</small>`}</td>
                  <td class="number">${amount(client.wastedPerJob)}</td>
                  <td class="number">${span(client.p50)}</td>
                  <td class="number">${span(client.p90)}</td>
                  <td>${obedience(client)}</td>
                  ${hasDuplicates && html`<td>${client.duplicates > 0 ? html`<span class="bad">${count(client.duplicates)}</span>` : 'none'}</td>`}
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
    </section>
  `;
}

/** How well it waited, and what that cost beside the best polling client. */
function gradeOf({ grade, ratio }) {
  if (grade === null) return html`<span class="soft">–</span>`;
  const times = html`<small class="soft"> ${amount(ratio)} × the bound</small>`;
  return html`${grade === 'poor' ? html`<span class="bad">${grade}</span>` : grade}${times}`;
}

function obedience({ given, obeyed }) {
  if (!given) return html`<span class="soft">–</span>`;
  const percent = Math.round((100 * obeyed) / given);
  if (percent >= 95) return 'obeyed';
  return html`<span class="bad">obeyed ${percent} %</span>`;
}

function Nobody() {
  return html`
    <div class="empty">
      <img src="assets/icon.svg" alt="" />
      <h2>No client has been seen yet</h2>
      <p>Wait for a job with any client, <code>abide wait</code>, <code>curl</code> in a loop or your own. What it spends and how late it learns shows here.</p>
    </div>
  `;
}
