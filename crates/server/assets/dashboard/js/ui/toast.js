// What has just happened, in a corner; read out politely. `say` for what needs no place on the screen.

import { Cell, useCell } from '../cell.js';
import { html } from '../html.js';

const STAYS_MS = 6000;
const TOASTS_MAX = 4;

const toasts = new Cell([]);
const spoken = new Cell('');
let names = 0;

/** Shows a line for a few seconds. `link` is `{href, text}`. */
export function toast(text, { bad = false, link = null } = {}) {
  const one = { id: (names += 1), text, bad, link };
  toasts.value = [...toasts.value, one].slice(-TOASTS_MAX);
  setTimeout(() => {
    toasts.value = toasts.value.filter((other) => other !== one);
  }, STAYS_MS);
}

/** Shows what went wrong. */
export const toastProblem = (problem) => toast(problem.message, { bad: true });

/** Says something to those who listen to the page. */
export function say(text) {
  // The same words again are said again.
  spoken.value = spoken.value === text ? `${text}\u00a0` : text;
}

export function Toasts() {
  const list = useCell(toasts);
  const words = useCell(spoken);
  return html`
    <div class="unseen" role="status">${words}</div>
    <div class="toasts" role="log" aria-live="polite" aria-label="Messages">
      ${list.map(
        ({ id, text, bad, link }) => html`
          <p key=${id} class=${`toast ${bad ? 'bad' : ''}`}>
            <span>${text}</span>${link && html`<a href=${link.href}>${link.text}</a>`}
          </p>
        `,
      )}
    </div>
  `;
}
