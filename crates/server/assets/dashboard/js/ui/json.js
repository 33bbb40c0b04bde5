// A JSON value, as text.

import { html } from '../html.js';

export function Json({ title, value }) {
  const isEmpty = value === null || value === undefined || (typeof value === 'object' && Object.keys(value).length === 0);
  if (isEmpty) return null;
  return html`
    <div class="field">
      <h3>${title}</h3>
      <pre tabindex="0" role="region" aria-label=${title}>${JSON.stringify(value, null, 2)}</pre>
    </div>
  `;
}
