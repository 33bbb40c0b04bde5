// Faults as fields to fill in: what goes wrong, how likely, and when.

import { words } from '../format.js';
import { html } from '../html.js';

const KINDS = {
  latency: 'the answer comes late',
  error: 'the answer is an error',
  reset: 'the connection is reset',
  truncate: 'the body ends half way',
  stall: 'the body doesn’t come',
  stuck: 'the job never ends',
  stale: 'after the end, reads show the job as it was',
  unknown_status: 'the status is a word that nobody knows',
  late_result: 'the result comes after the end',
  stream_cut: 'the stream is cut',
  stream_mute: 'the stream falls silent',
  webhook_lost: 'the webhook is lost',
  webhook_doubled: 'the webhook comes twice',
  webhook_late: 'the webhook comes late',
  webhook_early: 'the webhook comes before the create’s answer',
  lost_create: 'the job is made, the create’s answer is lost',
  not_found_first: 'the first read finds no job',
  canceled_elsewhere: 'the job ends as canceled',
  slow_cancel: 'after a cancel, reads show the job as it was',
  queue_stuck: 'the job never leaves its queue',
  expired_url: 'the result’s URL has expired',
};

/** Which further settings a fault has. */
const HAS = {
  delay: ['latency', 'stall', 'stale', 'late_result', 'webhook_late', 'slow_cancel', 'expired_url'],
  status: ['error'],
  word: ['unknown_status'],
};

/** A fault of the interface from its fields: numbers as numbers, and nothing that is empty. */
export function faultOf(fields) {
  const fault = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === '' || value === null || value === undefined) continue;
    const isNumber = ['chance', 'first', 'every', 'status'].includes(name);
    fault[name] = isNumber ? Number(value) : value;
  }
  for (const [name, kinds] of Object.entries(HAS)) if (!kinds.includes(fault.fault)) delete fault[name];
  return fault;
}

export function FaultFields({ faults, onChange }) {
  const change = (index, part) => onChange(faults.map((fault, at) => (at === index ? { ...fault, ...part } : fault)));
  return html`
    ${faults.length === 0 && html`<p class="soft">Nothing goes wrong.</p>`}
    <ol class="faults">
      ${faults.map(
        (fault, index) => html`
          <li key=${index}>
            <${Fault} fault=${fault} number=${index + 1} onChange=${(part) => change(index, part)} />
            <button type="button" class="small" aria-label=${`Remove fault ${index + 1}`} onClick=${() => onChange(faults.filter((_, at) => at !== index))}>Remove</button>
          </li>
        `,
      )}
    </ol>
    <div class="row"><button type="button" class="small" onClick=${() => onChange([...faults, { fault: 'error', chance: 0.1 }])}>Add a fault</button></div>
  `;
}

function Fault({ fault, number, onChange }) {
  const edit = (name) => (event) => onChange({ [name]: event.target.value });
  const id = (name) => `fault-${number}-${name}`;
  const has = (name) => HAS[name].includes(fault.fault);
  const field = (name, label, attributes) => html`
    <div class="field">
      <label for=${id(name)}>${label}</label>
      <input id=${id(name)} autocomplete="off" value=${fault[name] ?? ''} onInput=${edit(name)} ...${attributes} />
    </div>
  `;
  return html`
    <div class="fault" role="group" aria-label=${`Fault ${number}`}>
      <div class="field kind">
        <label for=${id('fault')}>What</label>
        <select id=${id('fault')} value=${fault.fault} onChange=${edit('fault')}>
          ${Object.entries(KINDS).map(([kind, text]) => html`<option key=${kind} value=${kind} selected=${kind === fault.fault}>${words(kind)}: ${text}</option>`)}
        </select>
      </div>
      ${field('chance', 'Chance, 0 to 1', { type: 'number', min: 0, max: 1, step: 'any', placeholder: '1' })}
      ${field('first', 'Only the first', { type: 'number', min: 1, step: 1, placeholder: 'all' })}
      ${field('every', 'Only every', { type: 'number', min: 1, step: 1, placeholder: 'each' })}
      ${has('delay') && field('delay', 'For how long', { placeholder: 'as usual' })}
      ${has('status') && field('status', 'Status', { type: 'number', min: 400, max: 599, step: 1, placeholder: '503' })}
      ${has('word') && field('word', 'The word', { placeholder: 'archiving', maxlength: 100 })}
    </div>
  `;
}
