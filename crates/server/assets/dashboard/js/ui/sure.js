// A button for what can't be undone: it asks once.

import { html, useState } from '../html.js';

export function Sure({ name, sure, kind = 'small', isBusy, onSure }) {
  const [isAsking, setAsking] = useState(false);
  if (!isAsking) return html`<button type="button" class=${kind} disabled=${isBusy} onClick=${() => setAsking(true)}>${name}</button>`;
  const press = () => (setAsking(false), onSure());
  return html`
    <button type="button" class=${`${kind} danger`} disabled=${isBusy} onClick=${press}>${sure}</button>
    <button type="button" class=${kind} onClick=${() => setAsking(false)}>Cancel</button>
  `;
}
