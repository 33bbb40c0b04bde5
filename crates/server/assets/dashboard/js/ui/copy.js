// Text that one takes along.

import { html } from '../html.js';
import { Icon } from './icon.js';
import { say, toast } from './toast.js';

export function Copy({ text, label, name = null }) {
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      toast('Copied');
      say('Copied');
    } catch {
      toast('The browser doesn’t let this page copy; select the text instead.', { bad: true });
    }
  }
  return html`
    <button type="button" class=${name ? 'small' : 'small bare'} aria-label=${label} title=${label} onClick=${copy}>
      <${Icon} name="copy" />${name}
    </button>
  `;
}
