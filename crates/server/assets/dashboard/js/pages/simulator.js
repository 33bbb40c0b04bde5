// The simulator's settings and the server's clock.

import { call, optional } from '../api.js';
import { useCell } from '../cell.js';
import { advance, clock, useNow } from '../clock.js';
import { time } from '../format.js';
import { html, useEffect, useState } from '../html.js';
import { toast, toastProblem } from '../ui/toast.js';
import { useData, usePage, useTask } from '../ui/use.js';
import { DurationFields, durationOf, fieldsOf } from './duration.js';
import { FaultFields, faultOf } from './faults.js';

export function SimulatorPage() {
  const heading = usePage('Simulator');
  const { data, problem, reload } = useData(() => optional('v1/simulator'), []);
  return html`
    <div class="page">
      <header><h1 ref=${heading} tabindex="-1">Simulator</h1></header>
      <p class="soft">How jobs are played that don’t say it themselves. Changes count for jobs that are created from then on.</p>
      ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
      ${data === null && html`<p class="notice">This server’s simulator can’t be changed while it runs.</p>`}
      <div class="settings">
        <div class="stack">
          ${data && html`<${ScenarioPanel} settings=${data} onSaved=${reload} />`}
          ${data && html`<${OutcomePanel} settings=${data} onSaved=${reload} />`}
          ${data && html`<${DurationPanel} settings=${data} onSaved=${reload} />`}
        </div>
        <div class="stack">
          ${data && html`<${StagesPanel} settings=${data} onSaved=${reload} />`}
          <${ClockPanel} />
        </div>
        ${data && html`<${FaultsPanel} settings=${data} onSaved=${reload} />`}
      </div>
    </div>
  `;
}

/** A panel with a draft of one setting, and a button that makes it true. */
function Panel({ title, hint, draft, saved, patch, isWide = false, onSaved, children }) {
  const isChanged = JSON.stringify(draft) !== JSON.stringify(saved);
  const [save, isBusy, problem] = useTask(async () => {
    await call('v1/simulator', { method: 'PATCH', body: patch() });
    toast(`${title}: changed`);
    await onSaved();
  });
  const id = `panel-${title.toLowerCase().replaceAll(' ', '-')}`;
  return html`
    <form
      class=${`panel stack ${isWide ? 'whole-row' : ''}`}
      aria-labelledby=${id}
      onSubmit=${(event) => {
        event.preventDefault();
        save();
      }}
    >
      <header><h2 id=${id}>${title}</h2>${hint && html`<p class="small soft">${hint}</p>`}</header>
      ${children}
      ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
      <div class="row"><button class="primary" disabled=${isBusy || !isChanged}>Apply</button></div>
    </form>
  `;
}

/** A draft that starts anew whenever what is saved changes. */
function useDraft(saved) {
  const [draft, setDraft] = useState(saved);
  const text = JSON.stringify(saved);
  useEffect(() => setDraft(JSON.parse(text)), [text]);
  return [draft, setDraft];
}

/** What can be put on by name; not there where the server has no scenarios. */
function ScenarioPanel({ settings, onSaved }) {
  const { data: scenarios } = useData(async () => (await optional('v1/simulator/scenarios'))?.scenarios ?? null, []);
  const saved = settings.scenario ?? '';
  const [draft, setDraft] = useDraft(saved);
  if (!scenarios || scenarios.length === 0) return null;
  return html`
    <${Panel} title="Scenario" hint="sets everything below at once" draft=${draft} saved=${saved} onSaved=${onSaved} patch=${() => ({ scenario: draft || null })}>
      <div class="field">
        <select aria-label="Scenario" aria-describedby="scenario-hint" value=${draft} onChange=${(event) => setDraft(event.target.value)}>
          <option value="" selected=${draft === ''}>None: as the server was started</option>
          ${scenarios.map(({ name }) => html`<option key=${name} value=${name} selected=${name === draft}>${name}</option>`)}
        </select>
        <span class="hint" id="scenario-hint">${scenarios.find(({ name }) => name === draft)?.description}</span>
      </div>
    <//>
  `;
}

function OutcomePanel({ settings, onSaved }) {
  const saved = percentOf(settings.outcome?.error_chance ?? 0);
  const [draft, setDraft] = useDraft(saved);
  return html`
    <${Panel}
      title="Errors"
      hint="how many jobs in a hundred fail"
      draft=${draft}
      saved=${saved}
      onSaved=${onSaved}
      patch=${() => ({ outcome: { ...settings.outcome, error_chance: Number(draft) / 100 } })}
    >
      <div class="slider">
        <input
          type="range"
          aria-label="Error chance in percent, by slider"
          min="0"
          max="100"
          step="1"
          value=${draft}
          onInput=${(event) => setDraft(event.target.value)}
        />
        <input
          id="error-chance"
          type="number"
          aria-label="Error chance in percent"
          min="0"
          max="100"
          step="any"
          required
          value=${draft}
          onInput=${(event) => setDraft(event.target.value)}
        />
      </div>
    <//>
  `;
}

const percentOf = (chance) => String(Number((chance * 100).toFixed(4)));

function DurationPanel({ settings, onSaved }) {
  const saved = fieldsOf(settings.duration);
  const [draft, setDraft] = useDraft(saved);
  return html`
    <${Panel}
      title="Duration"
      hint="the law from which each job draws"
      draft=${draft}
      saved=${saved}
      onSaved=${onSaved}
      patch=${() => ({ duration: durationOf(draft) })}
    >
      <${DurationFields} fields=${draft} onChange=${setDraft} />
    <//>
  `;
}

function StagesPanel({ settings, onSaved }) {
  const saved = (settings.stages ?? []).map(({ name, share }) => ({ name, share: String(share) }));
  const [draft, setDraft] = useDraft(saved);
  const total = draft.reduce((sum, stage) => sum + (Number(stage.share) || 0), 0);
  const change = (index, part) => setDraft(draft.map((stage, at) => (at === index ? { ...stage, ...part } : stage)));
  return html`
    <${Panel}
      title="Stages"
      hint="each with its share of the whole"
      draft=${draft}
      saved=${saved}
      onSaved=${onSaved}
      patch=${() => ({ stages: draft.map(({ name, share }) => ({ name: name.trim(), share: Number(share) })) })}
    >
      <div class="shares" aria-hidden="true">
        ${draft.map((stage, index) => html`<i key=${index} style=${{ flexGrow: Number(stage.share) || 0 }}></i>`)}
      </div>
      <ol class="stages">
        ${draft.map(
          (stage, index) => html`
            <li key=${index}>
              <input aria-label=${`Name of stage ${index + 1}`} required maxlength="100" value=${stage.name} onInput=${(event) => change(index, { name: event.target.value })} />
              <input type="number" aria-label=${`Share of stage ${index + 1}`} required min="0.001" step="any" value=${stage.share} onInput=${(event) => change(index, { share: event.target.value })} />
              <span class="small soft numbers">${total > 0 ? `${Math.round((100 * (Number(stage.share) || 0)) / total)} %` : ''}</span>
              <button type="button" class="small" aria-label=${`Remove stage ${index + 1}`} onClick=${() => setDraft(draft.filter((_, at) => at !== index))}>Remove</button>
            </li>
          `,
        )}
      </ol>
      <div class="row"><button type="button" class="small" onClick=${() => setDraft([...draft, { name: '', share: '1' }])}>Add a stage</button></div>
    <//>
  `;
}

function FaultsPanel({ settings, onSaved }) {
  const saved = settings.faults ?? [];
  const [draft, setDraft] = useDraft(saved);
  return html`
    <${Panel}
      title="Faults"
      hint="what goes wrong, with every job; each answer that was tampered with says so"
      draft=${draft}
      saved=${saved}
      onSaved=${onSaved}
      isWide=${true}
      patch=${() => ({ faults: draft.map(faultOf) })}
    >
      <${FaultFields} faults=${draft} onChange=${setDraft} />
    <//>
  `;
}

function ClockPanel() {
  const { sort, speed, known } = useCell(clock);
  const isManual = sort === 'manual';
  const now = useNow(!isManual);
  const [seconds, setSeconds] = useState('30');
  const [step, isBusy] = useTask(async (by) => {
    try {
      await advance(by);
    } catch (problem) {
      toastProblem(problem);
    }
  });
  const kind = isManual ? 'It stands still until it is advanced.' : speed === 1 ? 'Real time.' : `${speed} times as fast as real time.`;
  return html`
    <section class="panel stack" aria-labelledby="panel-clock">
      <header><h2 id="panel-clock">Clock</h2><p class="small soft">${known ? kind : 'This server doesn’t tell its time.'}</p></header>
      <p class="clock-face numbers"><time datetime=${new Date(now).toISOString()}>${time(now, now)}</time></p>
      ${isManual
        ? html`
            <div class="row" role="group" aria-label="Move the clock">
              ${[
                ['1 s', 1],
                ['10 s', 10],
                ['1 min', 60],
                ['1 h', 3600],
                ['1 day', 86_400],
              ].map(([name, by]) => html`<button key=${by} type="button" disabled=${isBusy} onClick=${() => step(by)}>+${name}</button>`)}
            </div>
            <form
              class="row"
              onSubmit=${(event) => {
                event.preventDefault();
                step(Number(seconds));
              }}
            >
              <label for="clock-seconds">Seconds</label>
              <input id="clock-seconds" class="short" type="number" min="0.001" step="any" required value=${seconds} onInput=${(event) => setSeconds(event.target.value)} />
              <button disabled=${isBusy}>Move</button>
            </form>
          `
        : html`<p class="small soft">Under <code>abide serve --clock manual</code> it is advanced from here; with <code>--speed 60</code> an hour passes in a minute.</p>`}
    </section>
  `;
}
