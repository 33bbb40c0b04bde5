// Small drawings. They say nothing that the text beside them doesn't, so readers of the screen skip them.

import { html } from '../html.js';

const PATHS = {
  jobs: 'M4 6h16M4 12h10M4 18h13',
  report: 'M5 19V5M5 19h15M9.5 14.5h.01M12.5 9.5h.01M16.5 12.5h.01M18.5 6.5h.01',
  webhooks: 'M4 12h9m-4-4 4 4-4 4M16 5h2a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2h-2',
  simulator: 'M4 7h9m5 0h2M4 17h3m5 0h8M15.5 7m-2.2 0a2.2 2.2 0 1 0 4.4 0a2.2 2.2 0 1 0-4.4 0M9.5 17m-2.2 0a2.2 2.2 0 1 0 4.4 0a2.2 2.2 0 1 0-4.4 0',
  add: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6L6 18',
  key: 'M14.5 9.5m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0M11 13l-6.5 6.5M7 17l2 2',
  theme: 'M12 3.5a8.5 8.5 0 1 0 0 17zM12 3.5a8.5 8.5 0 0 1 0 17',
  copy: 'M9 9h10v11H9zM15 9V4H5v11h4',
  back: 'M19 12H5m6-6-6 6 6 6',
  pending: 'M12 12m-7 0a7 7 0 1 0 14 0a7 7 0 1 0-14 0',
  running: 'M12 4a8 8 0 1 1-8 8',
  completed: 'M5 12.5l4.5 4.5L19 7.5',
  failed: 'M6.5 6.5l11 11M17.5 6.5l-11 11',
  canceled: 'M5 12h14',
  waiting: 'M12 12m-8 0a8 8 0 1 0 16 0a8 8 0 1 0-16 0M12 8v4.5l3 2',
  held: 'M9 6v12M15 6v12',
  other: 'M6 12h.01M12 12h.01M18 12h.01',
};

const ALSO = { delivered: 'completed', enabled: 'completed', disabled: 'held' };

export function Icon({ name }) {
  const path = PATHS[name] ?? PATHS[ALSO[name]] ?? PATHS.other;
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${path} /></svg>`;
}
