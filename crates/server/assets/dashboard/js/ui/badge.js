// A status as a word, a shape and a color, in this order of importance.

import { words } from '../format.js';
import { html } from '../html.js';
import { Icon } from './icon.js';

export function Badge({ status }) {
  return html`<span class=${`badge ${status}`}><${Icon} name=${status} />${words(status)}</span>`;
}
