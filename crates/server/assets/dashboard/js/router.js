// Where we are: the part of the address after `#`. The server needs to know one page alone.

import { Cell } from './cell.js';

/** `{path: ['jobs', 'job_1'], query: URLSearchParams}`. */
export const place = new Cell(parse());

addEventListener('hashchange', () => {
  place.value = parse();
});

/** Goes to a place; `replace` leaves no step to go back to. */
export function go(path, query = null, { replace = false } = {}) {
  const words = query ? new URLSearchParams(query).toString() : '';
  const hash = `#/${path}${words ? `?${words}` : ''}`;
  if (hash === location.hash) return;
  if (replace) {
    history.replaceState(null, '', hash);
    place.value = parse();
  } else {
    location.hash = hash;
  }
}

function parse() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  return { path: path.split('/').filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}
