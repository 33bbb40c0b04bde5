// One place that names the libraries, so that nothing else does.

import { h, render } from '../vendor/preact.mjs';
import htm from '../vendor/htm.mjs';

export { render };
export {
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from '../vendor/hooks.mjs';

/** Templates: html`<p class="x">${text}</p>` makes a tree of Preact's. Text is text; nothing is ever parsed as markup. */
export const html = htm.bind(h);
